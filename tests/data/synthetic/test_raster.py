from __future__ import annotations

import numpy as np
import pytest

from fastreid.data.synthetic.raster import draw_ball, draw_tube

WHITE = (255, 255, 255)


def canvas() -> np.ndarray:
    return np.zeros((40, 30, 3), dtype=np.float32)


def drawn(image: np.ndarray) -> np.ndarray:
    return image.any(axis=2)


@pytest.mark.parametrize("round_ends", [False, True])
def test_tube_covers_the_points_near_its_axis(round_ends):
    start, end, radii = (8.0, 6.0), (20.0, 30.0), (3.0, 6.0)
    image = canvas()
    draw_tube(image, start, end, radii, WHITE, round_ends=round_ends)
    axis = np.subtract(end, start)
    for y in range(40):
        for x in range(30):
            offset = np.array([x + 0.5, y + 0.5]) - start
            along = offset @ axis / (axis @ axis)
            t = min(max(along, 0.0), 1.0)
            distance = np.linalg.norm(offset - t * axis)
            radius = radii[0] + t * (radii[1] - radii[0])
            wanted = distance < radius and (round_ends or 0 <= along <= 1)
            if abs(distance - radius) > 1e-3:  # else rounding decides
                assert drawn(image)[y, x] == wanted, (x, y)


def test_tube_with_more_radii_interpolates_them():
    image = canvas()
    draw_tube(image, (15, 5), (15, 35), (2, 10, 2), WHITE, round_ends=False)
    widths = drawn(image).sum(axis=1)
    assert widths[5:35].max() == widths[19] == widths[20] == 20
    assert widths[6] == widths[33] == 6  # radius 2.8
    assert widths[:5].sum() == widths[35:].sum() == 0


def test_tube_shows_its_surface_by_azimuth_and_place():
    def flag(place, azimuth):
        # front red, the person's left green, back blue; lower half at half brightness
        sectors = np.array([[0, 0, 200], [0, 0, 0], [200, 0, 0], [0, 200, 0]], dtype=np.float32)
        sector = np.floor((azimuth + np.pi) / (np.pi / 2) + 0.5).astype(int) % 4
        return sectors[sector] * np.where(place < 0.5, 1.0, 0.5)[:, None]

    for yaw, channel in ((0, 0), (np.pi, 2), (-np.pi / 2, 1)):  # turned left, the person shows the left side
        image = canvas()
        draw_tube(image, (15, 5), (15, 35), (10, 10), flag, yaw=yaw, round_ends=False)
        middle = image[10, 15]
        assert middle.argmax() == channel and middle.sum() == middle[channel] > 150
        assert image[30, 15, channel] == pytest.approx(middle[channel] / 2)


def test_light_falls_from_its_side():
    image = canvas()
    draw_tube(image, (15, 5), (15, 35), (10, 10), WHITE, light=0.9)
    assert image[20, 22, 0] > image[20, 8, 0] > 0.6 * 255


def test_ball_covers_an_ellipse_and_its_cap():
    image, cap = canvas(), canvas()
    draw_ball(image, (15, 20), (8, 12), WHITE)
    draw_ball(cap, (15, 20), (8, 12), WHITE, above=0.25)
    y, x = np.mgrid[:40, :30] + 0.5
    ellipse = ((x - 15) / 8) ** 2 + ((y - 20) / 12) ** 2 < 1
    assert (drawn(image) == ellipse).all()
    assert (drawn(cap) == (ellipse & (y < 17))).all()


def test_outside_the_canvas_nothing_is_drawn():
    image = canvas()
    draw_tube(image, (-50, -50), (-40, -40), (3, 3), WHITE)
    draw_ball(image, (100, 100), (5, 5), WHITE)
    assert not image.any()


def test_tube_without_length_is_a_disc():
    image = canvas()
    draw_tube(image, (15, 20), (15, 20), (5, 5), WHITE)
    assert drawn(image).sum() == pytest.approx(np.pi * 25, rel=0.06)
