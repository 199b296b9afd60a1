"""The registry of the doctor's checks."""

from __future__ import annotations

from collections.abc import Callable

from ...utils.registry import Registry

__all__ = ["CHECK_REGISTRY", "register_check"]

CHECK_REGISTRY = Registry("DATASET_CHECK")
"""Checks of a data set; all of them are made, in the order in which they were registered.

Called as ``function(subject)`` with a :class:`~.subject.Subject`. Returns or yields
:class:`~.finding.Finding`, whose kinds are among the attribute ``kinds`` of the function. A check that looks at images
finds ``subject.facts`` to be ``None`` where none were read. Registered with :func:`register_check`.
"""


def register_check(*kinds: str) -> Callable[[Callable], Callable]:
    """Return a decorator that registers a check.

    Args:
        *kinds: of the findings that it may return, at least one.
    """

    def register(function: Callable) -> Callable:
        function.kinds = kinds
        return CHECK_REGISTRY.register(function)

    return register
