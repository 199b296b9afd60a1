"""Embeddings with their labels, and how an evaluator gathers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..utils import comm

__all__ = ["FeatureCollector", "FeatureSet", "require_finite"]

_ROWS = 4096  # images that are looked at together


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Embeddings and the labels of their images.

    Args:
        features: ``(N, D)`` float.
        pids: ``(N,)`` int64 identities.
        camids: ``(N,)`` int64 cameras.

    Raises:
        ValueError: if the shapes do not fit.
    """

    features: Tensor
    pids: Tensor
    camids: Tensor

    def __post_init__(self) -> None:
        if self.features.ndim != 2:
            raise ValueError(f"features must be (images, dimensions), got shape {tuple(self.features.shape)}")
        if self.pids.shape != self.camids.shape or self.pids.shape != self.features.shape[:1]:
            raise ValueError(
                f"features {tuple(self.features.shape)}, pids {tuple(self.pids.shape)} and camids "
                f"{tuple(self.camids.shape)} must be of the same images"
            )

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, images: slice | Tensor) -> FeatureSet:
        """Return some of the images: those of a slice, not copied, or those of a mask ``(N,)``."""
        return FeatureSet(self.features[images], self.pids[images], self.camids[images])

    def split(self, num_query: int) -> tuple[FeatureSet, FeatureSet]:
        """Return the first ``num_query`` images, the queries, and the rest, the gallery; nothing is copied.

        Raises:
            ValueError: if there are fewer images.
        """
        if not 0 <= num_query <= len(self):
            raise ValueError(
                f"num_query is {num_query}, but there are features of {len(self)} images; "
                "pass the num_query that build_reid_test_loader returned with this loader, and process all its batches"
            )
        return self[:num_query], self[num_query:]

    def require_finite(self, most_named: int = 5) -> None:
        """Check that no feature is NaN or infinite; see :func:`require_finite`."""
        require_finite([self], most_named=most_named)


def require_finite(sets: Sequence[FeatureSet], paths: Sequence[str] = (), *, most_named: int = 5) -> None:
    """Check that no feature of a test set is NaN or infinite, a few thousand images at a time.

    Args:
        sets: the parts of the test set, one after the other.
        paths: of the images, as far as they are known.
        most_named: so many bad images are named.

    Raises:
        ValueError: with the number of bad images and the position, and path, of the first ``most_named`` of them.
    """
    bad: list[int] = []
    total = 0
    for images in sets:
        for start in range(0, len(images), _ROWS):
            rows = images.features[start : start + _ROWS]
            rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
            suspects = (~rows.sum(dim=1).isfinite()).nonzero().flatten()  # a sum costs no copy; it may overflow
            bad += [total + start + row for row in suspects.tolist() if not rows[row].isfinite().all()]
        total += len(images)
    if bad:
        named = [f"{at} ({paths[at]})" if at < len(paths) and paths[at] else str(at) for at in bad[:most_named]]
        more = ", ..." if len(bad) > most_named else ""
        raise ValueError(
            f"{len(bad)} of {total} images have features that are NaN or infinite, at positions "
            f"{', '.join(named)}{more} of the test set (queries come first, from 0); "
            "check MODEL.WEIGHTS, and whether the model overflows in half precision"
        )


class FeatureCollector:
    """Keep the embeddings of batch after batch on the CPU, and put together those of all ranks."""

    def __init__(self) -> None:
        self._batches: list[FeatureSet] = []

    def clear(self) -> None:
        """Forget everything."""
        self._batches = []

    def add(self, features: Tensor, pids: Tensor, camids: Tensor) -> None:
        """Keep one batch.

        Args:
            features: ``(N, D)`` float, on any device; kept as float32 on the CPU.
            pids: ``(N,)`` integer identities.
            camids: ``(N,)`` integer cameras.

        Raises:
            ValueError: if the shapes do not fit each other, or the features those of earlier batches.
        """
        batch = FeatureSet(
            features.detach().to("cpu", torch.float32),
            torch.as_tensor(pids).to("cpu", torch.int64),
            torch.as_tensor(camids).to("cpu", torch.int64),
        )
        if self._batches and batch.features.shape[1] != self._batches[0].features.shape[1]:
            raise ValueError(
                f"a batch has features of {batch.features.shape[1]} dimensions after batches with "
                f"{self._batches[0].features.shape[1]}; the model must return as many for every image"
            )
        self._batches.append(batch)

    def gather(self) -> FeatureSet:
        """Return all that was added on every rank, in rank order and, on a rank, in the order of adding.

        Every rank must call it, and every rank gets the same. What was added stays.

        Raises:
            ValueError: if nothing was added on any rank, or the ranks have features of different length.
        """
        widths = set(comm.all_gather(self._batches[0].features.shape[1] if self._batches else 0)) - {0}
        if len(widths) != 1:
            reason = f"features of {sorted(widths)} dimensions" if widths else "no features; is the test set empty?"
            raise ValueError(f"the evaluator got {reason}")
        if not self._batches:  # this rank had no share of the images
            none = torch.empty(0, dtype=torch.int64)
            self._batches = [FeatureSet(torch.empty(0, widths.pop()), none, none)]
        if len(self._batches) > 1:  # one tensor instead of many, so that asking again costs nothing
            self._batches = [
                FeatureSet(
                    torch.cat([batch.features for batch in self._batches]),
                    torch.cat([batch.pids for batch in self._batches]),
                    torch.cat([batch.camids for batch in self._batches]),
                )
            ]
        own = self._batches[0]
        return FeatureSet(*map(comm.all_gather_tensor, (own.features, own.pids, own.camids)))
