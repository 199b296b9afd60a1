"""What ``TEST.PROTOCOL`` may name: which gallery images are left out of a query's ranking."""

from __future__ import annotations

import logging
from dataclasses import replace

from ..utils.registry import Registry
from .features import FeatureSet

__all__ = ["PROTOCOL_REGISTRY", "auto", "cameraless", "market1501"]

logger = logging.getLogger(__name__)

PROTOCOL_REGISTRY = Registry("TEST.PROTOCOL")
"""Protocols of a test.

A protocol is a function ``(query, gallery) -> (query, gallery)`` of two ``FeatureSet``. A gallery image with the
identity *and* the camid of a query is left out of its ranking, so it is by the camids that it returns that a protocol
decides. It leaves its arguments as they are, and raises ``ValueError`` if the images do not fit it.
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
    unknown = int((query.camids < 0).sum() + (gallery.camids < 0).sum())
    if unknown:
        raise ValueError(
            f"no camera is known (the camid is below 0) of {unknown} of {len(query) + len(gallery)} images, but "
            "TEST.PROTOCOL market1501 leaves out images by the query's own camera; set TEST.PROTOCOL cameraless"
        )
    return query, gallery


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
def auto(query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
    """Apply ``cameraless`` where no camera is known, and ``market1501`` elsewhere; the log says which it was.

    Raises:
        ValueError: if the cameras of some images are known and those of others are not.
    """
    protocol = cameraless if bool((query.camids < 0).all() and (gallery.camids < 0).all()) else market1501
    logger.info("TEST.PROTOCOL auto means %s for this test set", protocol.__name__)
    return protocol(query, gallery)
