from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from fastreid.utils.weights import (
    WeightsMismatch,
    averaged_state_dict,
    class_count,
    load_weights,
    meta_of,
    read_file,
    read_state_dict,
    state_dict_of,
    upgraded,
)


class Head(nn.Module):
    class_parameters = ("weight",)

    def __init__(self, classes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, 4))

    def upgrade_state_dict(self, state_dict, prefix):
        if prefix + "classifier" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "classifier")


def model(classes=3):
    return nn.ModuleDict({"body": nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)), "head": Head(classes)})


def weights(classes=3):
    torch.manual_seed(0)
    return {
        key: torch.rand(value.shape) if value.is_floating_point() else value
        for key, value in model(classes).state_dict().items()
    }


def test_fitting_weights_are_loaded():
    net, state = model(), weights()
    report = load_weights(net, state, source="here")
    assert report.loaded == len(state)
    assert report.misfits() == ""
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_a_misfit_lists_every_key_and_changes_nothing():
    net, state = model(), weights()
    del state["body.0.weight"], state["body.1.bias"]
    state["extra"] = torch.zeros(1)
    state["body.0.bias"] = torch.zeros(9)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsMismatch) as caught:
        load_weights(net, state, source="file.pth")
    text = str(caught.value)
    assert "file.pth" in text and "MODEL.WEIGHTS_STRICT" in text
    assert text.splitlines()[0] == (
        "the weights of file.pth do not fit the model: 1 of another shape, 2 missing, 1 unexpected; "
        "first: body.0.bias (9,) in the file, (4,) in the model"
    )
    for part in ("body.0.weight", "body.1.bias", "extra", "body.0.bias (9,) in the file, (4,) in the model"):
        assert part in text
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_not_strict_is_a_warning_and_loads_the_rest(caplog):
    net, state = model(), weights()
    del state["body.0.weight"]
    report = load_weights(net, state, source="file.pth", strict=False)
    assert report.missing == ["body.0.weight"]
    assert "body.0.weight" in caplog.text
    assert torch.equal(net["body"][0].bias, state["body.0.bias"])


def test_patterns_allow_what_a_source_lacks_or_has_too_much(caplog):
    caplog.set_level("INFO")
    net, state = model(), weights()
    del state["body.0.weight"]
    state["fc.weight"] = state["fc.bias"] = torch.zeros(1)
    report = load_weights(net, state, source="x", may_miss=["body.0.*"], may_ignore=["fc.*"])
    assert report.misfits() == ""
    assert "body.0.weight (not in the file)" in caplog.text
    assert "fc.bias (left out), fc.weight (left out)" in caplog.text  # in the same order every time


@pytest.mark.parametrize("classes", [0, 2, 7])
def test_another_number_of_classes_is_allowed_and_said(caplog, classes):
    caplog.set_level("INFO")
    net = model(classes)
    load_weights(net, weights(3), source="x")
    assert f"head.weight (3, 4) in the file, ({classes}, 4) in the model" in caplog.text
    assert net["head"].weight.shape == (classes, 4)


def test_another_embedding_size_of_the_classifier_is_a_misfit():
    state = weights()
    state["head.weight"] = torch.zeros(3, 5)
    with pytest.raises(WeightsMismatch, match=r"head\.weight"):
        load_weights(model(), state, source="x")


def test_older_names_are_translated_and_counters_may_be_absent():
    net, state = model(), weights()
    state["head.classifier"] = state.pop("head.weight")
    del state["body.1.num_batches_tracked"]
    given = dict(state)
    load_weights(net, state, source="x")
    assert torch.equal(net["head"].weight, given["head.classifier"])
    assert state.keys() == given.keys()  # the caller's dict is not changed


