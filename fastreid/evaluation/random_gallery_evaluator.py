"""The evaluator of test sets in which one image of each identity is drawn for the gallery."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..config import CfgNode
from ..utils import comm
from ..utils.random_gallery import draw_gallery
from .bootstrap import IdentityBootstrap
from .breakdown import breakdown_details
from .build import EVALUATOR_REGISTRY
from .features import FeatureSet, require_finite
from .rank_lists import PlacedRetrieval
from .reid_evaluation import ReidEvaluator

__all__ = ["RandomGalleryEvaluator"]

logger = logging.getLogger(__name__)

_DRAWS = 10


@EVALUATOR_REGISTRY.register()
class RandomGalleryEvaluator(ReidEvaluator):
    """The means of CMC, mAP, mINP and TPR over ten splits of a test set, as is the custom with VehicleID.

    In split k, one image of each identity is the gallery, drawn by ``draw_gallery`` with seed k, and all others are
    queries; what the test set itself calls queries does not matter. Images of an identity are told apart by their
    camids, then by their place in the test set. Split 0 of VehicleID is that of its data set.

    Built as ``RandomGalleryEvaluator(cfg, num_query, output_dir=None)``; arguments and errors are those of
    ``ReidEvaluator``, and ``TEST.CAMERA_NORM`` is an error, since camids are no cameras here.

    Attributes:
        details: after :meth:`evaluate`, on rank 0: ``splits``, the details of each; ``queries``, of all of them, an
            image without a match in several named once; ``intervals`` of the means; ``breakdown`` by identity; with
            ``roc`` ``threshold``, whose numbers are the means of those of the splits.
        queries: after :meth:`evaluate`, on rank 0, arrays by name as of ``ReidEvaluator``, those of all splits one
            after the other, and ``split``, which tells them apart.
    """

    _camids_are_cameras = False

    @classmethod
    def from_config(cls, cfg: CfgNode, num_query: int, output_dir: str | None = None) -> dict[str, Any]:
        """Read what ``ReidEvaluator`` does; refuse ``TEST.CAMERA_NORM``."""
        if cfg.TEST.CAMERA_NORM.ENABLED:
            raise ValueError(
                "RandomGalleryEvaluator takes camids for numbers of an identity's images, not for cameras, which "
                "TEST.CAMERA_NORM needs: set TEST.CAMERA_NORM.ENABLED False"
            )
        return super().from_config(cfg, num_query, output_dir)

    def judge(self, query: FeatureSet, gallery: FeatureSet, paths: Sequence[str] = ()) -> dict[str, float]:
        """Compute the results of the features of a whole test set; see :meth:`ReidEvaluator.judge`.

        Returns:
            On rank 0 the means, named as by ``ReidEvaluator``, in percent; ``{}`` elsewhere.
        """
        require_finite([query, gallery], paths)
        everything = _joined(query, gallery)
        self._postprocess.report.clear()
        logger.info("Evaluating by the protocol %s (TEST.PROTOCOL), mean of %d galleries", self._protocol, _DRAWS)
        found, splits, queries = [], [], []
        for seed in range(_DRAWS):
            drawn = _drawn(everything, seed)
            places = (~drawn).nonzero().flatten()
            rates, details, by_query = self._rates(everything[~drawn], everything[drawn], places, paths)
            found.append(rates)
            details.pop("breakdown", None)  # there is one of all splits
            splits.append(details)
            queries.append(by_query)
        if comm.is_main_process():
            self._describe(splits, queries)
        return OrderedDict((name, sum(rates[name] for rates in found) / _DRAWS) for name in found[0])

    def placed_retrieval(self, query: FeatureSet, gallery: FeatureSet) -> PlacedRetrieval:
        """Return what :meth:`judge` ranks in the first of the splits; see :meth:`ReidEvaluator.placed_retrieval`."""
        require_finite([query, gallery])
        everything = _joined(query, gallery)
        drawn = _drawn(everything, seed=0)
        places = (of.nonzero().flatten().numpy() for of in (~drawn, drawn))
        return PlacedRetrieval(self._retrieval(everything[~drawn], everything[drawn]), *places)

    def _describe(self, splits: list[dict[str, Any]], queries: list[dict[str, np.ndarray]]) -> None:
        """Set ``details`` and ``queries``."""
        pooled = {name: np.concatenate([own[name] for own in queries]) for name in queries[0]}
        split = np.repeat(np.arange(len(queries)), [len(own["pid"]) for own in queries])
        self.queries = {"split": split, **pooled}
        unmatched = {own["place"]: own for of in splits for own in of["queries"]["unmatched"]}
        self.details = {
            "splits": splits,
            "queries": {
                "count": len(split),
                "without_match": sum(of["queries"]["without_match"] for of in splits),
                "unmatched": [own for _, own in sorted(unmatched.items())],
            },
            "cmc": np.mean([of.pop("cmc") for of in splits], axis=0).tolist(),
            "breakdown": breakdown_details(pooled, pooled["pid"]),
        }
        if "intervals" in splits[0]:
            self.details["intervals"] = self._intervals(list(splits[0]["intervals"]), queries)
        if "threshold" in splits[0]:
            self.details["threshold"] = _mean_of([of["threshold"] for of in splits])

    def _intervals(self, names: list[str], queries: list[dict[str, np.ndarray]]) -> dict[str, list[float] | None]:
        """Return the intervals of the means over all splits.

        Every identity with at least two images has queries in every split, so the splits have the same identities, and
        the same draws of them.
        """
        drawn = [
            IdentityBootstrap(own["pid"], resamples=self._resamples).draw_means(
                np.stack([own[name] for name in names], axis=1)
            )
            for own in queries
        ]
        means = 100 * np.mean(drawn, axis=0)  # (resamples, K)
        means = means[np.isfinite(means).all(axis=1)]
        if not len(means):
            return dict.fromkeys(names)
        return dict(zip(names, np.quantile(means, (0.025, 0.975), axis=0).T.tolist(), strict=True))


def _joined(query: FeatureSet, gallery: FeatureSet) -> FeatureSet:
    """Return the images of the whole test set."""
    return FeatureSet(
        torch.cat([query.features, gallery.features]),
        torch.cat([query.pids, gallery.pids]),
        torch.cat([query.camids, gallery.camids]),
    )


def _drawn(images: FeatureSet, seed: int) -> torch.Tensor:
    """Return which images ``(N,)`` bool are the gallery of a split."""
    drawn = torch.zeros(len(images), dtype=torch.bool)
    drawn[draw_gallery(images.pids.tolist(), images.camids.tolist(), seed)] = True
    return drawn


def _mean_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of the numbers and intervals of several dicts; ``None`` where one of them has none."""
    means = dict(found[0])
    for name in means:
        values = [own[name] for own in found]
        if name.endswith("_interval") or name in ("threshold", "tpr", "dir"):
            means[name] = None if None in values else np.mean(values, axis=0).tolist()
    return means
