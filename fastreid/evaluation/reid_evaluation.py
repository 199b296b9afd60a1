"""The evaluator of re-identification: features in, CMC, mAP and mINP out."""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor

from ..config import CfgNode, configurable
from ..utils import comm
from .build import EVALUATOR_REGISTRY
from .evaluator import DatasetEvaluator
from .features import FeatureCollector, FeatureSet
from .protocol import PROTOCOL_REGISTRY
from .rank_shares import rank_matches_together
from .rates import summarize, warn_unmatched
from .similarity import METRIC_REGISTRY

__all__ = ["ReidEvaluator"]

logger = logging.getLogger(__name__)

_NOT_YET = ("AQE", "RERANK", "ROC")


@EVALUATOR_REGISTRY.register()
class ReidEvaluator(DatasetEvaluator):
    """CMC, mAP and mINP, in percent, of the first ``num_query`` images against the rest.

    Built as ``ReidEvaluator(cfg, num_query, output_dir=None)``, or from values by keyword.

    Args:
        num_query: the first so many images of the test set, over all ranks, are the queries.
        metric: ``TEST.METRIC``, a name in ``METRIC_REGISTRY``.
        protocol: ``TEST.PROTOCOL``, a name in ``PROTOCOL_REGISTRY``.
        output_dir: where subclasses may write files; this class writes none.

    Raises:
        KeyError: if there is no such metric or protocol.
        ValueError: if ``num_query`` is negative, or the config asks for ``TEST.AQE``, ``TEST.RERANK`` or ``TEST.ROC``.
    """

    @configurable
    def __init__(
        self,
        *,
        num_query: int,
        metric: str = "cosine",
        protocol: str = "market1501",
        output_dir: str | None = None,
    ) -> None:
        if num_query < 0:
            raise ValueError(f"num_query must be >= 0, got {num_query}")
        METRIC_REGISTRY.get(metric)  # an unknown name is an error before the model has run over the test set
        PROTOCOL_REGISTRY.get(protocol)
        self._num_query = num_query
        self._metric = metric
        self._protocol = protocol
        self._output_dir = output_dir
        self._features = FeatureCollector()

    @classmethod
    def from_config(cls, cfg: CfgNode, num_query: int, output_dir: str | None = None) -> dict[str, Any]:
        """Read ``TEST.METRIC`` and ``TEST.PROTOCOL``."""
        for name in _NOT_YET:
            if cfg.TEST[name].ENABLED:
                raise ValueError(f"TEST.{name}.ENABLED is True, but this version does not have it yet; set it to False")
        return {
            "num_query": num_query,
            "metric": cfg.TEST.METRIC,
            "protocol": cfg.TEST.PROTOCOL,
            "output_dir": output_dir,
        }

    def reset(self) -> None:
        """Forget the features of an earlier round."""
        self._features.clear()

    def process(self, inputs: dict[str, Any], outputs: Tensor) -> None:
        """Keep one batch.

        Args:
            inputs: ``targets`` ``(N,)`` and ``camids`` ``(N,)``, int64; a camid below 0: no camera is known.
            outputs: ``(N, D)`` float embeddings, not normalised.

        Raises:
            ValueError: if the shapes do not fit.
        """
        self._features.add(outputs, inputs["targets"], inputs["camids"])

    def evaluate(self) -> dict[str, float]:
        """Compute the results of all images of all ranks.

        A query without a true match is left out, with a warning; if there is no other, the rates are 0.

        Returns:
            On rank 0 an ordered dict with ``Rank-1``, ``Rank-5``, ``Rank-10``, ``mAP``, ``mINP`` and ``metric`` (the
            mean of mAP and Rank-1), in percent; ``{}`` elsewhere.

        Raises:
            ValueError: on every rank, if no image was processed, there are fewer than ``num_query``, a feature is
                NaN or infinite (the message says how many and where), or the images do not fit the protocol.
        """
        everything = self._features.gather()
        query, gallery = everything.split(self._num_query)
        everything.require_finite()
        logger.info("Evaluating by the protocol %s (TEST.PROTOCOL)", self._protocol)
        return self._rates(query, gallery)

    def _rates(self, query: FeatureSet, gallery: FeatureSet) -> dict[str, float]:
        """Return the results of one split on rank 0, and ``{}`` elsewhere; every rank computes its share of them."""
        query, gallery = PROTOCOL_REGISTRY.get(self._protocol)(query, gallery)
        ranks = rank_matches_together(query, gallery, metric=self._metric)
        if not comm.is_main_process():
            return {}
        warn_unmatched(ranks)
        return summarize(ranks)
