"""Images and identities whose labels the features contradict: what to look at first when cleaning a data set."""

from __future__ import annotations

from .find import find_label_suspects
from .of_folder import FolderLabels, find_suspects_in_folder, read_folder_labels
from .suspect import KINDS, Match, Suspect, describe
from .table import CSV_COLUMNS, suspect_row, write_suspects_csv

__all__ = [
    "CSV_COLUMNS",
    "KINDS",
    "FolderLabels",
    "Match",
    "Suspect",
    "describe",
    "find_label_suspects",
    "find_suspects_in_folder",
    "read_folder_labels",
    "suspect_row",
    "write_suspects_csv",
]
