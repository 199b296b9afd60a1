from __future__ import annotations

import csv

import numpy as np
import pytest

from fastreid.evaluation.feature_folder import IndexRow, read_feature_folder
from fastreid.evaluation.label_suspects import (
    CSV_COLUMNS,
    find_suspects_in_folder,
    read_folder_labels,
    write_suspects_csv,
)

from ..test_feature_folder import write_folder
from .drawn import draw


def read(path, rows, features=None, name=""):
    folder = read_feature_folder(write_folder(path, rows, features=features))
    folder.meta["dataset"]["name"] = name
    return folder


def test_a_registered_set_says_who_is_nobody_and_its_cameras_are_those_of_training(tmp_path):
    rows = [
        IndexRow("a.jpg", "7", "0", "query"),
        IndexRow("b.jpg", "0", "1", "gallery"),
        IndexRow("c.jpg", "market1501_7", "market1501_1", "train"),
        IndexRow("d.jpg", "", "-1", "gallery"),
        IndexRow("e.jpg", "9", "", "gallery"),
    ]
    labels = read_folder_labels(read(tmp_path / "f", rows, name="Market1501"))
    assert [labels.names[pid] for pid in labels.pids] == ["7", "0", "market1501_7", "", "9"]
    assert {labels.names[pid] for pid in labels.nobody} == {"0", ""}
    assert [labels.cameras[camid] if camid >= 0 else None for camid in labels.camids] == ["0", "1", "1", None, None]


def test_labels_of_ones_own_are_as_they_were_written_in_all_splits(tmp_path):
    rows = [
        IndexRow("a.jpg", "0", "1", "query", "anna", "front_door"),
        IndexRow("b.jpg", "1", "-1", "gallery", "0", ""),
        IndexRow("c.jpg", "crops_anna", "crops_yard", "train", "anna", "yard"),
    ]
    folder = read(tmp_path / "f", rows, name="csv:crops.csv")
    labels = read_folder_labels(folder)
    assert [labels.names[pid] for pid in labels.pids] == ["anna", "0", "anna"]
    assert labels.nobody == frozenset()
    assert [labels.cameras[camid] if camid >= 0 else None for camid in labels.camids] == ["front_door", None, "yard"]
    nobody = read_folder_labels(folder, ["anna", "who"]).nobody
    assert {labels.names[pid] for pid in nobody} == {"anna"}


@pytest.fixture
def folder(tmp_path):
    """Twelve people, one of them with a stray image, in a set like Market-1501; the last image is listed twice."""
    drawn = draw(identities=12, spread=0.5, shift=0.3)
    pids = drawn.pids.copy()
    pids[7] = 4
    images = zip(pids.tolist(), drawn.camids.tolist(), drawn.splits.tolist())
    rows = [
        IndexRow(f'images/{place},"x".jpg', str(pid), str(cam), split)
        for place, (pid, cam, split) in enumerate(images, 1)
    ]
    again = rows[-1]._replace(split="train")
    features = np.concatenate([drawn.features[-1:].numpy(), drawn.features.numpy()])
    return read(tmp_path / "f", [again, *rows], features=features, name="Market1501")


def test_suspects_name_images_by_their_place_in_the_folder(folder, caplog):
    with caplog.at_level("INFO", logger="fastreid"):
        (suspect,), labels = find_suspects_in_folder(folder, matches=2)
    assert suspect.images == (8,)  # 7 among the drawn ones
    assert [labels.names[pid] for pid in (*suspect.pids, suspect.suggested)] == ["4", "1"]
    assert [labels.names[labels.pids[match.image]] for match in suspect.own] == ["4", "4"]
    assert [labels.names[labels.pids[match.image]] for match in suspect.other] == ["1", "1"]
    assert "1 images are listed more than once" in caplog.text
    assert "288 images of 12 identities; 0 images are of nobody (none is marked)" in caplog.text


def test_options_are_passed_on(folder):
    assert find_suspects_in_folder(folder, threshold=1.2)[0] == []
    assert find_suspects_in_folder(folder, nobody=["4"])[0] == []


def test_the_table_is_read_back_as_it_was_written(folder, tmp_path):
    suspects, labels = find_suspects_in_folder(folder, matches=2)
    path = tmp_path / "new" / "suspects.csv"
    write_suspects_csv(path, suspects, folder, labels)
    assert path.read_bytes().startswith(b"rank,kind,score,")
    with open(path, newline="", encoding="utf-8") as file:
        (row,) = list(csv.DictReader(file))
    assert tuple(row) == CSV_COLUMNS
    assert (row["rank"], row["kind"], row["identities"], row["suggested"]) == ("1", "wrong_label", "4", "1")
    assert (row["images"], row["places"], row["splits"], row["cameras"]) == ('images/8,"x".jpg', "8", "gallery", "1")
    assert float(row["score"]) == pytest.approx(suspects[0].score, abs=6e-4)
    assert "1 of 25 images of 4 fits 1" in row["evidence"]
    matches = [line.split(" ", 1) for line in row["other_matches"].splitlines()]
    assert [path for _, path in matches] == [folder.img_paths[match.image] for match in suspects[0].other]
    assert [float(close) for close, _ in matches] == pytest.approx([m.closeness for m in suspects[0].other], abs=6e-3)
