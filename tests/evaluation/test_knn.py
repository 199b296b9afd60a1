from __future__ import annotations

import pytest
import torch

from fastreid.evaluation import knn as knn_module
from fastreid.evaluation.knn import best, knn, knn_blocks


def definition(query, database, k, metric):
    """Sort each row of similarities; of equals the lower position first."""
    places, values, lowest = [], [], []
    for q in query.double():
        row = []
        for g in database.double():
            if metric == "cosine":
                row.append(float(q @ g / (q.norm() * g.norm())))
            else:
                row.append(-float((q - g).square().sum()))
        order = sorted(range(len(row)), key=lambda j: (-round(row[j], 9), j))[:k]
        places.append(order)
        values.append([row[j] for j in order])
        lowest.append(min(row))
    return places, values, lowest


def features(count, seed=0, dimensions=6):
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("engine", ["torch", "faiss"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("size", [(2048, 8192), (4, 5), (1, 1)])
def test_neighbours_are_those_of_sorted_rows(monkeypatch, engine, metric, size):
    monkeypatch.setattr(knn_module, "_ROWS", size[0])
    monkeypatch.setattr(knn_module, "_COLUMNS", size[1])
    monkeypatch.setattr(knn_module, "_CHUNK", 2 if size[1] == 5 else 1024)
    query, database = features(9), features(23, seed=1) + 1
    found = knn(query, database, 4, metric=metric, engine=engine)
    places, values, lowest = definition(query, database, 4, metric)
    assert found.places.tolist() == places
    assert found.places.dtype == torch.int64
    # a Euclidean similarity is (|q|^2 - d^2) / 2 from some origin: differences within a row are those of d^2
    halves = 1.0 if metric == "cosine" else 0.5
    values, lowest = (
        halves * torch.tensor(values, dtype=torch.float64),
        halves * torch.tensor(lowest, dtype=torch.float64),
    )
    moved = found.similarity[:, :1] - values[:, :1] if metric == "euclidean" else torch.zeros(9, 1)
    tolerance = 1e-5 if engine == "faiss" else 1e-9
    torch.testing.assert_close(found.similarity, values + moved, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found.lowest, lowest + moved[:, 0], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("columns", [100, 7, 1])
def test_of_duplicates_the_first_are_taken(monkeypatch, columns):
    monkeypatch.setattr(knn_module, "_COLUMNS", columns)
    database = torch.ones(40, 4)  # every similarity is the same
    database[33] = torch.tensor([2.0, 1.0, 1.0, 1.0])
    found = knn(database[33:34], database, 5)
    assert found.places.tolist() == [[33, 0, 1, 2, 3]]


def test_best_with_ties_at_the_border_inside_and_nowhere():
    scores = torch.tensor(
        [[1.0, 3.0, 3.0, 2.0, 3.0, 3.0], [5.0, 5.0, 1.0, 0.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [7.0] * 6]
    )
    values, places = best(scores, 3)
    assert places.tolist() == [[1, 2, 4], [0, 1, 5], [5, 4, 3], [0, 1, 2]]
    assert values.tolist() == [[3, 3, 3], [5, 5, 3], [5, 4, 3], [7, 7, 7]]
    assert best(scores, 6)[1].tolist()[0] == [1, 2, 4, 5, 3, 0]
    assert best(scores, 99)[1].shape == (4, 6)


@pytest.mark.parametrize("engine", ["torch", "faiss"])
def test_more_neighbours_than_images_are_all_images(engine):
    assert knn(features(2), features(3, seed=1), 10, engine=engine).places.sort().values.tolist() == [[0, 1, 2]] * 2
    assert knn(features(2), features(1), 10, engine=engine).places.tolist() == [[0], [0]]


def test_no_query_and_no_database():
    assert knn(features(0), features(3), 2).places.shape == (0, 2)
    found = knn(features(2), features(0), 2)
    assert found.places.shape == (2, 0)
    assert found.lowest.tolist() == [torch.inf] * 2


def test_blocks_of_queries_are_those_of_the_whole():
    query, database = features(11).float(), features(30, seed=1).float()
    memory = 7e-5
    blocks = knn_blocks(11, 6, memory)
    assert len(blocks) > 2
    whole = knn(query, database, 3, memory_gb=memory)
    part = knn(query, database, 3, memory_gb=memory, blocks=blocks[1:])
    assert torch.equal(part.similarity, whole.similarity[blocks[0].stop :])
    assert torch.equal(part.places, whole.places[blocks[0].stop :])


def test_blocks_cover_all_queries_within_the_memory():
    for memory in (1.0, 0.02, 0.0169):
        blocks = knn_blocks(5000, 2048, memory)
        assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(5000))
    rows, columns = knn_module._block_size(2048, 0.05)
    assert rows > 1
    assert 4 * rows * columns + 16384 * (rows + 1024) <= 0.05e9


def test_bad_arguments():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        knn(features(1), features(1), 0)
    with pytest.raises(ValueError, match="engine must be one of auto, torch, faiss, got 'annoy'"):
        knn(features(1), features(1), 1, engine="annoy")
    with pytest.raises(ValueError, match="6 dimensions and database features 5"):
        knn(features(1), features(1, dimensions=5), 1)
    with pytest.raises(ValueError, match=r"TEST\.MEMORY_GB \(memory_gb\) must be > 0"):
        knn(features(1), features(1), 1, memory_gb=0)
    with pytest.raises(ValueError, match=r"neighbours of an image takes 5\.33e-05 GB at least"):
        knn(features(1), features(1), 1, memory_gb=1e-9)
    bad = features(3)
    bad[1] = torch.nan
    with pytest.raises(ValueError, match="similarities of image 1 to others are NaN"):
        knn(bad, features(2), 1)