@pytest.mark.parametrize("classes", [None, 7])
def test_the_number_of_classes_of_weights_is_found_behind_older_names(classes):
    state = weights(7)
    value = state.pop("head.weight")
    if classes:
        state["head.classifier"] = value
    found = upgraded(model(3), state)
    assert ("head.weight" in found) == bool(classes) and "head.weight" not in state
    assert class_count(model(3), found) == classes


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state", "model_state_dict", "net"])
def test_wrappers_prefixes_and_arrays_are_understood(tmp_path, wrapper):
    plain = {"module.a": torch.ones(2), "module.b": torch.zeros(1)}
    torch.save(plain if wrapper is None else {wrapper: plain}, tmp_path / "w.pth")
    state = read_state_dict(str(tmp_path / "w.pth"))
    assert state.keys() == {"a", "b"}
    assert torch.equal(state_dict_of({"a": np.ones(2, np.float32)}, "x")["a"], torch.ones(2))


def test_wrappers_in_wrappers_and_names_of_torch_compile():
    state = {"module._orig_mod.a": torch.ones(2), "module._orig_mod.module": torch.zeros(1)}
    found = state_dict_of({"state_dict": {"model": {"net": state}}, "epoch": 3}, "x")
    assert found.keys() == {"a", "module"}
    endless = {}
    endless["model"] = endless
    with pytest.raises(RuntimeError, match=r"its 'model' is dict, not a tensor; a state dict may be in model, "):
        state_dict_of(endless, "x")


def test_an_empty_state_dict_is_called_so():
    with pytest.raises(RuntimeError, match="'x' holds no state dict, but an empty dict"):
        state_dict_of({"model": {}}["model"], "x")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_numbers_of_another_kind_are_a_misfit(dtype):
    net, state = model(), weights()
    state["body.0.weight"] = state["body.0.weight"].to(dtype)
    with pytest.raises(WeightsMismatch, match=rf"body\.0\.weight {dtype} in the file, torch\.float32 in the model"):
        load_weights(net, state, source="here")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_other_precisions_are_loaded_and_a_counter_may_have_one(dtype):
    net, state = model(), weights()
    state = {key: value.to(dtype) for key, value in state.items()}
    load_weights(net, state, source="here")
    assert torch.equal(net.state_dict()["body.0.weight"], state["body.0.weight"].float())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_said(caplog, number):
    net, state = model(), weights()
    load_weights(net, state, source="here")
    assert "not finite" not in caplog.text
    state["body.1.bias"][2] = number
    load_weights(net, state, source="here")
    assert "weights of here, 1 tensors have numbers that are not finite: body.1.bias" in caplog.text


@pytest.mark.parametrize(
    ("meta", "ours"),
    [
        ({"config": "MODEL: {}", "embedding": {"metric": "cosine"}, "thresholds": {}}, True),
        ({"config": {"lr": 0.1}}, False),
        ({"config": "model = dict(type='Other')\\n"}, False),
        ({"embedding": "of another program"}, False),
        ("text", False),
        (None, False),
    ],
)
def test_a_meta_of_another_library_is_not_taken_for_ours(meta, ours):
    assert meta_of({"model": {}, "meta": meta}) == (meta if ours else {})
    assert meta_of([]) == {}


def test_a_strange_key_is_shown_in_one_short_line():
    with pytest.raises(WeightsMismatch) as caught:
        load_weights(model(), weights() | {"a\nb\x1b[2J" * 1000: torch.ones(1)}, source="here")
    first, *others = str(caught.value).splitlines()
    assert "1 unexpected; first: 'a\\nb\\x1b[2J" in first and len(first) < 400
    assert len(others) == 2


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("there", ["teacher and a student", "student"])
def test_of_a_teacher_and_a_student_the_teacher_is_taken_and_said(caplog, there):
    networks = {"student": {"module.name": torch.tensor([2.0])}, "teacher": {"name": torch.tensor([1.0])}}
    loaded = {name: state for name, state in networks.items() if name in there} | {"epoch": 3}
    taken = there.split()[0]
    with caplog.at_level("INFO"):
        assert state_dict_of(loaded, "dino.pth") == {"name": torch.tensor([1.0 if taken == "teacher" else 2.0])}
    assert f"dino.pth holds a {there}; the {taken} is taken" in caplog.text


