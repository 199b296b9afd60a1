"""A folder that opens in any browser: numbers, curves, and each query with its rank list."""

from __future__ import annotations

from .build import ReportOptions, make_report, write_report
from .folder import check_output
from .runs import JudgedRun, judge_runs, name_runs

__all__ = ["JudgedRun", "ReportOptions", "check_output", "judge_runs", "make_report", "name_runs", "write_report"]
