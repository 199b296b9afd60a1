"""Vehicles: their attributes, the space they stand in, and how they are drawn."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fastreid.data.synthetic import VARIANTS, Vehicle, paint, sample_vehicle, sample_vehicles
from fastreid.data.synthetic.vehicles.coachwork import draw_vehicle
from fastreid.data.synthetic.vehicles.paintwork import LACQUER, contrast
from fastreid.data.synthetic.vehicles.shapes import SHAPES, Block
from fastreid.data.synthetic.vehicles.solid import Solid
from fastreid.data.synthetic.vehicles.vehicle import CHOICES, VISIBLE_FROM_ANYWHERE
from fastreid.data.synthetic.vehicles.view import View

from .test_identity import rng

ROADS = VARIANTS["SynthVehicle"].cameras
CAR = Vehicle(
    stretch=1.0,
    kind="hatchback",
    colour="blue",
    second_colour="white",
    finish="plain",
    roof="bare",
    trim="black",
    glass="clear",
    rims="star",
    lights="round",
    sticker="none",
    sticker_colour="orange",
    plate="white",
)
CUBE = Block(
    part="cargo", outline=((1, 0), (1, 2), (-1, 2), (-1, 0)), roles=("front", "top", "rear"), low=1.0, high=1.0
)


def seen_by_all(vehicle: Vehicle) -> np.ndarray:
    clear = (replace(camera, noise=0.0) for camera in ROADS)
    return np.stack([paint(vehicle, camera, rng(11)) for camera in clear])


def test_attributes_are_complete():
    assert set(CHOICES) | {"stretch"} == set(asdict(CAR))
    assert set(VISIBLE_FROM_ANYWHERE) < set(CHOICES)
    vehicles = [sample_vehicle(rng(seed)) for seed in range(300)]
    for name, choices in CHOICES.items():
        assert {getattr(vehicle, name) for vehicle in vehicles} == set(choices)


@pytest.mark.parametrize("name", ["stretch", *sorted(CHOICES)])
def test_every_attribute_shows(name):
    """For every attribute there is a view in which the next value looks different; all else is held still."""
    dressed = replace(CAR, finish="side band", sticker="square")
    values = {**CHOICES, "stretch": (0.94, 1.06)}[name]
    looks = [seen_by_all(replace(dressed, **{name: value})).astype(int) for value in values[:5]]
    for one, other, pair in zip(looks, looks[1:], zip(values, values[1:])):
        assert (np.abs(one - other).max(axis=-1) > 25).sum() > 20, pair


@pytest.mark.parametrize("name", VISIBLE_FROM_ANYWHERE)
def test_what_is_visible_from_anywhere_is(name):
    values = [value for value in CHOICES[name] if value not in ("plain", "bare", "none")][:3]
    looks = [seen_by_all(replace(CAR, **{name: value})).astype(int) for value in values]
    for one, other in zip(looks, looks[1:]):
        assert ((np.abs(one - other).max(axis=-1) > 20).sum(axis=(1, 2)) >= 4).all(), values


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_every_kind_fills_its_box_from_every_side(kind):
    for yaw in np.arange(0, 360, 45):
        image = Image.new("RGB", (256, 192), (255, 0, 255))
        view = View(yaw=np.deg2rad(yaw), pitch=0.25, distance=26.0)
        draw_vehicle(image, replace(CAR, kind=kind), view, (28, 21, 228, 171))
        rows, columns = np.nonzero((np.asarray(image) != (255, 0, 255)).any(axis=2))
        assert columns.min() >= 10 and columns.max() <= 246 and rows.min() >= 5 and rows.max() <= 187
        assert np.ptp(columns) >= 190 or np.ptp(rows) >= 140


def test_group_shares_colours_and_differs_otherwise():
    vehicles = sample_vehicles(rng(), count=22, group_size=4)
    assert len(vehicles) == 22 and sample_vehicles(rng(), count=22, group_size=4) == vehicles
    colours = [(car.colour, car.second_colour, car.sticker_colour) for car in vehicles]
    for start in range(0, 22, 4):
        group = vehicles[start : start + 4]
        assert len(set(colours[start : start + 4])) == 1
        assert min(a.differences(b) for i, a in enumerate(group) for b in group[:i]) >= 3
    for main, second, sticker in colours:
        assert contrast(second, main) > 110 and contrast(sticker, main) > 110
        assert second != sticker


def test_impossible_vehicles_are_errors():
    with pytest.raises(ValueError, match="roof must be one of bare, rails, box, sign, hatch; got 'sail'"):
        replace(CAR, roof="sail")
    with pytest.raises(ValueError, match=r"stretch must lie in \[0.94, 1.06\], got 2"):
        replace(CAR, stretch=2)
    with pytest.raises(ValueError, match="use a smaller group_size"):
        sample_vehicles(rng(), count=3000, group_size=3000)
    with pytest.raises(ValueError, match="at least 1"):
        sample_vehicles(rng(), count=0, group_size=4)


def test_view_turns_projects_and_fits():
    view = View(yaw=np.pi / 2, pitch=0.0, distance=20.0)
    front, left, top = view.turn(np.eye(3)[[2, 0, 1]])
    assert front == pytest.approx([1, 0, 0])  # towards the right of the picture
    assert left == pytest.approx([0, 0, -1])  # away
    assert top == pytest.approx([0, 1, 0])
    facing = View(yaw=0.0, pitch=0.0, distance=20.0, scale=10.0, shift=(50.0, 40.0))
    assert facing.project(np.array([[1.0, 1.0, 0.0]]))[0] == pytest.approx([60, 30])
    assert facing.project(np.array([[1.0, 1.0, 10.0]]))[0] == pytest.approx([70, 20])  # half as far, twice as large
    points = rng().uniform(-1, 1, (20, 3))
    places = View(yaw=0.6, pitch=0.3, distance=20.0).fitted(points, (10, 20, 90, 50)).project(points)
    low, high = places.min(axis=0), places.max(axis=0)
    assert (low + high) / 2 == pytest.approx([50, 35])
    assert max((high - low) / (80, 30)) == pytest.approx(1)


@pytest.mark.parametrize(("yaw", "seen"), [(0.2, {"front", "top", -1}), (np.pi + 0.2, {"rear", "top", 1})])
def test_a_camera_sees_what_faces_it(yaw, seen):
    view = View(yaw=yaw, pitch=0.3, distance=20.0)
    solid = Solid(CUBE, 1.0, view, ImageDraw.Draw(Image.new("RGB", (8, 8))))
    found = {strip.role for strip in solid.strips() if strip.seen} | {s for s in (-1, 1) if solid.side(s).seen}
    assert found == seen


def test_a_band_is_the_part_between_two_heights():
    side = Solid(CUBE, 1.0, View(yaw=0, pitch=0, distance=9.0), ImageDraw.Draw(Image.new("RGB", (8, 8)))).side(1)
    assert sorted(side.band(0.5, 1.5)) == [(-1, 0.5), (-1, 1.5), (1, 0.5), (1, 1.5)]
    assert len(side.band(-1, 3)) == 4
    assert list(side.band(2.5, 3)) == []


def test_the_sun_lights_its_side():
    right, left = (View(yaw=0, pitch=0, distance=9.0, light=light) for light in (1.0, -1.0))
    towards_right = np.array([1.0, 0.0, 0.0])
    assert right.brightness(towards_right) > left.brightness(towards_right) > 0.5


def test_lacquers_are_apart():
    names = list(LACQUER)
    assert min(contrast(a, b) for i, a in enumerate(names) for b in names[:i]) > 30
