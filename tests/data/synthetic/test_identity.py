from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from fastreid.data.synthetic.identity import (
    CHOICES,
    VISIBLE_FROM_ANYWHERE,
    Identity,
    sample_identities,
    sample_identity,
    sample_wardrobe,
)

PERSON = Identity(
    height=1.7,
    build=0.5,
    skin="light",
    hair_style="short",
    hair_colour="brown",
    upper_cut="t-shirt",
    upper_pattern="plain",
    upper_colour="red",
    second_colour="white",
    lower_cut="trousers",
    lower_colour="navy",
    shoes="shoes",
    shoe_colour="black",
    bag="none",
    bag_colour="teal",
    hat="none",
    hat_colour="teal",
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_attributes_are_complete():
    assert set(CHOICES) | {"height", "build"} == set(asdict(PERSON))
    assert set(VISIBLE_FROM_ANYWHERE) < set(CHOICES)


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_every_choice_is_drawn_and_accepted(name):
    people = [sample_identity(rng(seed)) for seed in range(400)]
    assert {getattr(person, name) for person in people} == set(CHOICES[name])


def test_unknown_value_is_an_error_that_lists_the_choices():
    with pytest.raises(ValueError, match="hat must be one of none, cap, beanie, brimmed hat; got 'crown'"):
        replace(PERSON, hat="crown")


@pytest.mark.parametrize(("name", "value"), [("height", 2.4), ("height", 1.2), ("build", -0.1), ("build", 1.1)])
def test_measure_out_of_range_is_an_error(name, value):
    with pytest.raises(ValueError, match=rf"{name} must lie in .*, got {value}"):
        replace(PERSON, **{name: value})


@pytest.mark.parametrize("clothes", [{"upper_cut": "dress"}, {"lower_cut": "leggings"}])
def test_dress_and_leggings_go_together(clothes):
    with pytest.raises(ValueError, match="a dress goes with leggings alone"):
        replace(PERSON, **clothes)
    replace(PERSON, upper_cut="dress", lower_cut="leggings")


def test_differences_counts_what_every_camera_sees():
    other = replace(PERSON, height=1.9, skin="dark", upper_colour="blue", bag="backpack", hat="cap")
    assert PERSON.differences(other) == other.differences(PERSON) == 2
    assert PERSON.differences(PERSON) == 0


def test_group_shares_colours_and_differs_otherwise():
    people = sample_identities(rng(), count=30, group_size=5)
    colours = ("upper_colour", "second_colour", "lower_colour", "shoe_colour", "bag_colour", "hat_colour")
    wardrobes = [tuple(getattr(person, name) for name in colours) for person in people]
    for start in range(0, 30, 5):
        assert len(set(wardrobes[start : start + 5])) == 1
        group = people[start : start + 5]
        assert min(a.differences(b) for i, a in enumerate(group) for b in group[:i]) >= 4
    assert len(set(wardrobes)) == 6


def test_last_group_may_be_smaller():
    assert len(sample_identities(rng(), count=7, group_size=5)) == 7


def test_same_seed_same_people():
    assert sample_identities(rng(3), count=9, group_size=4) == sample_identities(rng(3), count=9, group_size=4)
    assert sample_identity(rng(3)) != sample_identity(rng(4))


def test_sampling_leaves_the_global_stream_alone():
    before = np.random.get_state()[1].copy()
    sample_identities(rng(), count=4, group_size=2)
    assert (np.random.get_state()[1] == before).all()


def test_group_without_enough_different_people_is_an_error():
    with pytest.raises(ValueError, match="use a smaller group_size"):
        sample_identities(rng(), count=1000, group_size=1000)


@pytest.mark.parametrize(("count", "group_size"), [(0, 1), (1, 0)])
def test_nobody_is_an_error(count, group_size):
    with pytest.raises(ValueError, match="at least 1"):
        sample_identities(rng(), count=count, group_size=group_size)


def test_pattern_and_bag_stand_out():
    from fastreid.data.synthetic.palette import CLOTH

    for seed in range(100):
        wardrobe = sample_wardrobe(rng(seed))
        for name in (wardrobe.second, wardrobe.accent):
            assert np.linalg.norm(np.subtract(CLOTH[name], CLOTH[wardrobe.upper])) > 110
