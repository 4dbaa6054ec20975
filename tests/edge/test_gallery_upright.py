"""A face on its head that was found as if it stood; sides, doubts and neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from contract.spec import Detection, Window
from edge import gallery_upright

PICTURE = np.zeros((300, 500, 3), np.uint8)
PICTURE[100, 350] = 255  # the middle of the face
# distance of the eyes, heights of eyes, nose and mouth in the box, score, and length of the
# embedding, of faces as they are found: medians, and one that is hard to tell
FOUND = {
    "upright": (0.468, 0.321, 0.572, 0.741, 0.9997, 2.85),
    "turned": (0.501, 0.335, 0.632, 0.781, 0.97, 2.66),
    "between": (0.479, 0.325, 0.58, 0.745, 0.9995, 2.82),
}


def face(x: float, y: float, how: str) -> Detection:
    """A box of 80 by 93 pixels around a point, its points as they lie in such a face."""
    apart, *heights, score, length = FOUND[how]
    left, top = x - 40.0, y - 46.5
    eyes, nose, mouth = (top + 93 * high for high in heights)
    half = 40 * apart
    points = np.array([(x - half, eyes), (x + half, eyes), (x, nose), (x, mouth)], np.float32)
    vector = np.full(4, length / 2, np.float32)
    return Detection("face", score, vector, (left, top, left + 80, top + 93), points)


def eye(upright_after: int, *, asked: list | None = None, how: str = "turned"):
    """Finds the face wherever it is, and sees that it fits after so many quarters."""

    def see(window: Window):
        for quarters in range(4):
            if np.array_equal(window.data, np.rot90(PICTURE, quarters)):
                y, x = np.argwhere(window.data[..., 0])[0]
                if asked is not None:
                    asked.append(quarters)
                return (face(float(x), float(y), "upright" if quarters == upright_after else how),)
        raise AssertionError

    return see


def turned(see, one: Detection | None):
    return gallery_upright.turned(Window("c", 0, 0, 0, PICTURE, 0.0), one, see)


@pytest.mark.parametrize(
    ("quarters", "says"),
    [
        (1, "on its side; turn the picture a quarter to the left"),
        (2, "upside down; turn the picture by half"),
        (3, "on its side; turn the picture a quarter to the right"),
    ],
)
def test_the_turn_after_which_it_fits_is_named(quarters, says):
    """`np.rot90` turns to the left."""
    assert turned(eye(quarters), face(350, 100, "turned")) == (says, True)


def test_an_upright_face_is_left_alone():
    """Whatever the turned pictures show of it; all three are looked at."""
    asked: list[int] = []
    assert turned(eye(0, asked=asked), face(350, 100, "upright")) == ("", False)
    assert asked == [1, 2, 3]


def test_in_between_is_not_sure():
    """It is told, and no reason to refuse."""
    said, is_sure = turned(eye(2, how="between"), face(350, 100, "between"))
    assert said.startswith("upside down")
    assert not is_sure


def test_another_face_elsewhere_says_nothing_of_this_one():
    """Somebody on a poster behind."""
    assert turned(eye(2), face(60, 60, "turned")) == ("", False)


def test_where_none_was_found_the_turn_that_shows_one_is_named():
    """The surest of them."""
    said, is_sure = turned(
        lambda window: eye(0)(window) if window.data.shape[0] > 300 else (), None
    )
    assert said.startswith("on its side")
    assert is_sure
    assert turned(lambda _window: (), None) == ("", True)
