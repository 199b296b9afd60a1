"""What ``tools/benchmark.py`` measures: one file per area, each case in a process of its own."""

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
