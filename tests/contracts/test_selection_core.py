"""Every name of the core that a config may select builds a model that trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid.config import get_cfg
from fastreid.data.build import build_reid_train_loader
from fastreid.modeling import build_model
from fastreid.modeling.heads import build_heads
from fastreid.solver import build_lr_scheduler, build_optimizer

from .helpers import REPO, tiny_cfg

OSNET = {"MODEL__BACKBONE__NAME": "build_osnet_backbone", "MODEL__BACKBONE__DEPTH": "x0_25"}
OSNET |= {"MODEL__BACKBONE__FEAT_DIM": 128}


def choices(key, values, **more):
    return [{key: value} | more for value in values]


# What to lay over the tiny config, one dict for each name.
NAMES = {
    "losses": choices(
        "MODEL__LOSSES__NAME",
        [
            *((name,) for name in ("CrossEntropyLoss", "TripletLoss", "CircleLoss", "Cosface", "FocalLoss")),
            ("CrossEntropyLoss", "TripletLoss", "CircleLoss", "Cosface", "FocalLoss"),
        ],
        **OSNET,
    ),
    "adaptive smoothing": choices("MODEL__LOSSES__CE__EPSILON", [-1], **OSNET),
    "triplets": [
        {"MODEL__LOSSES__TRI__HARD_MINING": hard, "MODEL__LOSSES__TRI__MARGIN": margin, **OSNET}
        | {"MODEL__LOSSES__TRI__NORM_FEAT": norm}
        for hard, margin, norm in ((True, 0, True), (False, 0, False), (False, 0.3, True))
    ],
    "margins": [
        {"MODEL__HEADS__CLS_LAYER": name, "MODEL__HEADS__SCALE": 30.0, "MODEL__HEADS__MARGIN": 0.25, **OSNET}
        for name in ("Linear", "ArcSoftmax", "CosSoftmax", "CircleSoftmax")
    ],
    "poolings": [
        *choices(
            "MODEL__HEADS__POOL_LAYER",
            [
                *("GlobalAvgPool", "GlobalMaxPool", "GeneralizedMeanPooling", "GeneralizedMeanPoolingP"),
                *("FastGlobalAvgPool", "AdaptiveAvgMaxPool", "ClipGlobalAvgPool"),
            ],
            **OSNET,
        ),
        # These two keep the map: it has to be of one pixel, or FEAT_DIM counts all its values.
        *choices("MODEL__HEADS__POOL_LAYER", ["Identity", "Flatten"], INPUT__SIZE_TRAIN=[16, 8]),
        {"MODEL__HEADS__POOL_LAYER": "Flatten", "MODEL__BACKBONE__FEAT_DIM": 512 * 2},
    ],
    "norms of the backbone": choices(
        "MODEL__BACKBONE__NORM", ["BN", "syncBN", "GhostBN", "FrozenBN", "GN"], MODEL__BACKBONE__WITH_IBN=True
    ),
    "norms of the head": choices("MODEL__HEADS__NORM", ["BN", "syncBN", "GhostBN", "FrozenBN", "GN"], **OSNET),
    "heads": [
        {"MODEL__HEADS__NAME": name, "MODEL__HEADS__EMBEDDING_DIM": size, "MODEL__HEADS__NECK_FEAT": feature, **OSNET}
        for name, size, feature in (
            ("EmbeddingHead", 0, "after"),
            ("EmbeddingHead", 32, "before"),
            ("ClasHead", 32, "after"),
        )
    ],
    "OSNets": [
        OSNET | {"MODEL__BACKBONE__DEPTH": depth, "MODEL__BACKBONE__FEAT_DIM": width, "MODEL__BACKBONE__WITH_IBN": ibn}
        for depth, width, ibn in (
            ("x1_0", 512, True),
            ("x0_75", 384, False),
            ("x0_5", 256, True),
            ("x0_25", 128, True),
        )
    ],
    "ResNets": [
        {"MODEL__BACKBONE__DEPTH": depth, "MODEL__BACKBONE__FEAT_DIM": width, "MODEL__BACKBONE__WITH_SE": se}
        | {"MODEL__BACKBONE__WITH_IBN": True, "MODEL__BACKBONE__WITH_NL": width == 2048}
        for depth, width, se in (("34x", 512, True), ("50x", 2048, True))
    ],
}


def train_a_step(**changes):
    """Take a step on a random batch; return the losses, and the names of all parameters and of those that moved."""
    torch.manual_seed(0)
    cfg = tiny_cfg(**{"MODEL__HEADS__NUM_CLASSES": 4, "SOLVER__WARMUP_ITERS": 0, **changes})
    model = build_model(cfg).train()
    optimizer, _ = build_optimizer(cfg, model)
    before = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    images = 255 * torch.rand(8, 3, *cfg.INPUT.SIZE_TRAIN)
    losses = model({"images": images, "targets": torch.arange(4).repeat_interleave(2), "camids": torch.arange(8) % 2})
    sum(losses.values()).backward()
    optimizer.step()
    after = dict(model.named_parameters())
    assert all(value.isfinite().all() for value in after.values()), changes
    return losses, list(before), {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("kind", NAMES)
def test_every_name_trains_a_step(kind):
    for changes in NAMES[kind]:
        losses, names, moved = train_a_step(**changes)
        assert losses and all(loss.dim() == 0 and loss.isfinite() for loss in losses.values()), changes
        assert any(name.startswith("backbone.") for name in moved), changes
        # Metric losses alone do not reach the classifier, nor the neck behind the feature that they read.
        if "CrossEntropyLoss" in changes.get("MODEL__LOSSES__NAME", ("CrossEntropyLoss",)):
            assert "heads.weight" in moved, changes
        if "p" in {name.rpartition(".")[2] for name in names}:
            assert "heads.pool_layer.p" in moved, changes


def test_losses_are_logged_under_the_names_of_old_and_weighted_by_their_scale():
    five = ("CrossEntropyLoss", "TripletLoss", "CircleLoss", "Cosface", "FocalLoss")
    losses, *_ = train_a_step(MODEL__LOSSES__NAME=five, **OSNET)
    assert list(losses) == ["loss_cls", "loss_triplet", "loss_circle", "loss_cosface", "loss_focal"]
    nodes = ("CE", "TRI", "CIRCLE", "COSFACE", "FL")
    scales = {f"MODEL__LOSSES__{node}__SCALE": 0.5 * number for number, node in enumerate(nodes, 1)}
    scaled, *_ = train_a_step(MODEL__LOSSES__NAME=five, **scales, **OSNET)
    ratios = [float((scaled[name] / losses[name]).detach()) for name in losses]
    assert ratios == pytest.approx([0.5, 1, 1.5, 2, 2.5], rel=1e-4)


OPTIMIZERS = [
    "SGD",
    "Adam",
    "AdamW",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adamax",
    "ASGD",
    "Rprop",
    "Adafactor",
    "Lamb",
]


def test_every_optimizer_of_torch_and_lamb_lowers_a_loss():
    for name in OPTIMIZERS:
        torch.manual_seed(0)
        cfg = tiny_cfg(SOLVER__OPT=name, SOLVER__BASE_LR=0.5 if name == "Adadelta" else 0.02, SOLVER__WARMUP_ITERS=0)
        cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
        model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
        optimizer, _ = build_optimizer(cfg, model)
        x, y = torch.randn(32, 6), torch.arange(32) % 3
        losses = []
        for _ in range(40):
            optimizer.zero_grad()
            losses.append(torch.nn.functional.cross_entropy(model(x), y))
            losses[-1].backward()
            optimizer.step()
        assert losses[-1] < 0.95 * losses[0], name


@pytest.mark.parametrize("kind", ["norm", "value"])
def test_clipping_equals_its_definition_for_each_parameter(kind):
    limit = 0.2
    cfg = tiny_cfg(SOLVER__OPT="SGD", SOLVER__BASE_LR=1.0, SOLVER__MOMENTUM=0.0, SOLVER__WARMUP_ITERS=0)
    cfg.SOLVER.WEIGHT_DECAY = cfg.SOLVER.WEIGHT_DECAY_NORM = cfg.SOLVER.WEIGHT_DECAY_BIAS = 0.0
    clip = cfg.SOLVER.CLIP_GRADIENTS
    clip.ENABLED, clip.CLIP_TYPE, clip.CLIP_VALUE = True, kind, limit
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).double()
    optimizer, _ = build_optimizer(cfg, model)
    model(torch.randn(8, 5).double()).square().sum().backward()
    wanted = []
    for value in model.parameters():
        gradient = value.grad.clone()
        if kind == "norm":
            gradient *= min(1.0, limit / float(gradient.norm()))
        wanted.append(value.detach() - (gradient if kind == "norm" else gradient.clamp(-limit, limit)))
    optimizer.step()
    for value, one in zip(model.parameters(), wanted):
        torch.testing.assert_close(value.detach(), one, rtol=0, atol=1e-5 * limit)


def rates(epochs, **changes):
    """Return the learning rate of each epoch, of two iterations, without a warm-up."""
    cfg = tiny_cfg(SOLVER__BASE_LR=0.5, SOLVER__WARMUP_ITERS=0, SOLVER__MAX_EPOCH=epochs, **changes)
    optimizer, _ = build_optimizer(cfg, torch.nn.Linear(2, 2))
    schedule = build_lr_scheduler(cfg, optimizer, 2)["lr_sched"]
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_schedules_are_chosen_by_name_and_count_epochs():
    cosine = [1e-7 + (0.5 - 1e-7) * (1 + np.cos(np.pi * epoch / 5)) / 2 for epoch in range(5)]
    for name, changes, wanted in (
        ("MultiStepLR", {"SOLVER__STEPS": [2, 4]}, [0.5, 0.5, 0.05, 0.05, 0.005]),
        ("CosineAnnealingLR", {}, cosine),
        ("ExponentialLR", {"SOLVER__SCHED_ARGS__gamma": 0.5}, [0.5, 0.25, 0.125, 0.0625, 0.03125]),
        ("StepLR", {"SOLVER__SCHED_ARGS__step_size": 3}, [0.5, 0.5, 0.5, 0.05, 0.05]),
    ):
        assert rates(5, SOLVER__SCHED=name, **changes) == pytest.approx(wanted, rel=1e-6), name


def test_all_augmentations_at_once_give_uint8_images(market_root):
    """Every switch of v1.3's INPUT is on, and certain, over grey and coloured crops of several sizes."""
    folder = market_root / "Market-1501-v15.09.15" / "bounding_box_train"
    assert len(list(folder.iterdir())) == 48
    switches = ["CROP", "FLIP", "PADDING", "CJ", "AFFINE", "AUTOAUG", "AUGMIX", "REA", "RPT"]
    cfg = tiny_cfg(INPUT__SIZE_TRAIN=[48, 24], INPUT__CROP__SIZE=[40, 20])
    for switch in switches:
        cfg.INPUT[switch].ENABLED = True
        if "PROB" in cfg.INPUT[switch]:
            cfg.INPUT[switch].PROB = 1.0
    loader = build_reid_train_loader(cfg)
    batches = [batch for batch, _ in zip(loader, range(4))]
    images = torch.cat([batch["images"] for batch in batches])
    assert images.dtype == torch.uint8
    # v1.3's order: the crop gives its own size, and padding crops back to that of the training images.
    assert tuple(images.shape[1:]) in {(3, 48, 24), (3, 40, 20)}
    plain = [
        batch for batch, _ in zip(build_reid_train_loader(tiny_cfg(INPUT__SIZE_TRAIN=list(images.shape[2:]))), range(4))
    ]
    assert all(a["img_paths"] == b["img_paths"] for a, b in zip(batches, plain))
    assert all((a["images"] != b["images"]).flatten(1).any(1).all() for a, b in zip(batches, plain))
    for size, mode in (((7, 90), "L"), ((200, 30), "RGBA"), ((3, 3), "RGB"), ((64, 128), "P")):
        sample = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)
        out = loader.dataset.transform(sample)
        assert (out.dtype, out.shape) == (torch.uint8, images.shape[1:]), (size, mode)


