"""Gradients that are added up over micro-batches are those of the whole batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fastreid.config import get_cfg
from fastreid.data import build_reid_train_loader
from fastreid.engine import DefaultTrainer, SimpleTrainer, defaults, launch
from fastreid.engine.amp_trainer import AMPTrainer
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY
from fastreid.solver.build import maybe_add_gradient_clipping
from fastreid.utils.env import seed_all_rng
from fastreid.utils.events import EventStorage

from .tiny import TinyNet, tiny_cfg


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    monkeypatch.setattr(defaults, "setup_logger", lambda **_: None)


class Classifier(nn.Module):
    """No batch norm, and cross-entropy alone."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, batch):
        return {"loss_cls": nn.functional.cross_entropy(self.net(batch["images"]), batch["targets"])}


def data(batch_size, batches=5):
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(batches * 16, 6, generator=generator)
    targets = torch.randint(3, (batches * 16,), generator=generator)
    return [
        {"images": x, "targets": y, "img_paths": [f"{i}.{j}" for j in range(batch_size)]}
        for i, (x, y) in enumerate(zip(images.split(batch_size), targets.split(batch_size)))
    ]


def trained(steps, *, kind=SimpleTrainer, clip=None, **options):
    torch.manual_seed(0)
    model = Classifier()
    cfg = get_cfg()
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = clip is not None
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = clip or ("norm", 1.0)
    optimizer = maybe_add_gradient_clipping(cfg, torch.optim.SGD)(model.parameters(), lr=0.5, momentum=0.9)
    trainer = kind(model, data(16 // steps), optimizer, accum_steps=steps, **options)
    with EventStorage() as storage:
        for trainer.iter in range(5):
            storage.iter = trainer.iter
            trainer.run_step()
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    return weights, [value for value, _ in storage.history("loss_cls").values()], storage


@pytest.mark.parametrize("clip", [None, ("norm", 0.05), ("full_norm", 0.05), ("value", 0.01)])
def test_four_micro_batches_are_one_batch(clip):
    whole, losses, _ = trained(1, clip=clip)
    parts, micro_losses, storage = trained(4, clip=clip)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)
    assert micro_losses == pytest.approx(losses, abs=1e-6)
    assert len(storage.history("total_loss")) == 5  # one an iteration
    assert clip is None or not torch.allclose(whole, trained(1)[0])


def test_a_gradient_scaler_takes_off_its_scale_once():
    whole, *_ = trained(1)
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0, growth_interval=2)
    parts, *_ = trained(4, kind=AMPTrainer, dtype=torch.bfloat16, grad_scaler=scaler)
    one_batch, *_ = trained(1, kind=AMPTrainer, dtype=torch.bfloat16)
    torch.testing.assert_close(parts, one_batch, rtol=0, atol=2e-2)  # bfloat16 rounds to 3 digits
    torch.testing.assert_close(parts, whole, rtol=0, atol=5e-2)
    assert scaler.get_scale() == 2048.0  # grew once in two iterations, not in two micro-batches


def test_the_gradient_norm_is_that_of_the_whole_batch():
    _, _, one = trained(1)
    _, _, four = trained(4)
    norms = [[value for value, _ in storage.history("grad_norm").values()] for storage in (one, four)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_a_bad_micro_batch_is_told_with_all_images_of_the_iteration():
    model = Classifier()
    batches = data(4)
    batches[6]["images"] = batches[6]["images"] * float("nan")
    trainer = SimpleTrainer(model, batches, torch.optim.SGD(model.parameters(), lr=0.1), accum_steps=4, check_period=2)
    with (
        EventStorage() as storage,
        pytest.raises(FloatingPointError, match=r"at iteration 1 .*4\.0, 4\.1, .*7\.3\. Last"),
    ):
        for trainer.iter in range(2):
            storage.iter = trainer.iter
            trainer.run_step()


def options(accum, *more):
    return ("SOLVER.IMS_PER_BATCH", 16, "SOLVER.ACCUM_STEPS", accum, "DATALOADER.NUM_INSTANCE", 2, *more)


def test_the_loader_yields_micro_batches_of_whole_identities(market, tmp_path):
    loader = build_reid_train_loader(tiny_cfg(market, tmp_path, *options(2)))
    batches = iter(loader)
    for _ in range(8):
        batch = next(batches)
        assert batch["images"].shape[0] == 8
        pids, counts = np.unique(batch["targets"].numpy(), return_counts=True)
        assert (len(pids), set(counts)) == (4, {2})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (options(3), r"IMS_PER_BATCH is 16 images, which SOLVER\.ACCUM_STEPS 3 .*use IMS_PER_BATCH 15 or 18"),
        (options(0), r"SOLVER\.ACCUM_STEPS must be at least 1"),
        (
            options(4, "DATALOADER.NUM_INSTANCE", 3),
            r"ACCUM_STEPS 4 makes micro-batches of 4 of the SOLVER\.IMS_PER_BATCH 16 .*DATALOADER\.NUM_INSTANCE 3",
        ),
    ],
)
def test_a_batch_that_does_not_divide(market, tmp_path, keys, message):
    with pytest.raises(ValueError, match=message):
        build_reid_train_loader(tiny_cfg(market, tmp_path, *keys))


def train(cfg, *, resume=False, epochs=None):
    if epochs is not None:
        cfg = cfg.clone()
        cfg.merge_from_list(["SOLVER.MAX_EPOCH", epochs])
    seed_all_rng(cfg.SEED)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def weights_of(trainer):
    return {key: value.clone() for key, value in trainer.model.state_dict().items()}


