"""The evaluator of test sets in which one image of each identity is drawn for the gallery."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence

import torch

from ..utils import comm
from ..utils.random_gallery import draw_gallery
from .build import EVALUATOR_REGISTRY
from .features import FeatureSet, require_finite
from .reid_evaluation import ReidEvaluator

__all__ = ["RandomGalleryEvaluator"]

logger = logging.getLogger(__name__)

_DRAWS = 10


@EVALUATOR_REGISTRY.register()
class RandomGalleryEvaluator(ReidEvaluator):
    """The means of CMC, mAP and mINP over ten splits of a test set, as is the custom with VehicleID.

    In split k, one image of each identity is the gallery, drawn by ``draw_gallery`` with seed k, and all others are
    queries; what the test set itself calls queries does not matter. Images of an identity are told apart by their
    camids, then by their place in the test set. Split 0 of VehicleID is that of its data set.

    Built as ``RandomGalleryEvaluator(cfg, num_query, output_dir=None)``; arguments and errors are those of
    ``ReidEvaluator``.
    """

    def judge(self, query: FeatureSet, gallery: FeatureSet, paths: Sequence[str] = ()) -> dict[str, float]:
        """Compute the results of the features of a whole test set; see :meth:`ReidEvaluator.judge`.

        Returns:
            On rank 0 the means, named as by ``ReidEvaluator``, in percent; ``{}`` elsewhere.
        """
        require_finite([query, gallery], paths)
        everything = FeatureSet(
            torch.cat([query.features, gallery.features]),
            torch.cat([query.pids, gallery.pids]),
            torch.cat([query.camids, gallery.camids]),
        )
        self._postprocess.report.clear()
        logger.info("Evaluating by the protocol %s (TEST.PROTOCOL), mean of %d galleries", self._protocol, _DRAWS)
        pids, numbers = everything.pids.tolist(), everything.camids.tolist()
        found, splits = [], []
        for seed in range(_DRAWS):
            drawn = torch.zeros(len(everything), dtype=torch.bool)
            drawn[draw_gallery(pids, numbers, seed)] = True
            places = (~drawn).nonzero().flatten()
            rates, details, _ = self._rates(everything[~drawn], everything[drawn], places, paths)
            found.append(rates)
            splits.append(details)
        self.details = {"splits": splits} if comm.is_main_process() else {}
        return OrderedDict((name, sum(rates[name] for rates in found) / _DRAWS) for name in found[0])
