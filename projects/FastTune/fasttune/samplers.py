"""Samplers that can be repeated by any number of processes, and pruners, by name."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from .space import SearchSpace
from .trials import is_fresh

__all__ = ["PRUNERS", "SAMPLERS", "GridSampler", "RepeatableSampler", "build_pruner", "build_sampler"]

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("median", "halving", "hyperband", "none")


class RepeatableSampler(BaseSampler):
    """Make what a sampler draws a function of the seed, the trial's number and the trials before it.

    Two processes with the same seed then draw different values, and a study that is continued draws what it would have
    drawn without the break.

    Args:
        make: returns a sampler for a seed.
        seed: at least 0.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._sampler = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed anew."""
        self._sampler = self._make(int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0]))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the sampler."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Ask the sampler."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell the sampler."""
        self._sampler.after_trial(study, trial, state, values)


class GridSampler(BaseSampler):
    """Take every combination once, in an order drawn from the seed, however many processes take part.

    Args:
        space: of choices and of ranges with steps.
        seed: at least 0.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        keys = [dimension.key for dimension in space.dimensions]
        combinations = itertools.product(*(dimension.points() for dimension in space.dimensions))
        self.combinations = [dict(zip(keys, values)) for values in combinations]
        random.Random(seed).shuffle(self.combinations)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: each value is looked up by itself."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value in the combination whose turn it is; repeated trials bring their values with them."""
        before = [other for other in study.get_trials(deepcopy=False) if other.number < trial.number]
        return self.combinations[sum(map(is_fresh, before)) % len(self.combinations)][param_name]


def build_sampler(name: str, space: SearchSpace, seed: int) -> BaseSampler:
    """Return a sampler.

    Args:
        name: ``tpe`` (tree-structured Parzen estimators; Bergstra et al., NeurIPS 2011; the first ten trials are
            random), ``random`` or ``grid``.
        space: what is drawn from.
        seed: at least 0.
    """
    if name == "grid":
        return GridSampler(space, seed)
    if name == "tpe":
        # constant_liar: what others are trying now counts as bad, so that nobody tries it too
        return RepeatableSampler(lambda seed: TPESampler(seed=seed, constant_liar=True), seed)
    if name == "random":
        return RepeatableSampler(lambda seed: RandomSampler(seed=seed), seed)
    raise ValueError(f"--sampler must be one of {', '.join(SAMPLERS)}, got {name!r}")


def build_pruner(name: str, *, startup: int, first: int, last: int) -> BasePruner:
    """Return a pruner.

    Args:
        name: ``median`` (stop what is worse than the median of the others at that epoch), ``halving`` (asynchronous
            successive halving, ASHA; Li et al., MLSys 2020: let the best quarter go on), ``hyperband`` or ``none``.
        startup: finished trials that ``median`` waits for.
        first: epoch of the first evaluation, at least 1.
        last: epoch of the last evaluation.
    """
    if name == "median":
        return MedianPruner(n_startup_trials=startup)
    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=4)
    if name == "hyperband":
        return HyperbandPruner(min_resource=first, max_resource=max(first, last))
    if name == "none":
        return NopPruner()
    raise ValueError(f"--pruner must be one of {', '.join(PRUNERS)}, got {name!r}")
