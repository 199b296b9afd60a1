from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fastreid.evaluation.feature_folder import (
    IndexRow,
    Labels,
    number_together,
    read_feature_folder,
    read_meta,
    write_index,
)


def write_folder(path, rows, *, complete=True, features=None):
    path.mkdir()
    features = np.arange(len(rows) * 3, dtype=np.float32).reshape(-1, 3) if features is None else features
    np.save(path / "features.npy", features)
    with open(path / "index.csv", "w", newline="", encoding="utf-8") as file:
        write_index(file, rows)
    needed = {"config": "", "dataset": {}, "inference": {}, "model": "", "preprocessing": {}}
    (path / "meta.json").write_text(json.dumps({"complete": complete, **needed}))
    return str(path)


ROWS = [
    IndexRow('a "b", c.jpg', "7", "0", "query"),
    IndexRow("line\nbreak.jpg", "9", "1", "query"),
    IndexRow("ü.jpg", "7", "-1", "gallery"),
    IndexRow("d.jpg", "x_7", "x_0", "train"),
    IndexRow("e.jpg", "7", "2", "gallery"),
]


def test_an_index_is_read_as_it_was_written(tmp_path):
    folder = read_feature_folder(write_folder(tmp_path / "f", ROWS))
    assert list(folder.img_paths) == [row.img_path for row in ROWS]
    for name, labels in folder.labels.items():
        assert [labels.names[code] for code in labels.codes.tolist()] == [getattr(row, name) for row in ROWS]
    query, gallery = folder.of_split("query"), folder.of_split("gallery")
    assert np.shares_memory(query.features, folder.features)  # they follow one another
    assert query.features.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert gallery.features.tolist() == [[6, 7, 8], [12, 13, 14]]
    assert gallery.img_paths == ["ü.jpg", "e.jpg"]
    assert len(folder.of_split("elsewhere")) == 0
    pids, camids = (number_together(query.labels[n], gallery.labels[n], as_text=False) for n in ("pid", "camid"))
    assert [values.tolist() for values in (*pids, *camids)] == [[7, 9], [7, 7], [0, 1], [-1, 2]]


def test_images_without_splits_are_all_of_any(tmp_path):
    folder = read_feature_folder(write_folder(tmp_path / "f", [IndexRow("a.jpg", "1"), IndexRow("b.jpg", "2")]))
    assert len(folder.of_split("query")) == len(folder.of_split("gallery")) == 2


def labels(*texts):
    names = sorted(set(texts), reverse=True)
    return Labels(tuple(names), np.array([names.index(text) for text in texts], dtype=np.int64))


@pytest.mark.parametrize(
    ("first", "second", "as_text", "expected"),
    [
        (("10", "9", ""), ("10",), False, ([10, 9, -1], [10])),
        (("10", "9", ""), ("11",), True, ([0, 2, -1], [1])),
        (("10", "b"), ("a", "10"), False, ([0, 2], [1, 0])),
        ((), ("5",), False, ([], [5])),
        ((), (), True, ([], [])),
    ],
)
def test_numbers_of_texts(first, second, as_text, expected):
    found = number_together(labels(*first), labels(*second), as_text=as_text)
    assert tuple(values.tolist() for values in found) == expected
    assert {values.dtype for values in found} == {np.dtype(np.int64)}


def test_what_is_no_folder_of_features_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no meta\.json; name a folder that tools/extract_features"):
        read_meta(str(tmp_path))
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        read_meta(str(tmp_path))
    for text in ("[]", '{"complete": true}'):
        (tmp_path / "meta.json").write_text(text)
        with pytest.raises(ValueError, match="does not describe features"):
            read_meta(str(tmp_path))
    with pytest.raises(ValueError, match="are not complete"):
        read_feature_folder(write_folder(tmp_path / "a", ROWS, complete=False))
    with pytest.raises(ValueError, match=r"has the shape \(4, 3\), but index\.csv lists 5 images"):
        read_feature_folder(write_folder(tmp_path / "b", ROWS, features=np.zeros((4, 3), dtype=np.float32)))
    place = write_folder(tmp_path / "c", ROWS)
    stream = io.StringIO()
    write_index(stream, ROWS)
    (tmp_path / "c" / "index.csv").write_text(stream.getvalue().replace("\n2,", "\n3,", 1))
    with pytest.raises(ValueError, match=r"index\.csv:5: .* is not the image at place 2"):
        read_feature_folder(place)
    (tmp_path / "c" / "index.csv").write_text("place,path\n")
    with pytest.raises(ValueError, match=r"the columns are \['place', 'path'\]"):
        read_feature_folder(place)


@pytest.mark.parametrize("length", [0, 40, 150])
def test_a_cut_file_of_features_is_named(tmp_path, length):
    place = write_folder(tmp_path / "f", ROWS)
    whole = (tmp_path / "f" / "features.npy").read_bytes()
    assert len(whole) > length
    (tmp_path / "f" / "features.npy").write_bytes(whole[:length])
    with pytest.raises(ValueError, match=r"features\.npy is damaged: .*; extract the features anew"):
        read_feature_folder(place)


@pytest.mark.parametrize("kind", ["int64", "complex64", ">f4"])
def test_features_of_another_type_are_an_error(tmp_path, kind):
    place = write_folder(tmp_path / "f", ROWS, features=np.zeros((5, 3), dtype=kind))
    with pytest.raises(ValueError, match=r"features\.npy has numbers of the type .*; features are float32 or float16"):
        read_feature_folder(place)


MEASURE = """
import sys, threading
import numpy as np, torch
from fastreid.evaluation import ReidEvaluator
from fastreid.evaluation.features import FeatureSet
torch.set_num_threads(1)

def anonymous():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))

def images(features, seed):
    draw = np.random.default_rng(seed)
    labels = (torch.from_numpy(draw.integers(0, most, len(features))) for most in (5000, 6))
    return FeatureSet(torch.from_numpy(features), *labels)

gallery = images(np.load(sys.argv[1], mmap_mode="c"), 1)
query = images(np.random.default_rng(2).standard_normal((64, gallery.features.shape[1]), dtype=np.float32), 3)
small = FeatureSet(gallery.features[:1000], gallery.pids[:1000], gallery.camids[:1000])
evaluator = ReidEvaluator(num_query=64, memory_gb=0.02)
evaluator.judge(query, small)  # what is loaded and allocated once
before = peak = anonymous()
done = threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

thread = threading.Thread(target=watch)
thread.start()
results = evaluator.judge(query, gallery)
done.set()
thread.join()
print(peak - before, results["mAP"])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell")
def test_features_on_disk_are_not_read_into_memory(tmp_path):
    """A gallery of 164 MB is judged in the 20 MB of the budget, and some numbers for each of its 160,000 images."""
    draw = np.random.default_rng(0)
    with open(tmp_path / "features.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (160_000, 256)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(16):
            file.write(draw.standard_normal((10_000, 256), dtype=np.float32).data)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "features.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    mib, precision = map(float, done.stdout.split())
    assert precision > 0
    assert mib < 70
