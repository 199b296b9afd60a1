from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.solver import LR_SCHEDULER_REGISTRY, build_lr_scheduler
from fastreid.solver.lr_scheduler import CosineAnnealingLR, MultiStepLR, WarmupLR


def optimizer_of(*rates):
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


def solver(**options):
    cfg = get_cfg()
    for key, value in options.items():
        cfg.SOLVER[key] = value
    return cfg


def advance(optimizer, schedulers, iterations, *, per_epoch, warmup_iters, start=0):
    """Step as the training loop does; return the rates that each iteration uses."""
    rates = []
    for iteration in range(start, start + iterations):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if iteration + 1 <= warmup_iters:
            schedulers["warmup_sched"].step()
        if (iteration + 1) % per_epoch == 0:
            schedulers["lr_sched"].step()
    return rates


def run(cfg, rates, per_epoch):
    """Return the rates of every iteration of the whole run."""
    optimizer = optimizer_of(*rates)
    schedulers = build_lr_scheduler(cfg, optimizer, per_epoch)
    iterations = cfg.SOLVER.MAX_EPOCH * per_epoch
    return advance(optimizer, schedulers, iterations, per_epoch=per_epoch, warmup_iters=cfg.SOLVER.WARMUP_ITERS)


def warmup_factor(cfg, iteration):
    start, length, method = cfg.SOLVER.WARMUP_FACTOR, cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.WARMUP_METHOD
    if iteration >= length:
        return 1.0
    done = iteration / length
    return {"linear": start * (1 - done) + done, "exp": start ** (1 - done), "constant": start}[method]


@pytest.mark.parametrize("method", ["linear", "exp", "constant"])
@pytest.mark.parametrize(("warmup", "delay"), [(0, 0), (5, 0), (8, 0), (25, 0), (0, 4), (9, 5), (200, 0)])
def test_multi_step_with_warmup_over_a_whole_run(method, warmup, delay):
    """Epoch ``e`` has ``gamma`` to the power of the number of steps not after it, none before the delay is over."""
    cfg = solver(
        WARMUP_ITERS=warmup, WARMUP_METHOD=method, DELAY_EPOCHS=delay, STEPS=[2, 3, 9], MAX_EPOCH=12, GAMMA=0.5
    )
    for iteration, found in enumerate(run(cfg, (0.3, 7.0), 8)):
        epoch = iteration // 8
        drops = sum(1 for step in (2, 3, 9) if epoch >= step) if epoch >= delay else 0
        factor = 0.5**drops * warmup_factor(cfg, iteration)
        assert found == pytest.approx([0.3 * factor, 7.0 * factor], rel=1e-12), f"iteration {iteration}"


def test_steps_are_epochs_as_written_whatever_the_warmup():
    """The recipe for Market-1501: 202 iterations per epoch, about ten epochs of warm-up, drops at 40 and 90."""
    cfg = solver(WARMUP_ITERS=2000, STEPS=[40, 90], MAX_EPOCH=120, BASE_LR=3.5e-4)
    rates = [found[0] for found in run(cfg, (3.5e-4,), 202)]
    assert rates[0] == pytest.approx(3.5e-5)
    for epoch, expected in ((20, 3.5e-4), (39, 3.5e-4), (40, 3.5e-5), (89, 3.5e-5), (90, 3.5e-6), (119, 3.5e-6)):
        for iteration in (epoch * 202, epoch * 202 + 201):
            assert rates[iteration] == pytest.approx(expected, rel=1e-9)


COSINES = [(0, 0), (5, 0), (8, 0), (17, 0), (24, 0), (0, 4), (9, 5), (50, 2)]


