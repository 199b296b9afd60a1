from __future__ import annotations

import random

from fastreid.utils.random_gallery import draw_gallery


def test_draw_is_its_definition_whatever_the_order():
    images = [(pid, 10 * pid + place) for pid in (9, 2, 5) for place in range(pid)]
    for seed in range(3):
        rng = random.Random(seed)
        expected = [rng.choice([number for pid, number in sorted(images) if pid == wanted]) for wanted in (2, 5, 9)]
        for order in range(3):
            shuffled = random.Random(order).sample(images, len(images))
            drawn = draw_gallery([pid for pid, _ in shuffled], [number for _, number in shuffled], seed)
            assert [shuffled[place][1] for place in drawn] == expected


def test_seeds_draw_different_images_and_leave_the_global_stream_alone():
    state = random.getstate()
    pids, numbers = [1] * 50, list(range(50))
    assert len({draw_gallery(pids, numbers, seed)[0] for seed in range(10)}) > 5
    assert random.getstate() == state


def test_nothing_to_draw_from():
    assert draw_gallery([], [], seed=0) == []
