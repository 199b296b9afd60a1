"""A tracker that vendors the package under another name, loads weights and embeds crops."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from .helpers import REPO, environment

# One process does all that a client does, and prints what it saw. `fastreid` itself is not there for it.
CLIENT = """
import json, logging, sys
sys.modules["fastreid"] = None  # whatever is installed, an absolute import must fail
from fast_reid.fastreid.config import get_cfg
from fast_reid.fastreid.data import build_reid_test_loader
from fast_reid.fastreid.engine import DefaultPredictor, DefaultTrainer, default_argument_parser, default_setup, launch
from fast_reid.fastreid.modeling.meta_arch import build_model
from fast_reid.fastreid.utils.checkpoint import Checkpointer
heavy = ("faiss", "scipy", "matplotlib", "sklearn", "tensorboard")
seen = {"heavy": [name for name in heavy if name in sys.modules]}
import torch

recipe, checkpoint, depth, width = sys.argv[1:]

def setup(num_classes):
    cfg = get_cfg()
    cfg.merge_from_file(recipe)
    cfg.merge_from_list(["MODEL.WEIGHTS", checkpoint])
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.BACKBONE.DEPTH = depth
    cfg.MODEL.BACKBONE.FEAT_DIM = int(width)
    cfg.MODEL.BACKBONE.WITH_NL = cfg.MODEL.BACKBONE.WITH_NL and depth == "50x"
    cfg.MODEL.HEADS.NUM_CLASSES = num_classes
    cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return cfg

torch.manual_seed(0)
trained = build_model(setup(10))
for name, buffer in trained.named_buffers():
    if name.endswith("running_var"):
        buffer.uniform_(0.5, 1.5)
torch.save({"model": trained.state_dict()}, checkpoint)

torch.manual_seed(1)
cfg = setup(0)
model = build_model(cfg)
Checkpointer(model).load(checkpoint)
model.eval()
seen["device"] = str(model.device)
seen["classes"] = len(model.state_dict()["heads.weight"])
images = torch.rand(3, 3, 64, 32) * 255
kept = images.clone()
with torch.no_grad():
    out = model(images)
    seen["shape"], seen["dtype"] = list(out.shape), str(out.dtype)
    seen["finite"] = bool(out.isfinite().all())
    seen["norms"] = out.norm(dim=1).tolist()
    seen["trained"] = float((out - trained.eval()(images)).abs().max())
    scale = out.abs().max()
    alone = torch.cat([model(image[None]) for image in images])
    seen["alone"] = float((alone - out).abs().max() / scale)
    seen["twice"] = torch.equal(model(images), out)
    seen["dict"] = float((model({"images": images}) - out).abs().max())
    whole = images.round()
    seen["uint8"] = float((model({"images": whole.to(torch.uint8)}) - model(whole)).abs().max() / scale)
    seen["bare uint8"] = float((model(whole.to(torch.uint8)) - model(whole)).abs().max() / scale)
    transposed = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    seen["channels last"] = float((model(transposed) - out).abs().max() / scale)
    seen["unchanged"] = torch.equal(images, kept)
with torch.inference_mode():
    seen["inference mode"] = float((model(images) - out).abs().max() / scale)
predictor = DefaultPredictor(cfg)
seen["predictor"] = float((predictor(images) - out).abs().max() / scale)
seen["unchanged"] &= torch.equal(images, kept)

trained.train()
losses = trained({"images": images, "targets": torch.tensor([0, 1, 1])})  # outside of any event storage
seen["losses"] = {name: loss.isfinite().item() and loss.dim() == 0 for name, loss in losses.items()}
sum(losses.values()).backward()
seen["unchanged"] &= torch.equal(images, kept)

try:
    torch.nn.Conv2d(3, 4, 3).half()(torch.zeros(1, 3, 8, 8).half())
    torch.nn.BatchNorm2d(3).half().eval()(torch.zeros(1, 3, 8, 8).half())
except RuntimeError as error:
    seen["half"] = str(error)
else:
    with torch.no_grad():
        halved = model.eval().half()(images.half())
        seen["half"] = float((halved.float() - out).abs().max() / scale)
        seen["half dtype"] = str(halved.dtype)
        seen["half uint8"] = float((model({"images": whole.to(torch.uint8)}).float() - out).abs().max() / scale)
print(json.dumps(seen))
"""


def run_client(folder, recipe, depth, width):
    shutil.copytree(REPO / "fastreid", folder / "fast_reid" / "fastreid", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPO / "configs", folder / "fast_reid" / "configs")
    (folder / "fast_reid" / "__init__.py").touch()
    command = [sys.executable, "-c", CLIENT, folder / "fast_reid" / "configs" / recipe, folder / "m.pth", depth, width]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "error::DeprecationWarning:fast_reid"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(
    scope="module",
    params=[("Market1501/bagtricks_R50-ibn.yml", "50x", 2048), ("Market1501/sbs_R50.yml", "18x", 512)],
    ids=["BoT", "SBS"],
)
def seen(request, tmp_path_factory):
    """What a client sees of a network of about v1.3's recipes."""
    recipe, depth, width = request.param
    return run_client(tmp_path_factory.mktemp("client"), recipe, depth, width) | {"width": width}


def test_a_vendored_package_embeds_a_bare_tensor(seen):
    assert seen["shape"] == [3, seen["width"]]
    assert seen["dtype"] == "torch.float32"
    assert seen["finite"]
    assert seen["device"] == "cpu"


def test_embeddings_are_not_normalised(seen):
    assert all(abs(norm - 1) > 0.01 for norm in seen["norms"])


def test_weights_saved_with_classes_embed_the_same_without(seen):
    assert seen["classes"] == 0
    assert seen["trained"] == 0


def test_no_input_is_changed(seen):
    assert seen["unchanged"]


def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(seen):
    assert seen["alone"] < 1e-4
    assert seen["twice"]


@pytest.mark.parametrize("form", ["dict", "uint8", "bare uint8", "channels last", "inference mode", "predictor"])
def test_every_form_of_input_gives_the_same_embedding(seen, form):
    assert seen[form] < 1e-4


def test_training_works_outside_of_an_event_storage(seen):
    assert set(seen["losses"]) == {"loss_cls", "loss_triplet"}
    assert all(seen["losses"].values())


@pytest.mark.parametrize("form", ["half", "half uint8"])
def test_half_precision_gives_about_the_same_embedding(seen, form):
    if isinstance(seen["half"], str):
        pytest.skip(f"torch cannot compute in half precision here: {seen['half']}")
    assert seen[form] < 0.02
    assert seen["half dtype"] == "torch.float16"


def test_importing_the_engine_brings_nothing_heavy(seen):
    assert seen["heavy"] == []
