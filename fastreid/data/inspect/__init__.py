"""The doctor of data sets: counts, faults in images and labels, a verdict.

`inspect_dataset` makes every registered check of a data set and returns a `Report`; `report_text` writes it out, and
`contact_sheet` draws samples and the faulty images. A check is a function in the file of its group, registered with
`register_check`; importing the file, here, is what adds it.
"""

from __future__ import annotations

from . import counts, images, identities, queries, duplicates  # isort: skip  (the order of the checks)
from .build import CHECK_REGISTRY, register_check
from .finding import SEVERITIES, Case, Finding
from .inspector import inspect_dataset, known_kinds
from .queries import PROTOCOLS
from .report import Report
from .sheet import contact_sheet
from .subject import LabelledSplit, Subject
from .text import report_text

__all__ = [
    "CHECK_REGISTRY",
    "PROTOCOLS",
    "SEVERITIES",
    "Case",
    "Finding",
    "LabelledSplit",
    "Report",
    "Subject",
    "contact_sheet",
    "counts",
    "duplicates",
    "identities",
    "images",
    "inspect_dataset",
    "known_kinds",
    "queries",
    "register_check",
    "report_text",
]
