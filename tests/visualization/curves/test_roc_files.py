from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from fastreid.visualization.curves.roc_files import (
    load_roc_info,
    plot_distribution,
    plot_roc_curve,
    save_jpeg,
    save_roc_info,
)

ARRAYS = {
    "fpr": np.array([0.0, 0.5, 1.0]),
    "tpr": np.array([0.2, 0.8, 1.0]),
    "pos": np.array([0.9, 0.3], dtype=np.float32),
    "neg": np.array([0.1, 0.2, 0.7], dtype=np.float32),
}


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_what_is_written_is_read_back(tmp_path):
    path = save_roc_info(tmp_path / "new", **ARRAYS)
    assert path == tmp_path / "new" / "roc_info.pickle"
    found = load_roc_info(str(path))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    (tmp_path / "old.pickle").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ValueError, match=r"old.pickle is not what save_roc_info writes.*pickles.*run any code"):
        load_roc_info(tmp_path / "old.pickle")
    np.savez(tmp_path / "objects.npz", **{**ARRAYS, "pos": np.array([Trap(tmp_path / "sprung")])})
    with pytest.raises(ValueError, match="allow_pickle"):
        load_roc_info(tmp_path / "objects.npz")
    assert not (tmp_path / "sprung").exists()


def test_other_files_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_roc_info(tmp_path / "none")
    np.savez(tmp_path / "other.npz", fpr=ARRAYS["fpr"])
    with pytest.raises(ValueError, match="has no tpr, pos, neg"):
        load_roc_info(tmp_path / "other.npz")


def test_a_figure_takes_several_curves(tmp_path):
    figure = plot_roc_curve(ARRAYS["fpr"], ARRAYS["tpr"], "one")
    assert plot_roc_curve(np.array([1e-4, 1.0]), np.array([0.1, 1.0]), "two", figure) is figure
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"] and not figure.legends
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[1e-4, 0.1], [1, 1]])
    assert axes.get_xlim()[0] == 1e-4
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    save_jpeg(figure, tmp_path / "new" / "roc.jpg")
    with Image.open(tmp_path / "new" / "roc.jpg") as picture:
        assert picture.format == "JPEG" and picture.width > 500


def test_distributions_are_densities():
    rng = np.random.default_rng(0)
    pos, neg = rng.normal(0.7, 0.1, 500), rng.normal(0.2, 0.1, 2000)
    figure = plot_distribution(pos, neg, "one")
    (axes,) = figure.axes
    before = len(axes.lines)
    assert plot_distribution(pos + 3, neg + 3, "two", figure) is figure
    added = axes.lines[before:]
    assert [line.get_label() for line in added] == ["two genuine", "two impostor"]
    for line, scores in zip(added, (pos + 3, neg + 3)):
        x, y = line.get_xydata().T
        assert (y.sum() * (x[1] - x[0])) == pytest.approx(1, abs=1e-6)
        assert (x * y).sum() / y.sum() == pytest.approx(scores.mean(), abs=0.02)
    assert axes.get_xlim()[1] > 3.5
