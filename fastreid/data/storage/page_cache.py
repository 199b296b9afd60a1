"""What the system keeps of files in memory."""

from __future__ import annotations

import os

__all__ = ["drop_pages", "is_cached"]


def drop_pages(path: str) -> bool:
    """Ask the system to forget what it keeps of a file in memory, so that the next read is one of the disk.

    The file must be on disk already. Names and sizes of files stay in memory.

    Returns:
        Whether the system takes such a wish; it need not fulfil it, see :func:`is_cached`.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return True


def is_cached(path: str, offset: int = 0) -> bool | None:
    """Tell whether a byte of a file can be read without the disk; ``None``: the system does not tell (Linux does)."""
    if not hasattr(os, "RWF_NOWAIT"):
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:  # a file system that cannot
        return None
    finally:
        os.close(descriptor)
