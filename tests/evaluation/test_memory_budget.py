from __future__ import annotations

import itertools

import pytest

from fastreid.evaluation.memory_budget import fit_block, require_memory


def bytes_of(rows, columns):
    return 100 + 7 * rows + 3 * columns + 4 * rows * columns


def as_loops(budget, rows, columns, fewest_rows, fewest_columns):
    """Everything; else all rows with as many columns as fit; else the fewest columns with as many rows."""
    fits = [
        shape for shape in itertools.product(range(1, rows + 1), range(1, columns + 1)) if bytes_of(*shape) <= budget
    ]
    tall = [c for r, c in fits if r == rows and c >= min(fewest_columns, columns)]
    if tall:
        return rows, max(tall)
    low = [r for r, c in fits if c == min(fewest_columns, columns) and r >= min(fewest_rows, rows)]
    return (max(low), min(fewest_columns, columns)) if low else None


@pytest.mark.parametrize("fewest_rows", [1, 4, 99])
@pytest.mark.parametrize("fewest_columns", [1, 5, 99])
def test_a_block_is_the_largest_that_fits(fewest_rows, fewest_columns):
    limits = {"fewest_rows": fewest_rows, "fewest_columns": fewest_columns}
    shapes = set()
    for budget in range(100, 1500):
        expected = as_loops(budget, 12, 20, **limits)
        shapes.add(expected)
        if expected is None:
            with pytest.raises(ValueError, match="at least; set it to that or more"):
                fit_block(budget / 1e9, bytes_of, rows=12, columns=20, **limits, what="a block")
        else:
            assert fit_block(budget / 1e9, bytes_of, rows=12, columns=20, **limits, what="a block") == expected
    assert {None, (12, 20)} < shapes or limits == {"fewest_rows": 99, "fewest_columns": 99}


def test_a_part_is_no_larger_than_is_of_use_unless_it_must_be():
    sizes = {"rows": 1000, "columns": 10_000_000}
    assert fit_block(1.0, lambda rows, columns: 4 * rows * columns, **sizes, what="a block") == (1000, 62_500)
    assert fit_block(1.0, lambda rows, _: 300_000_000 * rows, rows=10_000, what="a block") == (3, 1)
    assert fit_block(50.0, lambda rows, columns: 4 * rows * columns, **sizes, what="a block") == (1000, 10_000_000)


def test_what_an_error_says_is_enough():
    for least in (1, 123, 1234, 99_999, 12_345_678, 4_000_000_001):
        with pytest.raises(ValueError, match=r"^TEST\.MEMORY_GB \(memory_gb\) is 1e-10, but a walk takes ") as error:
            require_memory(1e-10, least, "a walk")
        enough = float(str(error.value).split(" takes ")[1].split()[0])
        require_memory(enough, least, "a walk")
        assert enough * 1e9 == pytest.approx(least, rel=0.011)


@pytest.mark.parametrize("memory_gb", [0, -1.0, float("nan")])
def test_memory_must_be_positive(memory_gb):
    with pytest.raises(ValueError, match="must be > 0, got"):
        require_memory(memory_gb, 0, "a walk")
