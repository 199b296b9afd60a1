from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fastreid.data.synthetic import CAMERAS, CHOICES, HEIGHT, WIDTH, paint, sample_identity
from fastreid.data.synthetic.body import pose_body
from fastreid.data.synthetic.lens import develop
from fastreid.data.synthetic.occluder import draw_occluder
from fastreid.data.synthetic.scene import SCENES, backdrop
from fastreid.data.synthetic.scenery import BACKDROP_SIZE
from fastreid.data.synthetic.shot import OCCLUDERS, sample_shot
from fastreid.data.synthetic.variants import VARIANTS

from .test_identity import PERSON, rng


def test_picture_is_uint8_rgb():
    picture = paint(PERSON, CAMERAS[0], rng())
    assert picture.shape == (HEIGHT, WIDTH, 3) == (128, 64, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.scene)
def test_same_state_same_picture(camera):
    picture = paint(PERSON, camera, rng(5))
    assert (paint(PERSON, camera, rng(5)) == picture).all()
    assert (paint(PERSON, camera, rng(6)) != picture).any()


def test_painting_leaves_the_global_stream_alone():
    before = np.random.get_state()[1].copy()
    paint(PERSON, CAMERAS[0], rng())
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("name", ["height", "build", *sorted(CHOICES)])
def test_every_attribute_shows(name):
    """For every attribute there is a view in which another value looks different; all else is held still."""
    dressed = replace(PERSON, bag="backpack", hat="cap", upper_pattern="checks")
    values = {**CHOICES, "height": (1.55, 1.9), "build": (0.1, 0.9)}[name]
    for one, other in zip(values, values[1:]):
        pictures = [_seen_by_all(_dress(dressed, name, value)) for value in (one, other)]
        changed = (np.abs(pictures[0].astype(int) - pictures[1]).max(axis=-1) > 30).sum()
        assert changed > 20, (one, other)


def _dress(person, name, value):
    together = {"dress": {"lower_cut": "leggings"}, "leggings": {"upper_cut": "dress"}}.get(value, {})
    return replace(person, **{name: value}, **together)


def _seen_by_all(person) -> np.ndarray:
    return np.stack([paint(person, camera, rng(1)) for camera in CAMERAS])


def test_print_shows_in_front_and_backpack_behind():
    camera = replace(CAMERAS[0], yaw_spread=0)
    views = {}
    for yaw in (0, 180):
        looks = [
            paint(person, replace(camera, yaw=yaw), rng(2))[30:75].astype(int)
            for person in (PERSON, replace(PERSON, upper_pattern="print"), replace(PERSON, bag="backpack"))
        ]
        views[yaw] = [(np.abs(look - looks[0]).max(axis=-1) > 30).sum() for look in looks[1:]]
    assert views[0][0] > views[180][0] > 0  # a badge on the chest, a small label across the back
    assert views[180][1] > 2 * views[0][1] > 0  # the bag itself, or its straps and what sticks out


def test_cameras_differ_in_light_and_colour():
    means = np.array([np.mean([paint(PERSON, c, rng(i)).mean(axis=(0, 1)) for i in range(6)], axis=0) for c in CAMERAS])
    brightness, warmth = means.mean(axis=1), means[:, 0] / means[:, 2]
    assert brightness.max() > 1.5 * brightness.min()
    assert warmth.max() > 1.3 * warmth.min()


def test_cameras_are_numbered_and_each_has_its_own_scene():
    assert [camera.number for camera in CAMERAS] == [1, 2, 3, 4, 5, 6]
    assert len({camera.scene for camera in CAMERAS}) == 6
    assert {camera.scene for variant in VARIANTS.values() for camera in variant.cameras} == set(SCENES)
    assert {round(camera.yaw / 90) % 4 for camera in CAMERAS} == {0, 1, 2, 3}  # front, back and both sides


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_backdrop_is_the_same_every_time(scene):
    image = backdrop(scene)
    again = backdrop.__wrapped__(scene)
    assert image.size == again.size == BACKDROP_SIZE
    assert image.tobytes() == again.tobytes()
    assert np.asarray(image).std() > 15