def test_files_that_are_missing_damaged_or_hold_code_are_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"no weight file .*none\.pth"):
        read_file(str(tmp_path / "none.pth"))
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(RuntimeError, match=r"evil\.pth.*cannot be read as weights"):
        read_file(str(tmp_path / "evil.pth"))
    assert "code ran" not in capsys.readouterr().out
    torch.save({"a": torch.rand(1000)}, tmp_path / "cut.pth")
    data = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(RuntimeError, match="damaged"):
        read_file(str(tmp_path / "cut.pth"))
    torch.save({"a": 3}, tmp_path / "numbers.pth")
    with pytest.raises(RuntimeError, match="holds no state dict: its 'a' is int"):
        read_state_dict(str(tmp_path / "numbers.pth"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(RuntimeError, match="holds no state dict, but list"):
        read_state_dict(str(tmp_path / "list.pth"))


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("resnet18-5c106cde.pth", "5c106cde"),
        ("resnest200-75117900.pth", "75117900"),
        ("RegNetX-1.6GF_dds_8gpu.pyth", None),
        ("RegNetX-200MF_dds_8gpu.pyth", None),
    ],
)
def test_a_download_is_checked_against_the_hash_in_its_name_or_said_to_have_none(
    tmp_path, monkeypatch, caplog, name, prefix
):
    def download(url, path, hash_prefix, progress):
        assert hash_prefix == prefix
        torch.save({"a": torch.ones(2)}, path)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert read_state_dict(f"http://127.0.0.1:9/{name}").keys() == {"a"}
    assert (f"The name of http://127.0.0.1:9/{name} tells no hash" in caplog.text) is (prefix is None)


@pytest.mark.parametrize("content", ["the file", "another file", "a part of it"])
def test_what_was_downloaded_before_is_checked_each_time(tmp_path, monkeypatch, content):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save({"a": torch.ones(100)}, tmp_path / "theirs.pth")
    data = (tmp_path / "theirs.pth").read_bytes()
    name = f"net-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    if content == "another file":
        torch.save({"a": torch.zeros(100)}, tmp_path / "other.pth")
        data = (tmp_path / "other.pth").read_bytes()
    (cache / name).write_bytes(data[: len(data) // 2] if content == "a part of it" else data)
    url = f"http://127.0.0.1:9/{name}"
    if content == "the file":
        torch.testing.assert_close(read_state_dict(url), {"a": torch.ones(100)})
    else:
        with pytest.raises(RuntimeError, match=rf"{name}.* has .*download of {url}: delete it to get that anew"):
            read_state_dict(url)


def test_a_damaged_download_without_a_hash_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "net.pth").write_bytes(b"PK half")
    with pytest.raises(RuntimeError, match=r"net\.pth' cannot be read as weights: it is damaged.*delete it"):
        read_state_dict("http://127.0.0.1:9/net.pth")


def test_a_url_that_cannot_be_had_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"cannot get http://127\.0\.0\.1:9/.*MODEL\.BACKBONE\.PRETRAIN_PATH"):
        read_state_dict("http://127.0.0.1:9/resnet18-5c106cde.pth")


def test_an_average_takes_its_places_in_the_state_dict_of_the_model():
    model = {"module.weight": torch.zeros(2, dtype=torch.float16), "module.count": torch.tensor(3)}
    checkpoint = {"model": model, "ema": {"updates": 1, "average": {"weight": torch.ones(2)}}}
    found = averaged_state_dict(checkpoint, "ema", "a file")
    torch.testing.assert_close(found, {"weight": torch.ones(2, dtype=torch.float16), "count": torch.tensor(3)})
    with pytest.raises(RuntimeError, match=r"'a file' has no average 'swa' \(MODEL\.WEIGHTS_KEY\); it has ema\."):
        averaged_state_dict(checkpoint, "swa", "a file")
    with pytest.raises(RuntimeError, match=r"it has none\."):
        averaged_state_dict(model, "ema", "a file")