def test_margins_are_finite_where_features_are_weights_and_their_opposites():
    for name in ("ArcSoftmax", "CosSoftmax", "CircleSoftmax"):
        for scale, margin in ((64, 0.35), (30, 0.5)):
            cfg = tiny_cfg(MODEL__HEADS__NUM_CLASSES=4, MODEL__HEADS__CLS_LAYER=name, MODEL__HEADS__WITH_BNNECK=False)
            cfg.MODEL.HEADS.SCALE, cfg.MODEL.HEADS.MARGIN = scale, margin
            head = build_heads(cfg).train()
            maps = torch.randn(8, 512, 1, 1)
            maps[4:] = -maps[:4]
            maps.requires_grad_()
            head.weight.data.copy_(3 * maps.detach()[:4, :, 0, 0])
            out = head(maps, torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]))
            torch.nn.functional.cross_entropy(out["cls_outputs"], torch.arange(8) % 4).backward()
            assert out["cls_outputs"].isfinite().all(), name
            assert maps.grad.isfinite().all() and head.weight.grad.isfinite().all(), name
            assert float(maps.grad.abs().max()) < 1e3, name


def test_poolings_in_half_precision_stay_close_to_double_precision():
    names = ["GlobalAvgPool", "GlobalMaxPool", "GeneralizedMeanPooling", "GeneralizedMeanPoolingP", "FastGlobalAvgPool"]
    for name in [*names, "AdaptiveAvgMaxPool", "ClipGlobalAvgPool"]:
        for top in (0.01, 1.0, 300.0, 20000.0):
            cfg = tiny_cfg(MODEL__HEADS__POOL_LAYER=name, MODEL__HEADS__WITH_BNNECK=False)
            head = build_heads(cfg).eval()
            maps = (top * torch.rand(2, 512, 8, 4)).half()
            with torch.no_grad():
                wanted = head.double()(maps.double())
                out = head.half()(maps)
            assert out.dtype == torch.float16 and out.shape == (2, 512), name
            torch.testing.assert_close(out.double(), wanted, rtol=5e-3, atol=1e-6, msg=f"{name}, values up to {top}")


def test_every_shipped_recipe_builds_its_model(monkeypatch):
    paths = sorted((REPO / "configs").rglob("*.yml"))
    wanted = {f"{kind}_{net}" for kind in ("bagtricks", "AGW", "sbs") for net in ("R50", "R50-ibn", "R101-ibn")}
    for folder in ("Market1501", "DukeMTMC", "MSMT17"):
        assert wanted <= {path.stem for path in paths if path.parent.name == folder}
    assert REPO / "configs" / "VeRi" / "sbs_R50-ibn.yml" in paths
    for path in paths:
        assert path.read_text().startswith("#"), path
        cfg = get_cfg()
        cfg.merge_from_file(str(path))
        cfg.MODEL.DEVICE, cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.HEADS.NUM_CLASSES = "cpu", False, 10
        with torch.device("meta"):
            assert sum(p.numel() for p in build_model(cfg).parameters()) > 1e5, path
