"""The evaluator of sets without a query split: Recall@k and MAP@R, each image looked for among all others."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..config import CfgNode, configurable
from ..utils import comm
from .bootstrap import IdentityBootstrap
from .breakdown import breakdown_details, worst_of_each
from .build import EVALUATOR_REGISTRY
from .details import cmc_details, query_details, rate_intervals
from .evaluator import DatasetEvaluator
from .features import FeatureCollector, FeatureSet, require_finite
from .loo_retrieval import leave_one_out_ranks, retrieval_by_query
from .memory_budget import require_memory
from .postprocess import Retrieval
from .protocol import leave_one_out
from .rank_lists import PlacedRetrieval
from .rates import rates_by_query, warn_unmatched
from .similarity import METRIC_REGISTRY

__all__ = ["RetrievalEvaluator"]

logger = logging.getLogger(__name__)

_PROTOCOL = "leave_one_out"


@EVALUATOR_REGISTRY.register()
class RetrievalEvaluator(DatasetEvaluator):
    """Recall@k and MAP@R, in percent, of all images of a test set, each looked for among all others.

    Built as ``RetrievalEvaluator(cfg, num_query, output_dir=None)``, or from values by keyword. The image itself is
    left out; one that is the only one of its identity is in all galleries, but no query. Cameras do not matter.

    Source: Musgrave et al., "A Metric Learning Reality Check", ECCV 2020, arXiv:2003.08505.

    Args:
        metric: ``TEST.METRIC``, a name in ``METRIC_REGISTRY``.
        protocol: ``TEST.PROTOCOL``, which must be ``leave_one_out``: the loader has each image once by it.
        recall_at: ``TEST.RETRIEVAL.RECALL``, the k of Recall@k, in rising order.
        resamples: ``TEST.BOOTSTRAP.RESAMPLES``, at least 0; 0: no confidence intervals.
        memory_gb: ``TEST.MEMORY_GB``: memory to use beside the features, in units of 1e9 bytes, > 0.

    Attributes:
        details: after :meth:`evaluate`, on rank 0: ``queries``, ``intervals``, ``breakdown`` by identity.
        queries: after :meth:`evaluate`, on rank 0, arrays ``(N,)`` by name, with one number for each image.

    Raises:
        KeyError: if there is no such metric.
        ValueError: if a number is out of its range, the protocol is another one, or the config has test-time options
            or the ROC on, which are made for queries and a gallery.
    """

    @configurable
    def __init__(
        self,
        *,
        metric: str = "cosine",
        protocol: str = _PROTOCOL,
        recall_at: Sequence[int] = (1, 2, 4, 8),
        resamples: int = 1000,
        memory_gb: float = 1.0,
    ) -> None:
        METRIC_REGISTRY.get(metric)
        require_memory(memory_gb, 0, "evaluation")
        if protocol != _PROTOCOL:
            raise ValueError(
                f"TEST.PROTOCOL is {protocol}, but RetrievalEvaluator looks for each image among all others: set "
                f"TEST.PROTOCOL {_PROTOCOL}, or TEST.EVALUATOR ReidEvaluator"
            )
        if not recall_at or list(recall_at) != sorted({*recall_at}) or recall_at[0] < 1:
            raise ValueError(
                f"TEST.RETRIEVAL.RECALL must be different numbers of at least 1 in rising order, got {tuple(recall_at)}"
            )
        if resamples < 0:
            raise ValueError(f"TEST.BOOTSTRAP.RESAMPLES must be >= 0, got {resamples}")
        self._metric, self._recall_at, self._resamples = metric, tuple(recall_at), resamples
        self._memory_gb = memory_gb
        self._features = FeatureCollector()
        self._paths: list[str] = []
        self.details: dict[str, Any] = {}
        self.queries: dict[str, np.ndarray] = {}

    @classmethod
    def from_config(cls, cfg: CfgNode, num_query: int, output_dir: str | None = None) -> dict[str, Any]:
        """Read ``TEST``: ``METRIC``, ``PROTOCOL``, ``RETRIEVAL``, ``BOOTSTRAP``, ``MEMORY_GB``."""
        refused = [name for name in ("CAMERA_NORM", "DBA", "AQE", "RERANK", "ROC") if cfg.TEST[name].ENABLED]
        if refused:
            raise ValueError(
                f"RetrievalEvaluator has no queries apart from the gallery, which TEST.{refused[0]} needs: set "
                f"TEST.{refused[0]}.ENABLED False"
            )
        return {
            "metric": cfg.TEST.METRIC,
            "protocol": cfg.TEST.PROTOCOL,
            "recall_at": tuple(cfg.TEST.RETRIEVAL.RECALL),
            "resamples": cfg.TEST.BOOTSTRAP.RESAMPLES,
            "memory_gb": cfg.TEST.MEMORY_GB,
        }

    def reset(self) -> None:
        """Forget the features of an earlier round."""
        self._features.clear()
        self._paths = []
        self.details, self.queries = {}, {}

    def process(self, inputs: dict[str, Any], outputs: Tensor) -> None:
        """Keep one batch.

        Args:
            inputs: ``targets`` ``(N,)`` and ``camids`` ``(N,)``, int64. If they are there, ``img_paths``, N strings,
                name images in errors and details.
            outputs: ``(N, D)`` float embeddings, not normalised.

        Raises:
            ValueError: if the shapes do not fit.
        """
        self._features.add(outputs, inputs["targets"], inputs["camids"])
        self._paths += map(str, inputs.get("img_paths") or [""] * len(outputs))

    def evaluate(self) -> dict[str, float]:
        """Compute the results of all images of all ranks.

        Returns:
            On rank 0 an ordered dict with ``Recall@k`` for each k, ``MAP@R`` and ``metric`` (the first Recall@k), in
            percent, 0 if no image has another of its identity; ``{}`` elsewhere.

        Raises:
            ValueError: on every rank, if no image was processed, or a feature is NaN or infinite (the message says how
                many and which).
        """
        images = self._features.gather()
        paths = [path for of_rank in comm.all_gather(self._paths) for path in of_rank]
        return self.judge(images[:0], images, paths)

    def judge(self, query: FeatureSet, gallery: FeatureSet, paths: Sequence[str] = ()) -> dict[str, float]:
        """Compute the results of the features of a whole test set, wherever they come from.

        Args:
            query: Q images; the same on every rank. There may be none.
            gallery: G images; the same on every rank, none of which is in ``query``.
            paths: of queries and gallery, as far as they are known.

        Returns:
            What :meth:`evaluate` returns; ``details`` and ``queries`` are set as well.

        Raises:
            ValueError: on every rank, if a feature is NaN or infinite (the message says how many and which).
        """
        require_finite([query, gallery], paths)
        _, images = leave_one_out(query, gallery)
        paths = list(paths) if len(paths) == len(images) else [""] * len(images)
        logger.info("Evaluating by the protocol %s (TEST.PROTOCOL): %d images", _PROTOCOL, len(images))
        ranks = leave_one_out_ranks(images.features, images.pids, metric=self._metric, memory_gb=self._memory_gb)
        if not comm.is_main_process():
            return {}
        warn_unmatched(ranks)
        numbers = retrieval_by_query(ranks, self._recall_at)
        numbers["metric"] = numbers[f"Recall@{self._recall_at[0]}"]
        has_match = np.isfinite(numbers["MAP@R"])
        self._describe(numbers, ranks, has_match, images.pids.cpu().numpy(), paths)
        means = {name: 100 * float(own[has_match].mean()) if has_match.any() else 0.0 for name, own in numbers.items()}
        return OrderedDict(means)

    def placed_retrieval(self, query: FeatureSet, gallery: FeatureSet) -> PlacedRetrieval:
        """Return what :meth:`judge` ranks, for those who want to look at the rankings; see ``rank_test``.

        Args:
            query: Q images; there may be none.
            gallery: G images, none of which is in ``query``.
        """
        require_finite([query, gallery])
        each, others = leave_one_out(query, gallery)
        places = np.arange(len(each))
        return PlacedRetrieval(Retrieval(each, others, self._metric), places, places)

    def _describe(
        self,
        numbers: dict[str, np.ndarray],
        ranks: list[np.ndarray],
        has_match: np.ndarray,
        pids: np.ndarray,
        paths: list[str],
    ) -> None:
        """Set ``details`` and ``queries``."""
        places = np.arange(len(ranks))
        self.details = {"queries": query_details(has_match, places, paths)}
        if self._resamples:
            self.details["intervals"] = rate_intervals(numbers, IdentityBootstrap(pids, resamples=self._resamples))
        self.details["cmc"] = cmc_details(ranks)
        by_rank = rates_by_query(ranks)  # average precision over the whole ranking, which compare_runs.py reads too
        self.details["breakdown"] = breakdown_details(by_rank, pids)
        worst = worst_of_each(self.details["breakdown"])
        if worst:
            logger.info("Worst of each: %s", worst)
        self.queries = {
            "place": places,
            "img_path": np.array(paths, dtype=np.str_),
            "pid": pids,
            "Rank-1": by_rank["Rank-1"],
            "mAP": by_rank["mAP"],
            **numbers,
        }
