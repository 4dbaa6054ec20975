"""A face on its head that was found as if it stood; sides, doubts and neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from contract.spec import Detection, Window
from edge import gallery_upright

PICTURE = np.zeros((300, 500, 3), np.uint8)
PICTURE[100, 350] = 255  # the middle of the face
# heights of eyes, nose and mouth in the box, and the score, of faces as they are found
FOUND = {
    "upright": (0.27, 0.51, 0.73, 0.9),
    "turned": (0.32, 0.57, 0.77, 0.75),
    "between": (0.275, 0.51, 0.73, 0.89),
}


def face(x: float, y: float, how: str) -> Detection:
    """A box of 80 pixels around a point, its points as they lie in such a face."""
    *heights, score = FOUND[how]
    eyes, nose, mouth = (y - 40 + 80 * high for high in heights)
    points = np.array([(x - 17, eyes), (x + 17, eyes), (x, nose), (x, mouth)], np.float32)
    box = (x - 40.0, y - 40.0, x + 40.0, y + 40.0)
    return Detection("face", score, np.ones(4, np.float32), box, points)


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
