"""What a study is: the config, the space, the metric, and how long and in which way to search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastreid.config import CfgNode

from .space import SearchSpace

__all__ = ["DIRECTIONS", "Plan"]

DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True)
class Plan:
    """Everything that the processes of a study share.

    Attributes:
        cfg: the config that is tuned; trials live in its ``OUTPUT_DIR``.
        space: what is tried.
        study: its name in the storage.
        storage: a URL of Optuna (``sqlite:///study.db``), or a journal file; empty: ``journal.log`` in ``OUTPUT_DIR``.
        trials: of the whole study, in all processes together, at least 1. Interrupted trials do not count.
        metric: a result of the evaluation, such as ``mAP`` or ``Market1501/Rank-1``; empty: the trainer's own.
        direction: ``maximize`` or ``minimize``.
        sampler: see ``build_sampler``.
        pruner: see ``build_pruner``.
        pruner_startup: finished trials that the median pruner waits for, at least 0.
        seed: of the sampler, at least 0.
        baseline: whether the first trial takes the config's own values.
        max_failures: so many failed trials on end stop a process, at least 1.
        config_file: what ``best.yaml`` builds on; empty: the defaults.
        opts: ``KEY VALUE`` pairs that were laid over ``config_file``.
    """

    cfg: CfgNode
    space: SearchSpace
    study: str = "study"
    storage: str = ""
    trials: int = 20
    metric: str = ""
    direction: str = "maximize"
    sampler: str = "tpe"
    pruner: str = "median"
    pruner_startup: int = 5
    seed: int = 0
    baseline: bool = False
    max_failures: int = 5
    config_file: str = ""
    opts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in {"trials": 1, "pruner_startup": 0, "seed": 0, "max_failures": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}")
        if self.direction not in DIRECTIONS:
            raise ValueError(f"--direction must be one of {', '.join(DIRECTIONS)}, got {self.direction!r}")
        if not self.cfg.OUTPUT_DIR:
            raise ValueError("OUTPUT_DIR is empty, but a study needs a folder; name one")

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return Path(self.cfg.OUTPUT_DIR)

    def trial_folder(self, number: int) -> Path:
        """Return the folder of a trial."""
        return self.folder / f"trial_{number:04d}"
