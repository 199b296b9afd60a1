"""The evaluator of re-identification: features in; CMC, mAP, mINP and the numbers of verification out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import CfgNode, configurable
from ..utils import comm
from .bootstrap import IdentityBootstrap
from .breakdown import MatchCameras, breakdown_details, worst_of_each
from .build import EVALUATOR_REGISTRY
from .consumers import Consumers, gather_rows
from .cuhk03 import SingleShot, single_shot_rates
from .details import (
    cmc_details,
    open_set_details,
    query_details,
    rate_intervals,
    threshold_details,
    verification_details,
)
from .evaluator import DatasetEvaluator
from .features import FeatureCollector, FeatureSet, require_finite
from .memory_budget import require_memory
from .open_set import choose_absent
from .pair_scores import PairScores, PairTable, ScoreScale, bytes_to_keep, scores_to_keep
from .postprocess import Postprocess, Retrieval, build_postprocess
from .protocol import PROTOCOL_REGISTRY
from .rank import IdentityIndex
from .rank_blocks import Adjust, sample_scores, smallest_block_bytes
from .rank_lists import PlacedRetrieval
from .rank_shares import gather_pairs, rank_matches_together
from .rates import rates_by_query, summarize, warn_unmatched
from .score_sketch import ScoreSketch
from .scores import SCORE_REGISTRY
from .similarity import METRIC_REGISTRY

__all__ = ["ReidEvaluator"]

logger = logging.getLogger(__name__)

_BESIDE_PAIRS = 100_000_000  # bytes at least, for blocks of similarities beside the scores that are kept


class _Ranked(NamedTuple):
    """What ranking Q queries gives; the same on every rank."""

    ranks: list[np.ndarray]  # of each query's true matches
    camids: np.ndarray  # (Q,) of the queries, as the protocol has them
    drawn: list[np.ndarray] | None  # ranks in drawn galleries
    cameras: list[np.ndarray] | None  # of each query's true matches, best rank first
    table: PairTable | None
    sketch: ScoreSketch | None
    absent: np.ndarray  # identities held out


@EVALUATOR_REGISTRY.register()
class ReidEvaluator(DatasetEvaluator):
    """CMC, mAP and mINP, in percent, of the first ``num_query`` images against the rest.

    Built as ``ReidEvaluator(cfg, num_query, output_dir=None)``, or from values by keyword.

    Args:
        num_query: the first so many images of the test set, over all ranks, are the queries.
        metric: ``TEST.METRIC``, a name in ``METRIC_REGISTRY``.
        protocol: ``TEST.PROTOCOL``, a name in ``PROTOCOL_REGISTRY``.
        output_dir: where subclasses may write files; this class writes none.
        roc: ``TEST.ROC.ENABLED``: verification, open-set identification and a recommended threshold too.
        open_set_share: ``TEST.OPEN_SET.SHARE``, of the query identities, in [0, 1).
        threshold: ``TEST.THRESHOLD.KIND``, ``fpr`` or ``far``, and ``TEST.THRESHOLD.VALUE``, in (0, 1).
        resamples: ``TEST.BOOTSTRAP.RESAMPLES``, at least 0; 0: no confidence intervals.
        postprocess: what is done to the features before they are ranked; ``None``: nothing. From a config: those of
            ``TEST.POSTPROCESS`` that are on.
        draws: ``TEST.CUHK03.DRAWS``, at least 1, and ``TEST.CUHK03.SEED``, for protocols with drawn galleries.
        memory_gb: ``TEST.MEMORY_GB``: memory to use beside the features, in units of 1e9 bytes, > 0.

    Attributes:
        details: after :meth:`evaluate`, on rank 0, what JSON can carry beside the results: see docs/evaluation.md.
        queries: after :meth:`evaluate`, on rank 0, arrays ``(Q,)`` by name, with one number for each query.

    Raises:
        KeyError: if there is no such metric, protocol or test-time option.
        ValueError: if a number is out of its range, or a test-time option is wrong.
    """

    _camids_are_cameras = True  # else they tell the images of an identity apart

    @configurable
    def __init__(
        self,
        *,
        num_query: int,
        metric: str = "cosine",
        protocol: str = "market1501",
        output_dir: str | None = None,
        roc: bool = False,
        open_set_share: float = 0.2,
        threshold: tuple[str, float] = ("fpr", 1e-3),
        resamples: int = 1000,
        postprocess: Postprocess | None = None,
        draws: tuple[int, int] = (10, 0),
        memory_gb: float = 1.0,
    ) -> None:
        if num_query < 0:
            raise ValueError(f"num_query must be >= 0, got {num_query}")
        if threshold[0] not in ("fpr", "far"):
            raise ValueError(f"TEST.THRESHOLD.KIND must be fpr or far, got {threshold[0]!r}")
        if not 0 < threshold[1] < 1:
            raise ValueError(f"TEST.THRESHOLD.VALUE must be in (0, 1), got {threshold[1]}")
        if not 0 <= open_set_share < 1:
            raise ValueError(f"TEST.OPEN_SET.SHARE must be in [0, 1), got {open_set_share}")
        if resamples < 0:
            raise ValueError(f"TEST.BOOTSTRAP.RESAMPLES must be >= 0, got {resamples}")
        require_memory(memory_gb, 0, "evaluation")
        if roc:
            SCORE_REGISTRY.get(metric)
        METRIC_REGISTRY.get(metric)  # an unknown name is an error before the model has run over the test set
        needed = getattr(PROTOCOL_REGISTRY.get(protocol), "evaluator", None)
        if needed:
            raise ValueError(f"TEST.PROTOCOL {protocol} has no queries of its own: set TEST.EVALUATOR {needed}")
        single_shot = getattr(PROTOCOL_REGISTRY.get(protocol), "single_shot", False)
        self._draws = draws if single_shot else None
        if single_shot:
            SCORE_REGISTRY.get(metric)
            SingleShot(np.empty(0), draws=draws[0], seed=draws[1])  # draws out of range are an error now, too
        self._num_query = num_query
        self._metric = metric
        self._protocol = protocol
        self._output_dir = output_dir
        self._roc = roc
        self._open_set_share = open_set_share
        self._threshold = threshold
        self._resamples = resamples
        self._memory_gb = memory_gb
        self._features = FeatureCollector()
        self._postprocess = Postprocess() if postprocess is None else postprocess
        self._paths: list[str] = []
        self.details: dict[str, Any] = {}
        self.queries: dict[str, np.ndarray] = {}

    @classmethod
    def from_config(cls, cfg: CfgNode, num_query: int, output_dir: str | None = None) -> dict[str, Any]:
        """Read ``TEST``: ``METRIC``, ``PROTOCOL``, ``CUHK03``, ``POSTPROCESS``, ``MEMORY_GB``, ``ROC``, the rest."""
        return {
            "num_query": num_query,
            "metric": cfg.TEST.METRIC,
            "protocol": cfg.TEST.PROTOCOL,
            "output_dir": output_dir,
            "roc": cfg.TEST.ROC.ENABLED,
            "open_set_share": cfg.TEST.OPEN_SET.SHARE,
            "threshold": (cfg.TEST.THRESHOLD.KIND, cfg.TEST.THRESHOLD.VALUE),
            "resamples": cfg.TEST.BOOTSTRAP.RESAMPLES,
            "postprocess": build_postprocess(cfg),
            "draws": (cfg.TEST.CUHK03.DRAWS, cfg.TEST.CUHK03.SEED),
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
            inputs: ``targets`` ``(N,)`` and ``camids`` ``(N,)``, int64; a camid below 0: no camera is known. If they
                are there, ``img_paths``, N strings, name queries without a match in the details.
            outputs: ``(N, D)`` float embeddings, not normalised.

        Raises:
            ValueError: if the shapes do not fit.
        """
        self._features.add(outputs, inputs["targets"], inputs["camids"])
        self._paths += map(str, inputs.get("img_paths") or [""] * len(outputs))

    def evaluate(self) -> dict[str, float]:
        """Compute the results of all images of all ranks.

        A query without a true match is left out, with a warning; if there is no other, the rates are 0.

        Returns:
            On rank 0 an ordered dict with ``Rank-1``, ``Rank-5``, ``Rank-10``, ``mAP``, ``mINP`` and ``metric`` (the
            mean of mAP and Rank-1), and with ``roc`` ``TPR@FPR=1e-04``, ``TPR@FPR=1e-03`` and ``TPR@FPR=1e-02``, in
            percent; ``{}`` elsewhere.

        Raises:
            ValueError: on every rank, if no image was processed, there are fewer than ``num_query``, or what
                :meth:`judge` raises.
        """
        query, gallery = self._features.gather().split(self._num_query)
        return self.judge(query, gallery, self._all_paths())

    def judge(self, query: FeatureSet, gallery: FeatureSet, paths: Sequence[str] = ()) -> dict[str, float]:
        """Compute the results of the features of a whole test set, wherever they come from.

        Args:
            query: Q images; the same on every rank. Features may lie on disk (``numpy.memmap``).
            gallery: G images; likewise.
            paths: of queries and gallery, as far as they are known.

        Returns:
            What :meth:`evaluate` returns; ``details`` and ``queries`` are set as well.

        Raises:
            ValueError: on every rank, if a feature is NaN or infinite (the message says how many and where), the images
                do not fit the protocol, or ``TEST.MEMORY_GB`` is too small.
        """
        require_finite([query, gallery], paths)
        self._postprocess.report.clear()
        logger.info("Evaluating by the protocol %s (TEST.PROTOCOL)", self._protocol)
        return self.evaluate_split(query, gallery, paths)

    def evaluate_split(self, query: FeatureSet, gallery: FeatureSet, paths: Sequence[str] = ()) -> dict[str, float]:
        """Compute the results of features that have been checked; every rank must have all of them.

        Args:
            query: Q images, finite.
            gallery: G images, finite.
            paths: of queries and gallery, as far as they are known.

        Returns:
            What :meth:`evaluate` returns; ``details`` and ``queries`` are set as well.
        """
        places = torch.arange(len(query))
        results, self.details, self.queries = self._rates(query, gallery, places, paths)
        worst = worst_of_each(self.details.get("breakdown", {}))
        if worst:
            logger.info("Worst of each: %s", worst)
        return results

    def _all_paths(self) -> list[str]:
        """Return the path of every image of the test set, as far as it is known; every rank must call it."""
        return [path for of_rank in comm.all_gather(self._paths) for path in of_rank]

    def _rates(
        self, query: FeatureSet, gallery: FeatureSet, places: Tensor, paths: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, Any], dict[str, np.ndarray]]:
        """Return results, details and per-query numbers of one split; every rank computes its share of them.

        Args:
            query: Q images.
            gallery: G images.
            places: ``(Q,)`` int64 positions of the queries in the test set.
            paths: of the images of the test set.

        Returns:
            All empty on ranks other than 0.
        """
        found = self._rank(query, gallery)
        if not comm.is_main_process():
            return {}, {}, {}
        q_pids, ranks, table = query.pids.cpu().numpy(), found.ranks, found.table
        warn_unmatched(ranks)
        results, numbers = summarize(ranks), rates_by_query(ranks)
        if found.drawn is not None:
            results, numbers = single_shot_rates(numbers, found.drawn)
        own_paths = [paths[place] if place < len(paths) else "" for place in places.tolist()]
        has_match = ~np.isnan(numbers["mAP"])
        bootstrap = IdentityBootstrap(q_pids, resamples=self._resamples) if self._resamples else None
        details: dict[str, Any] = {"queries": query_details(has_match, places.numpy(), own_paths)}
        if self._postprocess.report:
            details["postprocess"] = {name: dict(figures) for name, figures in self._postprocess.report.items()}
        if bootstrap is not None:
            details["intervals"] = rate_intervals(numbers, bootstrap)
        details["cmc"] = cmc_details(ranks, found.drawn)
        q_cameras = None if found.cameras is None else query.camids.cpu().numpy()
        details["breakdown"] = breakdown_details(numbers, q_pids, q_cameras, ranks, found.cameras)
        queries = {
            "place": places.numpy(),
            "img_path": np.array(own_paths, dtype=np.str_),
            "pid": q_pids,
            "camid": found.camids,
            **numbers,
        }
        if table is not None:
            is_absent = ~has_match | np.isin(q_pids, found.absent)
            more = self._pair_details(found, is_absent, bootstrap)
            results.update(
                {name: point["tpr"] or 0.0 for name, point in more["verification"]["operating_points"].items()}
            )
            details |= more
            queries |= {"best_match": table.best_match, "best_other": table.best_other, "is_absent": is_absent}
        return results, details, queries

    def _rank(self, query: FeatureSet, gallery: FeatureSet) -> _Ranked:
        """Apply the protocol and the test-time options, rank, and note what else there is to see on the way."""
        retrieval = self._retrieval(query, gallery)
        cameras = self._match_cameras(query, gallery, retrieval)
        query, gallery = retrieval.query, retrieval.gallery
        q_pids, g_pids = query.pids.cpu().numpy(), gallery.pids.cpu().numpy()
        absent, pairs, sketch, keep = q_pids[:0], None, None, 0
        memory_gb = self._memory_gb
        if self._roc:
            absent, pairs, scale, keep = self._prepare_pairs(query, gallery, retrieval.adjust)
            memory_gb -= bytes_to_keep(keep) / 1e9
            sketch = ScoreSketch(q_pids, scale=scale, num_gallery=len(gallery)) if self._resamples else None
        shots = None if self._draws is None else SingleShot(g_pids, draws=self._draws[0], seed=self._draws[1])
        consumer = Consumers.of(cameras, shots, sketch, pairs)
        ranks = rank_matches_together(
            query, gallery, metric=self._metric, memory_gb=memory_gb, adjust=retrieval.adjust, consumer=consumer
        )
        if sketch is not None:
            sketch.gather()
        return _Ranked(
            ranks,
            query.camids.cpu().numpy(),
            None if shots is None else gather_rows(shots.ranks, len(query)),
            None if cameras is None else gather_rows(cameras.cameras, len(query)),
            None if pairs is None else gather_pairs(pairs.table(), keep),
            sketch,
            absent,
        )

    def _retrieval(self, query: FeatureSet, gallery: FeatureSet) -> Retrieval:
        """Apply the test-time options, which see the cameras of the test set, and label as the protocol does."""
        judged_query, judged_gallery = PROTOCOL_REGISTRY.get(self._protocol)(query, gallery)
        retrieval = self._postprocess(Retrieval(query, gallery, self._metric))
        return replace(
            retrieval,
            query=replace(judged_query, features=retrieval.query.features),
            gallery=replace(judged_gallery, features=retrieval.gallery.features),
        )

    def placed_retrieval(self, query: FeatureSet, gallery: FeatureSet) -> PlacedRetrieval:
        """Return what :meth:`judge` ranks, for those who want to look at the rankings; see ``rank_test``.

        Args:
            query: Q images.
            gallery: G images.
        """
        require_finite([query, gallery])
        places = np.arange(len(query) + len(gallery))
        return PlacedRetrieval(self._retrieval(query, gallery), places[: len(query)], places[len(query) :])

    def _match_cameras(self, query: FeatureSet, gallery: FeatureSet, judged: Retrieval) -> MatchCameras | None:
        """Return what notes the cameras of true matches; ``None``: some are not known, or the metric has no scores."""
        known = bool((query.camids >= 0).all() and (gallery.camids >= 0).all())
        if not known or not self._camids_are_cameras or self._metric not in SCORE_REGISTRY:
            return None
        index = IdentityIndex(judged.gallery.pids.cpu().numpy(), judged.gallery.camids.cpu().numpy())
        labels = (judged.query.pids.cpu().numpy(), judged.query.camids.cpu().numpy())
        return MatchCameras(*labels, index, gallery.camids.cpu().numpy())

    def _prepare_pairs(
        self, query: FeatureSet, gallery: FeatureSet, adjust: Adjust | None
    ) -> tuple[np.ndarray, PairScores, ScoreScale, int]:
        """Return the identities held out of the gallery, what takes in the scores, their scale, how many it keeps."""
        q_pids, g_pids = query.pids.cpu().numpy(), gallery.pids.cpu().numpy()
        index = IdentityIndex(g_pids, gallery.camids.cpu().numpy())
        own = [index.lookup(pid, camid) for pid, camid in zip(q_pids.tolist(), query.camids.tolist(), strict=True)]
        has_match = np.array([matches.size > 0 for matches, _ in own], dtype=bool)
        impostors = len(query) * len(gallery) - sum(matches.size + junk.size for matches, junk in own)
        absent = choose_absent(q_pids, has_match, self._open_set_share)
        scores = sample_scores(query, gallery, metric=self._metric, adjust=adjust)
        kind, value = self._threshold
        keep = scores_to_keep(impostors, max(1e-2, value if kind == "fpr" else 0.0))
        block = smallest_block_bytes(query, gallery, whole_rows=adjust is not None)
        require_memory(
            self._memory_gb,
            bytes_to_keep(keep) + max(_BESIDE_PAIRS, block),
            f"TEST.ROC of {impostors} pairs of different identities",
        )
        scale = comm.all_gather(ScoreScale.of_sample(scores))[0]
        pairs = PairScores(
            len(query),
            scale=scale,
            keep=keep,
            held_out=np.flatnonzero(np.isin(g_pids, absent)),
            dtype=scores.dtype.type,
        )
        return absent, pairs, scale, keep

    def _pair_details(
        self, found: _Ranked, is_absent: np.ndarray, bootstrap: IdentityBootstrap | None
    ) -> dict[str, Any]:
        table = found.table
        point = threshold_details(*self._threshold, table, is_absent, bootstrap)
        return {
            "verification": verification_details(table, bootstrap, found.sketch),
            "open_set": open_set_details(table, is_absent, found.absent.size, bootstrap),
            "threshold": {**point, "metric": self._metric, "postprocess": list(self._postprocess.report)},
        }
