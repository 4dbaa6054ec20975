"""A picture of any size as squares of one size, at its own resolution, and their maps as one.

The squares overlap, so that what lies at the edge of one lies inside another; where they do, the
mean counts. A picture of a single square is looked at twice instead, as it is and turned by 180
degrees, and the mean counts too. Places of a map lie `STEP` pixels apart. Only a picture far
smaller than a square is enlarged: a network that halves it five times would not see much in it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from contract.spec import Array, Floats

SIDE = 256  # pixels of a square
STEP = 8  # pixels from one place of a map to the next
_OVERLAP = 64  # pixels, at least
_SMALL = 192  # pixels: a picture whose longer side is no longer is enlarged to a square's


class Layout(NamedTuple):
    """Where the squares of a picture lie.

    Attributes:
        rows: of the map that covers the picture.
        columns: likewise.
        down: first map row of each row of squares.
        across: first map column of each column of squares.
    """

    rows: int
    columns: int
    down: tuple[int, ...]
    across: tuple[int, ...]


def layout(height: int, width: int) -> Layout:
    """Squares over a picture of (height, width) pixels, the last ones at its far edges."""
    rows, columns = (max(-(-pixels // STEP), SIDE // STEP) for pixels in (height, width))
    return Layout(-(-height // STEP), -(-width // STEP), _starts(rows), _starts(columns))


def scale(height: int, width: int) -> float:
    """How much a picture of (height, width) pixels is enlarged before it is cut; mostly 1."""
    longest = max(height, width)
    return SIDE / longest if longest <= _SMALL else 1.0


def enlarged(picture: Array, *, is_mask: bool = False) -> Array:
    """A picture as it is cut, by `scale`.

    Args:
        picture: (height, width) or (height, width, channels).
        is_mask: it stays what it is, in no place something between.
    """
    by = scale(*picture.shape[:2])
    if by == 1.0:
        return picture
    size = (round(picture.shape[1] * by), round(picture.shape[0] * by))
    way = cv2.INTER_NEAREST if is_mask else cv2.INTER_CUBIC
    made: Array = cv2.resize(picture, size, interpolation=way)
    return made.reshape(*made.shape[:2], *picture.shape[2:])


def looks(picture: Array) -> Floats:
    """(looks, 256, 256, 3) float32: what a network is shown of a picture, for `joined`.

    All squares, or the only one as it is and turned (test-time augmentation): the smallest marks
    then lie otherwise in the network's grid of places.

    Args:
        picture: (height, width, 3), as `enlarged` gives it.
    """
    squares = cut(picture)
    if len(squares) > 1:
        return squares
    return np.concatenate([squares, squares[:, ::-1, ::-1]])


def cut(picture: Array) -> Floats:
    """(squares, 256, 256, 3) float32: row after row; beyond its edges the picture is mirrored.

    Args:
        picture: (height, width, 3), as `enlarged` gives it.
    """
    height, width = picture.shape[:2]
    lies = layout(height, width)
    size = (lies.down[-1] * STEP + SIDE, lies.across[-1] * STEP + SIDE)
    if size != (height, width):
        picture = square(picture, (0, 0), size)
    made = np.empty((len(lies.down) * len(lies.across), SIDE, SIDE, 3), np.float32)
    for i, (top, left) in enumerate((t, s) for t in lies.down for s in lies.across):
        row, column = top * STEP, left * STEP
        made[i] = picture[row : row + SIDE, column : column + SIDE]
    return made


def square(picture: Array, corner: tuple[int, int], size: tuple[int, int]) -> Array:
    """A piece of a picture, which is mirrored beyond its edges.

    Args:
        picture: (height, width) or (height, width, channels).
        corner: first row and column.
        size: rows and columns of the piece.
    """
    rows, columns = (
        _mirrored(start, count, length)
        for start, count, length in zip(corner, size, picture.shape[:2], strict=True)
    )
    return picture[rows[:, None], columns]


def joined(maps: Floats, lies: Layout) -> Floats:
    """(rows, columns, d) float32: what the network says of every place of the picture.

    Args:
        maps: (looks, 32, 32, d), as `looks` orders them.
        lies: of the picture.
    """
    side = SIDE // STEP
    if len(lies.down) == len(lies.across) == 1:
        as_it_is, turned = maps
        mean: Floats = (as_it_is + turned[::-1, ::-1]) / 2
        return mean[: lies.rows, : lies.columns]
    shape = (lies.down[-1] + side, lies.across[-1] + side)
    total = np.zeros((*shape, maps.shape[-1]), np.float32)
    times = np.zeros((*shape, 1), np.float32)
    places = [(top, left) for top in lies.down for left in lies.across]
    for (top, left), one in zip(places, maps, strict=True):
        total[top : top + side, left : left + side] += one
        times[top : top + side, left : left + side] += 1
    found: Floats = (total / times)[: lies.rows, : lies.columns]
    return found


def _starts(places: int) -> tuple[int, ...]:
    """First places of squares along one side, evenly."""
    side, overlap = SIDE // STEP, _OVERLAP // STEP
    beyond = places - side
    count = -(-beyond // (side - overlap)) + 1
    return tuple(round(beyond * i / max(count - 1, 1)) for i in range(count))


def _mirrored(start: int, count: int, length: int) -> Array:
    """(count,) numbers of the pixels along one side, back and forth beyond its end."""
    if length == 1:
        return np.zeros(count, np.intp)
    there = (start + np.arange(count)) % (2 * length - 2)
    return np.minimum(there, 2 * length - 2 - there)
