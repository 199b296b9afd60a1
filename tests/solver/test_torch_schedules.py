from __future__ import annotations

import math

import pytest
from torch.optim import lr_scheduler

from fastreid.solver import LR_SCHEDULER_REGISTRY, build_lr_scheduler
from fastreid.solver.torch_schedules import epoch_factors

from .test_lr_scheduler import optimizer_of, run, run_in_two, solver, warmup_factor

EPOCHS = 12
# Arguments for 12 epochs from a rate of 0.3.
ARGUMENTS = {
    "ConstantLR": {"factor": 0.25, "total_iters": 4},
    "CosineAnnealingWarmRestarts": {"T_0": 2, "T_mult": 2, "eta_min": 0.003},
    "CyclicLR": {"base_lr": 0.03, "max_lr": 0.3, "step_size_up": 3},
    "ExponentialLR": {"gamma": 0.9},
    "LinearLR": {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 12},
    "OneCycleLR": {"max_lr": 0.3, "total_steps": 12},
    "PolynomialLR": {"power": 2.0, "total_iters": 12},
    "StepLR": {"step_size": 5, "gamma": 0.2},
}
# The factor after ``e`` epochs, by the formulas of the papers and of torch's documentation.
FORMULAS = {
    "ConstantLR": lambda e: 0.25 if e < 4 else 1.0,
    "CosineAnnealingWarmRestarts": lambda e: 0.01 + 0.99 * (1 + math.cos(math.pi * restart(e))) / 2,
    "CyclicLR": lambda e: 0.1 + 0.9 * (1 - abs((e % 6) / 3 - 1)),
    "ExponentialLR": lambda e: 0.9**e,
    "LinearLR": lambda e: 1 - 0.9 * e / 12,
    "OneCycleLR": lambda e: one_cycle(e),
    "PolynomialLR": lambda e: (1 - e / 12) ** 2,
    "StepLR": lambda e: 0.2 ** (e // 5),
}


def restart(epoch):
    """Position in the current of the cycles of 2, 4, 8 ... epochs."""
    length = 2
    while epoch >= length:
        epoch, length = epoch - length, 2 * length
    return epoch / length


def one_cycle(epoch):
    """Up from 1/25 over the first 30 % of the steps, down to 1/250,000 over the others, both along half a cosine."""
    peak = 0.3 * 12 - 1
    if epoch <= peak:
        low, weight = 1 / 25, epoch / peak
    else:
        low, weight = 1 / 25 / 1e4, 1 - (epoch - peak) / (11 - peak)
    return low + (1 - low) * (1 - math.cos(math.pi * weight)) / 2


def config(name, **options):
    cfg = solver(SCHED=name, BASE_LR=0.3, MAX_EPOCH=EPOCHS, **options)
    cfg.merge_from_list(["SOLVER.SCHED_ARGS", ARGUMENTS[name]])
    return cfg


@pytest.mark.parametrize("method", ["linear", "constant"])
@pytest.mark.parametrize(("warmup", "delay"), [(0, 0), (5, 0), (25, 0), (9, 3)])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_schedule_times_a_warmup_over_a_whole_run(name, warmup, delay, method):
    """Every group keeps its factor: 2 for a bias, 0 for what must not learn."""
    cfg = config(name, WARMUP_ITERS=warmup, WARMUP_METHOD=method, DELAY_EPOCHS=delay)
    for iteration, found in enumerate(run(cfg, (0.3, 0.6, 0.0), 8)):
        factor = FORMULAS[name](max(iteration // 8 - delay, 0)) * warmup_factor(cfg, iteration)
        assert found == pytest.approx([0.3 * factor, 0.6 * factor, 0.0], rel=1e-9), f"iteration {iteration}"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, found in sorted(vars(lr_scheduler).items())
        if isinstance(found, type)
        and issubclass(found, lr_scheduler.LRScheduler)
        and name not in ("LRScheduler", "_LRScheduler")
    ],
)
def test_every_schedule_of_torch_is_there_or_says_why_not(name):
    if name in LR_SCHEDULER_REGISTRY:
        assert name in {*ARGUMENTS, "MultiStepLR", "CosineAnnealingLR"}  # it is tested
        return
    with pytest.raises(
        ValueError, match=rf"SOLVER\.SCHED is '{name}', which .*; take one of ConstantLR, .*CUSTOM_IMPO"
    ):
        build_lr_scheduler(solver(SCHED=name), optimizer_of(1.0), 5)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("stop", [1, 8, 20, 50])
def test_a_resumed_run_has_exactly_the_same_rates(name, stop, tmp_path):
    cfg = config(name, WARMUP_ITERS=20)
    assert run_in_two(cfg, stop, tmp_path) == run(cfg, (0.3, 0.007), 8)


def test_the_last_factor_stays():
    optimizer = optimizer_of(0.3)
    schedule = build_lr_scheduler(config("OneCycleLR", WARMUP_ITERS=0), optimizer, 8)["lr_sched"]
    optimizer.step()
    for _ in range(EPOCHS + 3):  # torch's own cannot be stepped so far
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.3 / 25 / 1e4)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ExponentialLR", {"gama": 0.9}, r"SOLVER\.SCHED_ARGS has 'gama' \(0\.9\), but .* Did you mean 'gamma'\?"),
        ("ExponentialLR", {}, r"ExponentialLR refuses SOLVER\.SCHED_ARGS \{\}: .*'gamma'"),
        ("StepLR", {"step_size": 3, "last_epoch": 5}, r"'last_epoch' \(5\), but the library gives it itself"),
        ("StepLR", {"step_size": 3, "gamma": 0.0}, r"SCHED_ARGS \{.*\} has the rate 0\.0 after 3 of 12 epochs"),
        ("PolynomialLR", {}, r"SOLVER\.SCHED PolynomialLR with SCHED_ARGS \{\} has the rate 0\.0 after 5 of 12 epochs"),
        ("OneCycleLR", {"max_lr": 1.0, "cycle_momentum": True}, "'cycle_momentum' .*the library gives it itself"),
        ("OneCycleLR", {"max_lr": 1.0}, r"OneCycleLR refuses SOLVER\.SCHED_ARGS .*: You must define either total_st"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 3}, r"SCHED_ARGS \{.*\} fails after 4 of the 12 epochs of the"),
        ("StepLR", {"step_size": 0}, r"SCHED_ARGS \{'step_size': 0\} fails after 1 of the 12 epochs of the run: .*ze"),
        ("ExponentialLR", {"gamma": "much"}, r"SCHED_ARGS \{'gamma': 'much'\} fails after 1 of the 12 epochs"),
        ("MultiStepLR", {"gamma": 0.5}, r"SCHED_ARGS is \{'gamma': 0\.5\}, but MultiStepLR .* SOLVER\.STEPS and"),
        ("CosineAnnealingLR", {"T_max": 5}, r"but CosineAnnealingLR takes its numbers from SOLVER\.ETA_MIN_LR"),
    ],
)
def test_a_wrong_argument_is_named(name, arguments, message):
    cfg = solver(SCHED=name, BASE_LR=0.3, MAX_EPOCH=EPOCHS)
    cfg.merge_from_list(["SOLVER.SCHED_ARGS", arguments])
    with pytest.raises(ValueError, match=message):
        build_lr_scheduler(cfg, optimizer_of(0.3), 8)


def test_factors_are_of_the_base_rate():
    assert epoch_factors(lr_scheduler.StepLR, {"step_size": 1, "gamma": 0.5}, base_lr=8.0, epochs=3) == [1, 0.5, 0.25]
