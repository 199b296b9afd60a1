"""What a run measures, and the writers that show and keep it.

The loop opens an :class:`EventStorage`; everything inside puts its numbers there; every now and then
the writers read it. Putting a tensor costs no synchronisation with its device: reading does.
"""

from __future__ import annotations

from .csv_table import CSVWriter
from .json_lines import JSONWriter, read_metrics
from .printer import CommonMetricPrinter
from .storage import EventStorage, get_event_storage, has_event_storage
from .tensorboard import TensorboardXWriter
from .writer import EventWriter

__all__ = [
    "CSVWriter",
    "CommonMetricPrinter",
    "EventStorage",
    "EventWriter",
    "JSONWriter",
    "TensorboardXWriter",
    "get_event_storage",
    "has_event_storage",
    "read_metrics",
]
