"""What ``tools/benchmark.py`` measures: one file per area, each case in a process of its own.

What ``tools/model_info.py`` tells is in :mod:`.model_info`. It is not imported here: this package is also loaded as a
part of older copies of the library, which may lack what that module needs.
"""

from __future__ import annotations

from .cases import AREAS, Case, parse_variant, plan
from .checkout import Checkout
from .report import FIGURES, summarize_runs, tables
from .runner import benchmark

__all__ = [
    "AREAS",
    "FIGURES",
    "Case",
    "Checkout",
    "benchmark",
    "parse_variant",
    "plan",
    "summarize_runs",
    "tables",
]