def test_iterations_are_optimizer_steps_and_resuming_is_exact(market, tmp_path):
    more = ("SOLVER.CLIP_GRADIENTS.ENABLED", True, "MODEL.FREEZE_LAYERS", ["backbone"], "SOLVER.FREEZE_ITERS", 2)
    keys = (*options(2), *more, "TEST.EVAL_PERIOD", 0, "SOLVER.SCHED", "CosineAnnealingLR", "SOLVER.MAX_EPOCH", 6)
    whole = train(tiny_cfg(market, tmp_path / "a", *keys))
    assert (whole.iters_per_epoch, whole.max_iter) == (1, 6)
    saved = torch.load(tmp_path / "a" / "model_0003.pth", weights_only=True)
    assert saved["sampler"]["position"] == 4 * 16
    assert saved["warmup_sched"]["last_epoch"] == 4

    class Stop(Exception):
        pass

    cfg = tiny_cfg(market, tmp_path / "b", *keys)
    seed_all_rng(cfg.SEED)
    stopped = DefaultTrainer(cfg)
    run_step = stopped._trainer.run_step

    def stop_at_4():
        if stopped.iter == 4:
            raise Stop
        run_step()

    stopped._trainer.run_step = stop_at_4
    with pytest.raises(Stop):
        stopped.train()
    resumed = train(cfg, resume=True)
    assert resumed.start_iter == 4
    for key, value in weights_of(whole).items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key


def test_precise_bn_and_the_memory_of_moco_work_on_micro_batches(market, tmp_path):
    keys = ("MODEL.META_ARCHITECTURE", "MoCo", "MODEL.QUEUE_SIZE", 24, "SOLVER.MAX_EPOCH", 2)
    precise = ("TEST.PRECISE_BN.ENABLED", True, "TEST.PRECISE_BN.NUM_ITER", 2)
    trainer = train(tiny_cfg(market, tmp_path, *options(2), *keys, *precise))
    assert trainer.model.memory.queue_ptr.item() == 32 % 24
    assert trainer.model.backbone.conv[1].running_mean.isfinite().all()


def test_the_average_of_a_distiller_moves_once_an_iteration(market, tmp_path):
    keys = ("MODEL.META_ARCHITECTURE", "Distiller", "KD.EMA.ENABLED", True, "SOLVER.MAX_EPOCH", 2)
    cfg = tiny_cfg(market, tmp_path, *options(2), *keys, "TEST.EVAL_PERIOD", 0)
    trainer = DefaultTrainer(cfg)
    moves, update = [], trainer.model.ema.update

    def count(source):
        moves.append(trainer.iter)
        update(source)

    trainer.model.ema.update = count
    trainer.train()
    assert moves == [0, 1]


class PlainNet(TinyNet):
    """Without batch norm and dropout, where the parts of a batch do not depend on each other."""

    def __init__(self):
        super().__init__()
        self.conv[1], self.conv[3] = nn.Identity(), nn.Identity()


if "build_accumulation_backbone" not in BACKBONE_REGISTRY:  # CUSTOM_IMPORTS imports this file again

    @BACKBONE_REGISTRY.register()
    def build_accumulation_backbone(cfg):
        return PlainNet()


def accumulate(cfg, folder):
    from fastreid.utils import comm

    seed_all_rng(cfg.SEED)
    trainer = DefaultTrainer(cfg)
    syncs = []
    if comm.get_world_size() > 1:
        trainer.model.register_comm_hook(None, lambda _, bucket: syncs.append(trainer.iter) or reduce_mean(bucket))
    trainer.train()
    weights = {key.removeprefix("module."): value for key, value in trainer.model.state_dict().items()}
    torch.save({"weights": weights, "syncs": syncs}, f"{folder}/{comm.get_world_size()}.{comm.get_rank()}.pt")


def reduce_mean(bucket):
    import torch.distributed as dist

    work = dist.all_reduce(bucket.buffer() / dist.get_world_size(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


@pytest.mark.slow
def test_two_processes_average_gradients_once_an_iteration(market, tmp_path):
    plain = ("MODEL.LOSSES.NAME", ("CrossEntropyLoss",), "MODEL.HEADS.WITH_BNNECK", False)
    keys = (*options(2), *plain, "SOLVER.OPT", "SGD", "SOLVER.BASE_LR", 0.01, "SOLVER.MAX_EPOCH", 3)
    more = ("DATALOADER.SAMPLER_TRAIN", "TrainingSampler", "TEST.EVAL_PERIOD", 0)
    more += ("MODEL.BACKBONE.NAME", "build_accumulation_backbone", "CUSTOM_IMPORTS", [__file__])
    cfg = tiny_cfg(market, tmp_path / "run", *keys, *more)
    launch(accumulate, 2, args=(cfg, str(tmp_path)), device="cpu")
    launch(accumulate, 1, args=(cfg, str(tmp_path)), device="cpu")
    cfg.merge_from_list(["SOLVER.ACCUM_STEPS", 1])
    (tmp_path / "one").mkdir()
    launch(accumulate, 1, args=(cfg, str(tmp_path / "one")), device="cpu")
    names = ("2.0", "2.1", "1.0", "one/1.0")
    zero, one, alone, whole = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in names)
    assert zero["syncs"] == one["syncs"] == [0, 1, 2]
    for other in (zero, one, alone):
        torch.testing.assert_close(other["weights"], whole["weights"], rtol=0, atol=1e-6)
