"""Cross-sections: found, measured to parts of a pixel, refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
from section_pictures import LUMENS, RING, compressed, disc, section, seen, turned

from contract import section as sizes_of
from contract.ops import section as ops
from contract.ops.section import UnmeasurableError

PICTURE = section()
FOUR = tuple(disc(200 + 75 * x, 180 + 75 * y, 30) for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)))


def measured(picture):
    return sizes_of.sizes(ops.find(picture))


def looks(picture):
    return ops.find(picture).looks


def doubt(picture):
    diameter = measured(picture)["outer_diameter_px"]
    return sizes_of.doubt(looks(picture), diameter_px=diameter)


def test_a_drawn_section_has_the_sizes_it_was_drawn_with():
    """Distances of circles are known: between centres, less the radii."""
    found = measured(PICTURE)
    (x, y, radius, _), (a, b) = RING, LUMENS
    middle = np.average([a[:2], b[:2]], axis=0, weights=[a[2] ** 2, b[2] ** 2])
    offset = np.hypot(*(middle - (x, y)))
    walls = [radius - one[2] - np.hypot(one[0] - x, one[1] - y) for one in LUMENS]
    wanted = {
        "lumens": 2,
        "outer_diameter_px": 2 * radius,
        "outer_least_px": 2 * radius,
        "outer_largest_px": 2 * radius,
        "wall_least_px": min(walls),
        "septum_least_px": np.hypot(a[0] - b[0], a[1] - b[1]) - a[2] - b[2],
        "offset_px": offset,
        "concentricity": 1 - offset / radius,
        "ovality": 0.0,
        "lumen_1_diameter_px": 100.0,
        "lumen_1_longest_px": 100.0,
        "lumen_1_shortest_px": 100.0,
        "lumen_2_diameter_px": 80.0,
    }
    for name, value in wanted.items():
        # what is the least or the longest of many edges is a little beyond their mean
        assert found[name] == pytest.approx(value, abs=0.2), name
    assert found["outer_diameter_px"] == pytest.approx(2 * radius, abs=0.05)
    assert found["wall_ratio"] == found["wall_least_px"] / found["wall_mean_px"]


def test_the_wall_of_a_ring_is_its_mean_everywhere():
    tube = section(disc(200, 180, 150), [disc(200, 180, 120)])
    found = measured(tube)
    assert found["wall_mean_px"] == pytest.approx(30.0, abs=0.05)
    assert found["wall_least_px"] == pytest.approx(30.0, abs=0.15)
    assert found["wall_ratio"] > 0.99
    assert "septum_least_px" not in found
    moved = measured(section(disc(200, 180, 150), [disc(205, 180, 120)]))
    assert moved["wall_least_px"] == pytest.approx(25.0, abs=0.15)
    assert moved["offset_px"] == pytest.approx(5.0, abs=0.05)


def test_an_oval_section_has_the_ovality_of_its_axes():
    found = measured(section(disc(200, 180, 140, stretch=1.1), []))
    assert found["outer_largest_px"] == pytest.approx(308.0, abs=0.2)
    assert found["outer_least_px"] == pytest.approx(280.0, abs=0.2)
    assert found["ovality"] == pytest.approx(28 / found["outer_diameter_px"], abs=1e-3)
    assert found["lumens"] == 0
    assert "wall_least_px" not in found


def test_micrometres_stand_beside_pixels():
    found = sizes_of.in_um({"outer_diameter_px": 300.0, "ovality": 0.02}, um_per_px=2.5)
    assert found == {"outer_diameter_px": 300.0, "outer_diameter_um": 750.0, "ovality": 0.02}


def test_places_are_those_of_the_picture():
    """The centre of the first pixel is 0.5, 0.5."""
    found = ops.find(PICTURE)
    np.testing.assert_allclose(sizes_of.centroid(found.outer), RING[:2], atol=0.02)
    left, top, right, bottom = found.box
    assert left == pytest.approx(RING[0] - RING[2], abs=0.1)
    assert bottom == pytest.approx(RING[1] + RING[2], abs=0.1)
    assert (right - left, bottom - top) == pytest.approx((300.6, 300.6), abs=0.2)
    np.testing.assert_array_equal(ops.find(PICTURE[:, :, 0]).outer, found.outer)


def test_one_section_photographed_again_has_the_same_sizes():
    """Turned, shifted by parts of a pixel, with other noise; far below the 0.2 px asked for."""
    rng = np.random.default_rng(5)
    again = [
        seen(turned(PICTURE, a, right=x, down=y), noise=3.0, seed=i)
        for i, (a, x, y) in enumerate(rng.uniform((-180, -4, -4), (180, 4, 4), (12, 3)))
    ]
    found = [measured(one) for one in again]
    for name in ("outer_diameter_px", "wall_least_px", "septum_least_px", "lumen_1_diameter_px"):
        assert np.std([one[name] for one in found], ddof=1) < 0.1, name


DISTURBED = {
    "darker": lambda picture: seen(picture, gain=0.8),
    "brighter": lambda picture: seen(picture, gain=1.2),
    "softer": lambda picture: seen(picture, blur=1.0),
    "noisy": lambda picture: seen(picture, noise=8.0),
    "compressed": lambda picture: compressed(picture, 70),
    "turned": lambda picture: turned(picture, 33.0, right=2.5, down=-1.5),
}


@pytest.mark.parametrize("disturb", DISTURBED.values(), ids=DISTURBED)
@pytest.mark.parametrize("lumens", [(), LUMENS[:1], LUMENS, FOUR], ids=len)
def test_lumens_are_counted_whatever_the_picture_went_through(lumens, disturb):
    assert len(ops.find(disturb(section(lumens=lumens))).lumens) == len(lumens)


def test_the_largest_lumen_comes_first():
    """Whichever is found first in the picture."""
    upside_down = ops.find(np.ascontiguousarray(PICTURE[::-1]))
    for found in (ops.find(PICTURE), upside_down):
        assert [round(2 * np.sqrt(ops.area(one) / np.pi)) for one in found.lumens] == [100, 80]


def test_a_fibre_makes_no_two_lumens_and_a_speck_is_none():
    picture = PICTURE.copy()
    picture[100:200, 149:151] = 220  # from edge to edge of the first lumen
    picture[300:303, 200:203] = 40
    assert len(ops.find(picture).lumens) == 2
    assert measured(picture)["lumen_1_diameter_px"] == pytest.approx(100.0, abs=0.3)


def test_what_is_around_may_be_half_as_bright_and_larger():
    """Two thirds of the picture at 150: the half between 40 and 225 is not enough to tell."""
    picture = np.full((400, 1200, 3), 150, np.uint8)
    picture[10:390, 10:410] = PICTURE
    assert len(ops.find(picture).lumens) == 2


def two(*, apart):
    """Two sections beside each other."""
    one = section(disc(200, 180, 90), [], size=(360, 400))
    picture = np.full((360, 400 + apart, 3), 40, np.uint8)
    picture[:, :400] = one
    picture[:, apart:] = np.maximum(picture[:, apart:], one)
    return picture


NOISE = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
WRONG = {
    "too dark": (seen(PICTURE, gain=0.3), "too dark: its brightest parts are 6"),
    "black": (np.zeros((300, 300, 3), np.uint8), "too dark"),
    "white": (np.full((300, 300, 3), 255, np.uint8), "no section: the picture is all of one grey"),
    "pale": (section(bright=130.0, dark=120.0), "no section: the picture is all of one grey"),
    "small": (section(disc(200, 180, 20), []), "no section: what is bright is 39 pixels wide"),
    "square": (np.pad(np.full((200, 200, 3), 220, np.uint8), ((50, 50), (50, 50), (0, 0))), None),
    "noise": (NOISE, "no section|not whole"),
    "cut": (PICTURE[60:], "not whole in the picture"),
    "at the edge": (PICTURE[:332], "not whole in the picture"),
    "two": (two(apart=200), "2 sections in the picture; fix: one at a time"),
    "touching": (two(apart=170), "not round; or several sections that touch"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_measured_is_refused_in_plain_words(name):
    picture, why = WRONG[name]
    with pytest.raises(UnmeasurableError, match=why or "not round"):
        ops.find(picture)


def test_a_picture_in_focus_and_well_lit_is_believed():
    assert doubt(PICTURE) == ""
    assert doubt(seen(PICTURE, gain=0.8)) == ""


def test_the_edges_tell_the_focus():
    """Two blurs add as squares, and 10 % to 90 % of a Gaussian edge is 2.56 sigma."""
    for blur in (0.0, 1.0, 2.0):
        wide = 2.56 * np.hypot(1.5, blur)
        assert looks(seen(PICTURE, blur=blur)).edge_px == pytest.approx(wide, rel=0.1)
    assert doubt(seen(PICTURE, blur=2.0)).startswith("out of focus: its sharpest edges are 6.")


@pytest.mark.parametrize("radius", [45, 100, 280])
def test_how_wide_edges_may_be_grows_with_the_section(radius):
    """A small section cannot have sharper edges than its pixels; a large one hides nothing."""
    size = 2 * radius + 40
    small = section(disc(size / 2, size / 2, radius), [], size=(size, size), blur=0.6)
    assert doubt(small) == ""
    assert "out of focus" in doubt(seen(small, blur=3.0))


def glowing(gain):
    """Light scattered within the tube leaves edges with a long dark half, as real ones have."""
    grey = section(blur=1.0)[:, :, 0].astype(float)
    return seen(0.8 * grey + 0.2 * seen(grey, blur=4.0)[:, :, 0], gain=gain)


def test_light_cut_off_at_white_is_told_by_the_edges():
    """An even edge has two equal halves; over-exposed, the bright one is cut off."""
    assert looks(PICTURE).shoulder == pytest.approx(1.0, abs=0.1)
    shoulders = [looks(glowing(gain)).shoulder for gain in (1.0, 1.3, 1.7, 2.2)]
    assert shoulders == sorted(shoulders, reverse=True)
    assert doubt(glowing(1.0)) == ""
    assert "over-exposed: the bright half of its edges is cut off" in doubt(glowing(2.2))
    wider = (
        measured(glowing(2.2))["outer_diameter_px"] - measured(glowing(1.0))["outer_diameter_px"]
    )
    assert wider > 1.0  # why it is refused