@pytest.mark.parametrize(("warmup", "delay"), COSINES)
def test_cosine_with_warmup_over_a_whole_run(warmup, delay):
    cfg = solver(SCHED="CosineAnnealingLR", WARMUP_ITERS=warmup, DELAY_EPOCHS=delay, MAX_EPOCH=12, ETA_MIN_LR=0.01)
    cfg.SOLVER.BASE_LR = 0.3
    warmup_epochs = math.ceil(warmup / 8)
    length = 12 - max(warmup_epochs, delay)
    start = max(warmup_epochs - 1, delay, 0)
    for iteration, found in enumerate(run(cfg, (0.3, 7.0), 8)):
        t = min(max(iteration // 8 - start, 0), length)
        expected = [0.01 + (base - 0.01) * (1 + math.cos(math.pi * t / length)) / 2 for base in (0.3, 7.0)]
        factor = warmup_factor(cfg, iteration)
        assert found == pytest.approx([factor * rate for rate in expected], rel=1e-12), f"iteration {iteration}"


@pytest.mark.parametrize(("warmup", "delay"), COSINES)
def test_cosine_gives_the_numbers_of_v13(warmup, delay):
    """There torch's schedule was stepped at the ends of only those epochs after warm-up and delay."""
    cfg = solver(SCHED="CosineAnnealingLR", WARMUP_ITERS=warmup, DELAY_EPOCHS=delay, MAX_EPOCH=12, ETA_MIN_LR=7e-7)
    optimizer = optimizer_of(3.5e-4)
    t_max = 12 - max(math.ceil(warmup / 8), delay)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, t_max, eta_min=7e-7)
    expected, steps = [], 0
    for iteration in range(12 * 8):
        expected.append(optimizer.param_groups[0]["lr"] * warmup_factor(cfg, iteration))
        epoch, following = iteration // 8, iteration + 2
        if (iteration + 1) % 8 == 0 and following > warmup and epoch + 1 > delay and steps < t_max:
            optimizer.step()
            theirs.step()
            steps += 1
    found = [rates[0] for rates in run(cfg, (3.5e-4,), 8)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_cosine_leaves_groups_that_do_not_learn():
    cfg = solver(SCHED="CosineAnnealingLR", WARMUP_ITERS=0, MAX_EPOCH=4, ETA_MIN_LR=1e-3, BASE_LR=0.1)
    rates = run(cfg, (0.1, 0.0, 1e-4), 2)
    assert rates[-1][0] < rates[0][0]
    assert all(found[1:] == [0.0, 1e-4] for found in rates)


def test_cosine_stays_at_its_end():
    optimizer = optimizer_of(1.0)
    schedule = CosineAnnealingLR(optimizer, 3, eta_min=0.25)
    optimizer.step()
    found = []
    for _ in range(6):
        schedule.step()
        found.append(optimizer.param_groups[0]["lr"])
    assert found[2:] == [0.25] * 4
    assert found == sorted(found, reverse=True)


def test_a_linear_warmup_may_start_from_nothing():
    cfg = solver(WARMUP_ITERS=4, WARMUP_FACTOR=0.0, STEPS=[2], MAX_EPOCH=3)
    assert [found[0] for found in run(cfg, (1.0,), 2)] == pytest.approx([0, 0.25, 0.5, 0.75, 0.1, 0.1])


def test_warmup_of_v13_by_itself():
    """Positional arguments, defaults, and the rate as a closed form of the base rate."""
    optimizer = optimizer_of(2.0)
    schedule = WarmupLR(optimizer, 0.1, 10, "linear")
    optimizer.step()
    for t in range(13):
        factor = 0.1 * (1 - t / 10) + t / 10 if t < 10 else 1.0
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2.0 * factor, rel=1e-12)
        assert schedule.get_last_lr() == [optimizer.param_groups[0]["lr"]]
        schedule.step()


def test_warmup_of_no_iterations_does_nothing():
    optimizer = optimizer_of(2.0)
    WarmupLR(optimizer, warmup_iters=0)
    assert optimizer.param_groups[0]["lr"] == 2.0


def test_no_warmup_has_no_schedule():
    assert list(build_lr_scheduler(solver(WARMUP_ITERS=0), optimizer_of(1.0), 5)) == ["lr_sched"]
    assert list(build_lr_scheduler(solver(WARMUP_ITERS=1), optimizer_of(1.0), 5)) == ["lr_sched", "warmup_sched"]


@pytest.mark.parametrize("sched", ["MultiStepLR", "CosineAnnealingLR"])
@pytest.mark.parametrize("stop", [1, 7, 8, 20, 21, 50])
def test_a_resumed_run_has_exactly_the_same_rates(sched, stop, tmp_path):
    cfg = solver(SCHED=sched, WARMUP_ITERS=20, MAX_EPOCH=10, STEPS=[1, 4, 7], ETA_MIN_LR=1e-9)
    expected, found = run(cfg, (0.3, 0.007), 8), run_in_two(cfg, stop, tmp_path)
    assert found == expected


def run_in_two(cfg, stop, tmp_path):
    """Return the rates of a run of 8 iterations per epoch that is stopped and resumed."""
    first = optimizer_of(0.3, 0.007)
    schedulers = build_lr_scheduler(cfg, first, 8)
    before = advance(first, schedulers, stop, per_epoch=8, warmup_iters=20)
    states = {"optimizer": first.state_dict(), **{name: s.state_dict() for name, s in schedulers.items()}}
    torch.save(states, tmp_path / "states.pth")

    states = torch.load(tmp_path / "states.pth", weights_only=True)
    second = optimizer_of(0.3, 0.007)
    schedulers = build_lr_scheduler(cfg, second, 8)
    second.load_state_dict(states["optimizer"])
    for name, schedule in schedulers.items():
        schedule.load_state_dict(states[name])
        assert schedule.state_dict() == states[name]
    rest = 8 * cfg.SOLVER.MAX_EPOCH - stop
    return before + advance(second, schedulers, rest, per_epoch=8, warmup_iters=20, start=stop)


def test_a_resumed_run_keeps_the_rates_that_it_began_with():
    """As the state of the optimizer does, whose rates come back too."""
    began = CosineAnnealingLR(optimizer_of(0.3), 4)
    resumed_optimizer = optimizer_of(0.5)
    resumed = CosineAnnealingLR(resumed_optimizer, 4)
    resumed.load_state_dict(began.state_dict())
    resumed_optimizer.step()
    resumed.step()
    assert resumed_optimizer.param_groups[0]["lr"] == pytest.approx(0.3 * (1 + math.cos(math.pi / 4)) / 2)


def test_stepping_in_the_right_order_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(solver(WARMUP_ITERS=5, MAX_EPOCH=3), (1.0,), 4)


def test_a_state_of_something_else_is_an_error():
    multi, cosine = MultiStepLR(optimizer_of(1.0), [3]), CosineAnnealingLR(optimizer_of(1.0), 3)
    with pytest.raises(ValueError, match=r"the state is that of CosineAnnealingLR, not of MultiStepLR"):
        multi.load_state_dict(cosine.state_dict())
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer_of(1.0), [3])
    with pytest.raises(ValueError, match="the state is that of none that names itself"):
        multi.load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="the state is of 2 parameter groups, the optimizer has 1"):
        multi.load_state_dict(MultiStepLR(optimizer_of(1.0, 2.0), [3]).state_dict())


