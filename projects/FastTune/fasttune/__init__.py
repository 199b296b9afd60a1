"""Search for settings of a config with Optuna."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("optuna") is None:
    raise ImportError("FastTune needs Optuna, which the extra `tune` brings: pip install '.[tune]'")

from .plan import Plan
from .results import best_config, write_results
from .space import Dimension, SearchSpace, load_space, parse_space
from .study import FatalError, Reporter, open_study, work
from .train import ReportHook, train_trial

__all__ = [
    "Dimension",
    "FatalError",
    "Plan",
    "ReportHook",
    "Reporter",
    "SearchSpace",
    "best_config",
    "load_space",
    "open_study",
    "parse_space",
    "train_trial",
    "work",
    "write_results",
]
