from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .loader import NamingLoader
from .transforms.batch_stage import BatchStage, finish_batch

__all__ = ["StagedLoader"]


class StagedLoader(NamingLoader):
    """A loader for items that some stages are still to be done to, a batch at a time.

    Iterated over, it gives finished batches: the stages run on the CPU, in this process. ``DevicePrefetcher`` takes the
    ``raw_batches`` and finishes them on the device.

    Args:
        dataset: its items hold the parameters of the stages, see ``finish_batch``.
        stages: by name, in their order.
        options: torch's.
    """

    def __init__(self, dataset: Any, *, stages: Mapping[str, BatchStage], **options: Any) -> None:
        super().__init__(dataset, **options)
        self.stages = dict(stages)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield finished batches."""
        return map(self.finish, self.raw_batches())

    def raw_batches(self) -> Iterator[dict[str, Any]]:
        """Return an iterator over the batches as the workers make them."""
        return super().__iter__()

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the stages that are left, where the batch is."""
        return finish_batch(batch, self.stages)