def test_a_users_own_schedule_is_found_by_its_name():
    name = "EveryEpochHalf"

    class EveryEpochHalf:
        def __init__(self, cfg, optimizer, iters_per_epoch):
            self.arguments = cfg, optimizer, iters_per_epoch

    LR_SCHEDULER_REGISTRY.register(EveryEpochHalf)
    try:
        cfg, optimizer = solver(SCHED=name, WARMUP_ITERS=0), optimizer_of(1.0)
        assert build_lr_scheduler(cfg, optimizer, 5)["lr_sched"].arguments == (cfg, optimizer, 5)
    finally:
        del LR_SCHEDULER_REGISTRY._objects[name]


def test_an_unknown_schedule_names_the_nearest():
    with pytest.raises(KeyError, match=r"SOLVER\.SCHED: no 'MultistepLR'\. Did you mean 'MultiStepLR'"):
        build_lr_scheduler(solver(SCHED="MultistepLR"), optimizer_of(1.0), 5)


def test_a_warmup_longer_than_the_run_is_said(caplog):
    build_lr_scheduler(solver(WARMUP_ITERS=11, MAX_EPOCH=2), optimizer_of(1.0), 5)
    assert "SOLVER.WARMUP_ITERS is 11, the run has 10 iterations" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"WARMUP_METHOD": "linaer"},
            r"SOLVER\.WARMUP_METHOD.* must be one of constant, linear, exp, got 'linaer'; did",
        ),
        ({"WARMUP_ITERS": -1}, r"SOLVER\.WARMUP_ITERS must be >= 0 .*got -1"),
        ({"WARMUP_FACTOR": -0.1}, r"SOLVER\.WARMUP_FACTOR.* must be > 0.*got -0\.1"),
        ({"WARMUP_FACTOR": 0.0, "WARMUP_METHOD": "exp"}, r"SOLVER\.WARMUP_FACTOR.*got 0\.0 with 'exp'"),
        ({"DELAY_EPOCHS": -2}, r"SOLVER\.DELAY_EPOCHS must be >= 0 .*got -2"),
        ({"MAX_EPOCH": 0}, r"SOLVER\.MAX_EPOCH must be >= 1, got 0"),
        ({"STEPS": [40, 30]}, r"SOLVER\.STEPS must ascend, got \[40, 30\]"),
        ({"STEPS": [30, 30]}, r"SOLVER\.STEPS must ascend, got \[30, 30\]"),
        ({"STEPS": [0, 30]}, r"SOLVER\.STEPS must be epochs >= 1, got \[0, 30\]"),
        ({"GAMMA": 0.0}, r"SOLVER\.GAMMA.* must be > 0, got 0"),
        ({"SCHED": "CosineAnnealingLR", "ETA_MIN_LR": -1e-7}, r"SOLVER\.ETA_MIN_LR.* must be >= 0, got -1e-07"),
        ({"SCHED": "CosineAnnealingLR", "ETA_MIN_LR": 1.0}, r"SOLVER\.ETA_MIN_LR is 1\.0, above SOLVER\.BASE_LR"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build_lr_scheduler(solver(**options), optimizer_of(1.0), 5)


def test_an_epoch_without_iterations_is_an_error():
    with pytest.raises(ValueError, match=r"iters_per_epoch must be >= 1, got 0; .*SOLVER\.IMS_PER_BATCH \(64\)"):
        build_lr_scheduler(get_cfg(), optimizer_of(1.0), 0)


def test_bad_arguments():
    for arguments in ({"t_max": 0}, {"t_max": 1, "start": -1}):
        with pytest.raises(ValueError, match="t_max must be >= 1 and start >= 0"):
            CosineAnnealingLR(optimizer_of(1.0), **arguments)
    with pytest.raises(ValueError, match=r"milestones \(SOLVER\.STEPS\) must be >= 1 epoch, got \[0\]"):
        MultiStepLR(optimizer_of(1.0), [0])
    with pytest.raises(ValueError, match=r"warmup_iters .* must be >= 0"):
        WarmupLR(optimizer_of(1.0), warmup_iters=-1)
