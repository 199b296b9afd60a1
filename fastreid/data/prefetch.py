"""Have the next batch on its way to the device while the model works on this one."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .samplers.stream import StreamSampler

__all__ = ["DevicePrefetcher", "move_batch"]

_LOOK = 5.0  # seconds between two looks at whether the thread lives, while nothing comes


class DevicePrefetcher:
    """Iterate over a loader's batches with their tensors on a device, one batch ahead.

    A thread takes the batches from the loader and sends them: on CUDA from page-locked memory by a stream of its own,
    so that neither the CPU nor the work on the current stream waits for them; elsewhere it hides what it costs to take
    a batch from a worker process. What goes wrong in the loader, in a worker or on the way raises at the ``next`` that
    would have returned the batch; after it the iteration is over.

    The thread exists only where it can change no result: the loader has workers, and its sampler is a
    ``StreamSampler``, which draws from no global random stream. Otherwise each batch is loaded and sent when it is
    asked for. Which batches were consumed is for the consumer to count; what is ahead of it is dropped at the end.

    Args:
        loader: yields batch dicts. One that defines ``raw_batches`` and ``finish``, see ``StagedLoader``, has its
            batches finished on the device.
        device: where to.
        ahead: batches that may wait on the device, at least 1.

    Example:
        >>> batches = iter(DevicePrefetcher([{"targets": torch.arange(2)}], torch.device("cpu")))
        >>> next(batches)["targets"]
        tensor([0, 1])
    """

    def __init__(self, loader: Iterable[dict[str, Any]], device: torch.device | str, *, ahead: int = 1) -> None:
        if ahead < 1:
            raise ValueError(f"ahead must be at least 1 batch, got {ahead}")
        self._loader = loader
        self._device = torch.device(device)
        if self._device.type == "cuda" and self._device.index is None:  # another thread may have another default
            self._device = torch.device("cuda", torch.cuda.current_device())
        self._ahead = ahead
        self._last: weakref.ref[_Ahead] | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Begin anew; an earlier iteration ends, since a loader with lasting workers cannot serve two."""
        earlier = self._last() if self._last is not None else None
        if earlier is not None:
            earlier.close()
        # Here and not in the thread: workers must be started from the main thread.
        raw = getattr(self._loader, "raw_batches", None)
        source = iter(self._loader) if raw is None else raw()
        finish = getattr(self._loader, "finish", _as_it_is)
        if not _may_run_ahead(self._loader):
            return (finish(move_batch(batch, self._device)) for batch in source)
        batches = _Ahead(source, finish, self._device, self._ahead)
        self._last = weakref.ref(batches)
        return batches


def move_batch(batch: Any, device: torch.device) -> Any:
    """Return a batch with every tensor in its dicts, lists and tuples on ``device``; the rest is as it is.

    Page-locked memory is sent without waiting. The batch itself is not changed.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: move_batch(value, device) for key, value in batch.items()}
    if type(batch) in (list, tuple) and not all(isinstance(value, str) for value in batch):
        return type(batch)(move_batch(value, device) for value in batch)
    return batch


class _Ahead:
    """The batches that a thread brings."""

    def __init__(self, source: Iterator[Any], finish: Callable[[Any], Any], device: torch.device, ahead: int) -> None:
        self._device = device
        self._found: queue.SimpleQueue[tuple[Any, Any, BaseException | None]] = queue.SimpleQueue()
        self._room = threading.Semaphore(ahead)
        self._over = False
        stop = threading.Event()
        # The thread must not know this object, or it would never go away.
        self._thread = threading.Thread(
            target=_bring,
            args=(source, finish, device, self._found, self._room, stop),
            name="prefetch",
            daemon=True,
        )
        self.close = weakref.finalize(self, _end, self._thread, self._room, stop)
        self.close.atexit = False
        atexit.register(self.close)  # before the workers are ended, which were started earlier
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._over or not self.close.alive:
            raise StopIteration
        batch, sent, error = self._take()
        if error is not None:
            self._over = True
            self.close()
            raise error
        self._room.release()
        if sent is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(sent)
            _record(batch, stream)
        return batch

    def _take(self) -> tuple[Any, Any, BaseException | None]:
        while True:
            alive = self._thread.is_alive()  # before the look: what it left behind must not be missed
            try:
                return self._found.get(timeout=_LOOK if alive else 0)
            except queue.Empty:
                if not alive:
                    gone = RuntimeError("the thread that prefetches batches is gone without a word; start a new run")
                    return None, None, gone


def _bring(
    source: Iterator[Any],
    finish: Callable[[Any], Any],
    device: torch.device,
    found: queue.SimpleQueue,
    room: threading.Semaphore,
    stop: threading.Event,
) -> None:
    """Take batches from ``source`` and put them on ``device`` while there is room; put the error that ends it too."""
    try:
        send = _Sender(device)
        while True:
            room.acquire()
            if stop.is_set():
                return
            batch = next(source)
            if stop.is_set():
                return
            found.put((*send(batch, finish), None))
    except BaseException as error:  # StopIteration too: whatever it is, the consumer must not wait
        found.put((None, None, error))


class _Sender:
    """Send batches to a device; on CUDA by a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: Any, finish: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Return the batch there, and the event after which it may be read; ``None``: at once."""
        if self._stream is None:
            return finish(move_batch(batch, self._device)), None
        with torch.cuda.stream(self._stream):
            sent = finish(move_batch(batch, self._device))
            return sent, self._stream.record_event()


def _record(batch: Any, stream: Any) -> None:
    """Tell the allocator that the tensors are used on ``stream``: it must not give their memory away before that."""
    if isinstance(batch, Tensor):
        if batch.is_cuda:
            batch.record_stream(stream)
    elif isinstance(batch, Mapping):
        for value in batch.values():
            _record(value, stream)
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            _record(value, stream)


def _end(thread: threading.Thread, room: threading.Semaphore, stop: threading.Event) -> None:
    stop.set()
    room.release()
    if thread is not threading.current_thread():
        thread.join(timeout=2 * _LOOK)  # a loader that hangs must not hold up the end


def _may_run_ahead(loader: Any) -> bool:
    sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    return isinstance(loader, DataLoader) and loader.num_workers > 0 and isinstance(sampler, StreamSampler)


def _as_it_is(batch: Any) -> Any:
    return batch
