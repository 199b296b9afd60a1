"""What ``TEST.PROTOCOL`` may name: which gallery images are left out of a query's ranking."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch

from ..utils.registry import Registry
from .features import FeatureSet

__all__ = ["PROTOCOL_REGISTRY", "auto", "cameraless", "cuhk03", "leave_one_out", "market1501"]

logger = logging.getLogger(__name__)

PROTOCOL_REGISTRY = Registry("TEST.PROTOCOL")
"""Protocols of a test.

A protocol is a function ``(query, gallery) -> (query, gallery)`` of two ``FeatureSet``. A gallery image with the
identity *and* the camid of a query is left out of its ranking, so it is by the camids that it returns that a protocol
decides. It leaves its arguments as they are, and raises ``ValueError`` if the images do not fit it.

An attribute ``single_shot`` of the function that is true asks ``ReidEvaluator`` for the CMC of galleries with one drawn
image of each identity. An attribute ``evaluator`` names the evaluator that a protocol without queries needs.
"""


@PROTOCOL_REGISTRY.register()
def market1501(query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Leave out images of the query's identity by the query's camera.

    Source: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015.

    Args:
        query: Q images.
        gallery: G images.

    Returns:
        The arguments.

    Raises:
        ValueError: if a camid is below 0: no camera is known.
    """
    _require_cameras("market1501", query, gallery)
    return query, gallery


def _require_cameras(protocol: str, query: FeatureSet, gallery: FeatureSet) -> None:
    unknown = int((query.camids < 0).sum() + (gallery.camids < 0).sum())
    if unknown:
        raise ValueError(
            f"no camera is known (the camid is below 0) of {unknown} of {len(query) + len(gallery)} images, but "
            f"TEST.PROTOCOL {protocol} leaves out images by the query's own camera; set TEST.PROTOCOL cameraless"
        )


@PROTOCOL_REGISTRY.register()
def cameraless(query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Leave out nothing: every image of the query's identity is a true match.

    Args:
        query: Q images, none of which may be in the gallery.
        gallery: G images.

    Returns:
        The images with other camids: all queries by one camera, the whole gallery by another.
    """
    known = int((query.camids >= 0).sum() + (gallery.camids >= 0).sum())
    if known:
        logger.warning(
            "The cameras of %d of %d images are known, but by TEST.PROTOCOL cameraless images by the query's own "
            "camera count as matches: the numbers look better than those of market1501, and are not comparable",
            known,
            len(query) + len(gallery),
        )
    return replace(query, camids=query.camids.new_zeros(len(query))), replace(
        gallery, camids=gallery.camids.new_ones(len(gallery))
    )


@PROTOCOL_REGISTRY.register()
def cuhk03(query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Leave out what ``market1501`` does; the CMC is that of galleries with one drawn image of each identity.

    Source: Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014.

    Raises:
        ValueError: if a camid is below 0: no camera is known.
    """
    _require_cameras("cuhk03", query, gallery)
    return query, gallery


cuhk03.single_shot = True


@PROTOCOL_REGISTRY.register()
def leave_one_out(query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Look for every image among all others, whatever the test set calls queries; only the image itself is left out.

    Args:
        query: Q images, none of which is in the gallery.
        gallery: G images.

    Returns:
        All images, twice, with a camid of its own for each. Nothing is copied if there is no query.
    """
    features, pids = gallery.features, gallery.pids
    if len(query):
        features, pids = torch.cat([query.features, features]), torch.cat([query.pids, pids])
    everything = FeatureSet(features, pids, torch.arange(len(pids), device=pids.device))
    return everything, everything


leave_one_out.evaluator = "RetrievalEvaluator"


@PROTOCOL_REGISTRY.register()
def auto(query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Apply ``cameraless`` where no camera is known, and ``market1501`` elsewhere; the log says which it was.

    Raises:
        ValueError: if the cameras of some images are known and those of others are not.
    """
    protocol = cameraless if bool((query.camids < 0).all() and (gallery.camids < 0).all()) else market1501
    logger.info("TEST.PROTOCOL auto means %s for this test set", protocol.__name__)
    return protocol(query, gallery)
