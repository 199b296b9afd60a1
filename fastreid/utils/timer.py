"""A stopwatch."""

from __future__ import annotations

from time import perf_counter

__all__ = ["Timer"]


class Timer:
    """Measure elapsed seconds; it runs from the moment it is made and can be paused.

    Example:
        >>> timer = Timer()
        >>> timer.pause()
        >>> timer.is_paused(), timer.seconds() >= 0
        (True, True)
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything and start from zero, running."""
        self._started = perf_counter()
        self._before = 0.0  # seconds of the finished stretches
        self._paused = False
        self._stretches = 1

    def pause(self) -> None:
        """Stop the clock.

        Raises:
            ValueError: if it is stopped already.
        """
        if self._paused:
            raise ValueError("the timer is paused already; call resume() before the next pause()")
        self._before += perf_counter() - self._started
        self._paused = True

    def is_paused(self) -> bool:
        """Tell whether the clock is stopped."""
        return self._paused

    def resume(self) -> None:
        """Let the clock run on.

        Raises:
            ValueError: if it runs already.
        """
        if not self._paused:
            raise ValueError("the timer is running; call pause() before the next resume()")
        self._started = perf_counter()
        self._paused = False
        self._stretches += 1

    def seconds(self) -> float:
        """Return the seconds that the clock has run since the start or the last :meth:`reset`, pauses left out."""
        return self._before + (0.0 if self._paused else perf_counter() - self._started)

    def avg_seconds(self) -> float:
        """Return the mean seconds of a stretch between a start (or resume) and the pause that ends it."""
        return self.seconds() / self._stretches