def test_unknown_scene_is_an_error():
    with pytest.raises(ValueError, match=r"scene must be one of plaza, .*; got 'moon'"):
        backdrop("moon")


@pytest.mark.parametrize("name", OCCLUDERS)
def test_occluder_covers_a_part(name):
    shot = replace(sample_shot(rng(), CAMERAS[0], picture=(WIDTH, HEIGHT)), occluder=name, occluder_at=0.5)
    image = Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 255))
    draw_occluder(image, shot)
    covered = (np.asarray(image) != (255, 0, 255)).any(axis=2).mean()
    assert 0.05 < covered < 0.5


def test_some_shots_have_an_occluder_and_all_stay_in_range():
    shots = [sample_shot(rng(seed), CAMERAS[2], picture=(WIDTH, HEIGHT)) for seed in range(500)]
    assert 0.08 < np.mean([shot.occluder != "none" for shot in shots]) < 0.2
    assert {shot.occluder for shot in shots} == {"none", *OCCLUDERS}
    assert all(abs(np.rad2deg(shot.yaw) - CAMERAS[2].yaw) <= CAMERAS[2].yaw_spread for shot in shots)
    assert all(0 <= shot.scene_offset[0] <= BACKDROP_SIZE[0] - WIDTH for shot in shots)
    assert all(0 <= shot.scene_offset[1] <= BACKDROP_SIZE[1] - HEIGHT for shot in shots)


def test_develop_without_faults_is_the_identity():
    camera = replace(
        CAMERAS[0], gain=1.0, cast=(1.0, 1.0, 1.0), gamma=1.0, saturation=1.0, sharpness=1.0, blur=0.0, noise=0.0
    )
    shot = replace(sample_shot(rng(), camera, picture=(WIDTH, HEIGHT)), exposure=1.0, tint=(1.0, 1.0, 1.0))
    pixels = rng().integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert (develop(Image.fromarray(pixels), camera, shot, rng()) == pixels).all()
    brighter = develop(Image.fromarray(pixels), replace(camera, gain=1.5), shot, rng())
    assert np.abs(brighter - np.minimum(pixels * 1.5, 255)).max() <= 0.5
    grey = develop(Image.fromarray(pixels), replace(camera, saturation=0.0), shot, rng())
    assert (grey.max(axis=2) - grey.min(axis=2)).max() <= 1


def test_body_stands_on_the_ground_and_walks():
    for phase in np.linspace(0, 2 * np.pi, 9):
        body = pose_body(PERSON, phase=phase, yaw=0.7, origin=(50, 100), unit=100)
        ankles = [body.joints[f"{side} ankle"].y for side in ("left", "right")]
        assert max(ankles) == pytest.approx(100 - 3.5)
        assert body.joints["left knee"].y < body.joints["left ankle"].y + 20
    stride = pose_body(PERSON, phase=np.pi / 2, yaw=np.pi / 2, origin=(50, 100), unit=100).joints
    assert stride["left ankle"].x > stride["right ankle"].x + 15  # the left leg is in front: at the right
    assert stride["left wrist"].x < stride["right wrist"].x  # and its arm behind


def test_the_viewer_sees_the_near_side():
    facing = pose_body(PERSON, phase=0, yaw=0, origin=(0, 0), unit=100)
    assert facing.joints["left shoulder"].x > facing.joints["right shoulder"].x
    turned = pose_body(PERSON, phase=0, yaw=np.pi / 2, origin=(0, 0), unit=100)
    assert turned.joints["right shoulder"].depth > turned.joints["left shoulder"].depth
    assert turned.span(0.2, 0.1) == pytest.approx(0.1)
    assert facing.span(0.2, 0.1) == pytest.approx(0.2)


def test_random_people_are_all_paintable():
    for seed in range(30):
        picture = paint(sample_identity(rng(seed)), CAMERAS[seed % 6], rng(seed))
        assert picture.std() > 10
