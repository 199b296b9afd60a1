"""FastReID v1.3's way to rank lists and ROC curves: from a matrix of distances that is there already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from ..data import CommDataset
from ..evaluation.rank_lists import MATCH, RankedTest, rank_matrix
from ..evaluation.roc import evaluate_roc, roc_of_scores
from .curves.roc_files import load_roc_info, plot_distribution, plot_roc_curve, save_jpeg, save_roc_info
from .rank_lists.painted_thumbnails import PaintedThumbnails, activation_painter
from .rank_lists.rank_cells import Look
from .rank_lists.rank_list import ImageTexts
from .rank_lists.rank_pictures import choose_queries, write_rank_pictures
from .thumbnails import Thumbnails, cell_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Visualizer"]

_KEPT = 50  # images with a rank that are kept for each query


class Visualizer:
    """Draw the rank lists and the ROC curve of a test set.

    For large test sets ``tools/visualize_results.py`` does the same without a matrix.

    Args:
        dataset: of the test loader: the queries, then the gallery.
        model: for activation maps; ``None``: there are none.

    Example:
        ::

            visualizer = Visualizer(test_loader.dataset)
            visualizer.get_model_output(all_ap, dist, q_pids, g_pids, q_camids, g_camids)
            visualizer.vis_rank_list("vis_rank_list", vis_label=True, max_rank=10)
    """

    def __init__(self, dataset: CommDataset, model: nn.Module | None = None) -> None:
        self.dataset = dataset
        self._model = model
        items = dataset.img_items
        cameras = ["" if isinstance(item[2], int) and item[2] < 0 else str(item[2]) for item in items]
        self._images = ImageTexts([item[0] for item in items], [str(item[1]) for item in items], cameras)
        self._output: tuple[np.ndarray, ...] | None = None
        self._test: RankedTest | None = None

    def get_model_output(
        self,
        all_ap: np.ndarray | Sequence[float] | None,
        dist: np.ndarray,
        q_pids: np.ndarray,
        g_pids: np.ndarray,
        q_camids: np.ndarray,
        g_camids: np.ndarray,
    ) -> None:
        """Take in what is to be drawn.

        Args:
            all_ap: average precision of the queries, as ``evaluate_rank`` returns it: of all ``(Q,)``, or of those
                that have a true match; the order of the pictures. ``None``: it is computed from the matrix.
            dist: ``(Q, G)`` finite distances: the smaller, the closer. Of cosines, give 1 minus them.
            q_pids: ``(Q,)`` identities of the queries.
            g_pids: ``(G,)`` identities of the gallery.
            q_camids: ``(Q,)`` cameras of the queries.
            g_camids: ``(G,)`` cameras of the gallery; same identity and same camera as the query: junk.

        Raises:
            ValueError: if shapes do not fit each other or the data set, or a distance is NaN or infinite.
        """
        arrays = tuple(np.asarray(array) for array in (dist, q_pids, g_pids, q_camids, g_camids))
        test = rank_matrix(*arrays, length=_KEPT)
        if sum(arrays[0].shape) != len(self._images.img_paths):
            raise ValueError(
                f"dist is {arrays[0].shape}, but the data set has {len(self._images.img_paths)} images; give the "
                "distances of its queries to its gallery, in its order"
            )
        computed = test.numbers["mAP"]
        self.all_ap = computed if all_ap is None else _of_all_queries(np.asarray(all_ap, dtype=np.float64), computed)
        self._output, self._test = arrays, test

    def get_matched_result(self, q_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ranking of one query without junk: ``(K,)`` bool true matches, ``(K,)`` int64 gallery positions.

        As in the evaluation, of equal distances those of other identities come first.

        Raises:
            ValueError: if there is no such query.
        """
        dist, q_pids, g_pids, q_camids, g_camids = self._taken_in()
        _check_queries([q_index], len(q_pids))
        one = slice(q_index, q_index + 1)
        test = rank_matrix(dist[one], q_pids[one], g_pids, q_camids[one], g_camids, length=max(1, len(g_pids)))
        ranking = test.lists([0])[0]
        counts = ranking.ranks > 0
        return ranking.kinds[counts] == MATCH, ranking.places[counts] - 1  # the query is at 0

    def save_rank_result(
        self,
        query_indices: np.ndarray | Sequence[int],
        output: str | os.PathLike[str],
        max_rank: int = 5,
        vis_label: bool = False,
        label_sort: str = "ascending",
        actmap: bool = False,
    ) -> list[Path]:
        """Draw the rank lists of some queries, in their order; see ``write_rank_pictures`` for the files.

        Args:
            query_indices: numbers of the queries.
            output: folder, is made if it is not there.
            max_rank: images with a rank, from 1 to 1000.
            vis_label: show the true matches in a second row.
            label_sort: of these: ``ascending``, the lowest similarity first, the hardest; or ``descending``.
            actmap: show the images with the activation maps of ``model``.

        Returns:
            The pictures.

        Raises:
            ValueError: if an argument is none of these, there is no such query, or ``actmap`` is asked for without a
                model.
        """
        hardest_first = _is_ascending("label_sort", label_sort)
        look = Look(max_rank=max_rank, labels=vis_label, hardest_first=hardest_first)
        arrays = self._taken_in()
        _check_queries(query_indices, len(arrays[1]))
        test = self._test if max_rank <= _KEPT else rank_matrix(*arrays, length=max_rank)
        reader = Thumbnails(self._images.img_paths, *cell_size(self._images.img_paths))
        if not actmap:
            return write_rank_pictures(test, self._images, output, query_indices, look=look, read=reader)
        if self._model is None:
            raise ValueError("actmap needs a model: Visualizer(dataset, model), or visualize_results.py --actmap")
        seen = PaintedThumbnails(activation_painter(self._model), self.dataset, reader)
        options = {"look": look, "read": seen, "prepare": seen.prepare}
        return write_rank_pictures(test, self._images, output, query_indices, **options)

    def vis_rank_list(
        self,
        output: str | os.PathLike[str],
        vis_label: bool,
        num_vis: int = 100,
        rank_sort: str = "ascending",
        label_sort: str = "ascending",
        max_rank: int = 5,
        actmap: bool = False,
    ) -> np.ndarray:
        """Draw the rank lists of the ``num_vis`` queries that come first by their average precision.

        Args:
            output: see :meth:`save_rank_result`, also for what is not said here.
            vis_label: likewise.
            num_vis: pictures, at least 1; of a smaller test set one for each query.
            rank_sort: ``ascending``, the lowest average precision first, or ``descending``. Queries without a true
                match come last.
            label_sort: likewise.
            max_rank: likewise.
            actmap: likewise.

        Returns:
            int64 ``(N,)`` numbers of the queries, in the order of the pictures.
        """
        if num_vis < 1:
            raise ValueError(f"num_vis must be at least 1 picture, got {num_vis}")
        self._taken_in()
        ascending = _is_ascending("rank_sort", rank_sort)
        nothing = [""] * len(self.all_ap)
        chosen = choose_queries(self.all_ap, nothing, nothing, descending=not ascending)[:num_vis]
        self.save_rank_result(chosen, output, max_rank, vis_label, label_sort, actmap)
        return chosen

    def vis_roc_curve(self, output: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw ``roc.jpg`` into a folder.

        Returns:
            False and true positive rates ``(T,)`` in [0, 1] with a corner at each different score, ascending; scores of
            genuine pairs ``(P,)`` and of impostors ``(N,)``: minus the distances.

        Raises:
            ValueError: if there are no pairs of one of these kinds.
        """
        scores, labels = evaluate_roc(*self._taken_in())
        genuine, impostors = scores[labels == 1], scores[labels == 0]
        if not genuine.size or not impostors.size:
            raise ValueError(f"a ROC curve needs pairs of both kinds, got {genuine.size} genuine, {impostors.size} not")
        curve = roc_of_scores(genuine, impostors)
        fpr = np.append(0.0, curve.false_positives / curve.impostors)
        tpr = np.append(0.0, curve.true_positives / curve.genuine)
        save_jpeg(plot_roc_curve(fpr, tpr), Path(output, "roc.jpg"))
        return fpr, tpr, genuine, impostors

    @staticmethod
    def plot_roc_curve(fpr: np.ndarray, tpr: np.ndarray, name: str = "model", fig: Figure | None = None) -> Figure:
        """Draw a ROC curve, into ``fig`` if there is one; see ``roc_files``."""
        return plot_roc_curve(fpr, tpr, name, fig)

    @staticmethod
    def plot_distribution(pos: np.ndarray, neg: np.ndarray, name: str = "model", fig: Figure | None = None) -> Figure:
        """Draw how scores are distributed, into ``fig`` if there is one; see ``roc_files``."""
        return plot_distribution(pos, neg, name, fig)

    @staticmethod
    def save_roc_info(
        output: str | os.PathLike[str], fpr: np.ndarray, tpr: np.ndarray, pos: np.ndarray, neg: np.ndarray
    ) -> Path:
        """Write ``roc_info.pickle`` into a folder; see ``roc_files`` for what it is."""
        return save_roc_info(output, fpr, tpr, pos, neg)

    @staticmethod
    def load_roc_info(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
        """Read what :meth:`save_roc_info` has written."""
        return load_roc_info(path)

    def _taken_in(self) -> tuple[np.ndarray, ...]:
        if self._output is None:
            raise ValueError("there is nothing to draw yet; call get_model_output(...) first")
        return self._output


def _of_all_queries(given: np.ndarray, computed: np.ndarray) -> np.ndarray:
    """Return the given average precision ``(Q,)``, with NaN for queries without a true match."""
    has_match = ~np.isnan(computed)
    if given.shape == computed.shape:
        return np.where(has_match, given, np.nan)
    if given.shape != (has_match.sum(),):
        raise ValueError(
            f"all_ap must have one number for each of the {computed.size} queries, or for each of the "
            f"{has_match.sum()} that have a true match, got {given.shape}"
        )
    found = np.full(computed.shape, np.nan)
    found[has_match] = given
    return found


def _check_queries(numbers: np.ndarray | Sequence[int], count: int) -> None:
    wrong = [int(number) for number in numbers if not 0 <= number < count]
    if wrong:
        raise ValueError(f"there is no query {wrong[0]}; they are counted from 0 to {count - 1}")


def _is_ascending(name: str, value: str) -> bool:
    if value not in ("ascending", "descending"):
        raise ValueError(f"{name} must be ascending or descending, got {value!r}")
    return value == "ascending"
