"""Pictures into what networks take, and places back into the picture. OpenCV and NumPy.

Everywhere: pictures are (height, width, 3) RGB, values 0 to 255; points are x, y in pixels, the
centre of the first pixel at 0.5, 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array, Floats

_BRIGHTEST = 0.995  # quantile of grey taken for white: a lamp in the picture is not
_LEVELS, _BEYOND = 4096, 256.0  # of grey that are counted, and where they end
_MIDDLE, _WHITE = 0.47, 230.0
_EXPONENTS = (0.2, 1.5)
_HALF = 0.5  # scales below it skip pixels when interpolated
_MEAN = np.full((1, 3), 1 / 3, np.float32)  # of three channels
_SPARE = 2  # pixels around what is interpolated


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the square a network takes.

    Attributes:
        scale: pixels of the square for one of the picture.
        left: where the picture begins in the square.
        top: likewise.
    """

    scale: float
    left: float
    top: float

    def back(self, points: Floats) -> Floats:
        """(..., 2) points of the square as points of the picture."""
        found: Floats = (points - np.array([self.left, self.top], np.float32)) / self.scale
        return found


def fit(height: int, width: int, *, size: int, margin: float = 0.0) -> Letterbox:
    """The middle of the square, as large as the margin lets it.

    Args:
        height: of the picture.
        width: of the picture.
        size: of the square.
        margin: on each side at least, in lengths of the picture's longer side.
    """
    scale = size / (max(height, width) * (1.0 + 2.0 * margin))
    return Letterbox(scale, (size - scale * width) / 2.0, (size - scale * height) / 2.0)


def letterbox(picture: Array, *, size: int, margin: float = 0.0) -> Floats:
    """(size, size, 3) float32: the picture in the middle of a square, as `fit` says.

    The sides are black; where a margin was asked for, the picture's edge goes on.

    Args:
        picture: uint8 or float32.
        size: of the square.
        margin: as in `fit`.
    """
    lies = fit(*picture.shape[:2], size=size, margin=margin)
    matrix = np.array([[lies.scale, 0.0, lies.left], [0.0, lies.scale, lies.top]])
    return warp(picture, matrix, size=size, edge_goes_on=margin > 0.0)


def similarity(points: Floats, to: Floats) -> Array:
    """(2, 3) float64: the rotation, scale and shift that best moves points to others.

    Least squares without mirroring: Umeyama, IEEE PAMI 13(4), 1991.

    Args:
        points: (n, 2), n at least 2, not all the same.
        to: (n, 2).
    """
    before, after = points.astype(np.float64), to.astype(np.float64)
    middle, middle_to = before.mean(axis=0), after.mean(axis=0)
    x, y = (before - middle).T
    u, v = (after - middle_to).T
    spread = float((x * x + y * y).sum())
    along, across = float((x * u + y * v).sum()) / spread, float((x * v - y * u).sum()) / spread
    turn = np.array([[along, -across], [across, along]])
    return np.column_stack([turn, middle_to - turn @ middle])


def back(matrix: Array, points: Floats) -> Floats:
    """(n, 2) float32: points of a square as points of the picture.

    Args:
        matrix: (2, 3) from points of the picture to points of the square.
        points: (n, 2).
    """
    moved = np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T
    return np.asarray(moved, np.float32)


def warp(picture: Array, matrix: Array, *, size: int, edge_goes_on: bool = False) -> Floats:
    """(size, size, 3) float32: a picture moved, bilinear; halved first where it shrinks.

    Args:
        picture: uint8 or float32.
        matrix: (2, 3) from points of the picture to points of the square.
        size: of the square.
        edge_goes_on: outside of the picture its edge is repeated; else black.
    """
    picture, matrix = _halved(*_needed(picture, matrix, size))
    # OpenCV has the centre of the first pixel at 0, 0
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2].sum(axis=1) / 2 - 0.5])
    border = cv2.BORDER_REPLICATE if edge_goes_on else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(
        np.asarray(picture, np.float32),
        shifted,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
    )
    return np.asarray(moved, np.float32)


def _needed(picture: Array, matrix: Array, size: int) -> tuple[Array, Array]:
    """The part of a picture that a square shows, and its matrix: a face is few of 40 megapixels."""
    square = np.array([(0, 0), (size, 0), (0, size), (size, size)], np.float64)
    corners = np.linalg.solve(matrix[:, :2], (square - matrix[:, 2]).T)
    spare = _SPARE / min(_scale(matrix), 1.0)
    spans = []
    for along, length in zip(corners, (picture.shape[1], picture.shape[0]), strict=True):
        first = int(np.clip(np.floor(along.min() - spare), 0, length - 1))
        last = int(np.clip(np.ceil(along.max() + spare), first + 1, length))
        spans.append(slice(first, last))
    across, down = spans
    corner = matrix[:, :2] @ np.array([across.start, down.start], np.float64)
    return picture[down, across], np.column_stack([matrix[:, :2], matrix[:, 2] + corner])


def _halved(picture: Array, matrix: Array) -> tuple[Array, Array]:
    """As often as it takes: what is interpolated at less than half of its size skips pixels.

    The mean of four, for OpenCV is many times faster at it than at any other ratio.
    """
    while _scale(matrix) < _HALF and min(picture.shape[:2]) > 1:
        height, width = (length // 2 for length in picture.shape[:2])
        even = picture[: 2 * height, : 2 * width]
        picture = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
        matrix = matrix * (2.0, 2.0, 1.0)
    return picture, matrix


def _scale(matrix: Array) -> float:
    """Pixels of the square for one of the picture."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def reduced(picture: Array, *, longest: int) -> Array:
    """The picture, by area, so that its longer side is at most `longest` pixels."""
    height, width = picture.shape[:2]
    share = longest / max(height, width)
    if share >= 1.0:
        return picture
    size = (max(round(width * share), 1), max(round(height * share), 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def even_light(picture: Array) -> Floats:
    """(height, width, 3) float32, brightened or darkened so that its median is a middle grey.

    One power for all channels: out = 230 (x / white) ** c with c = ln 0.47 / ln(median), where
    white is the 99.5th percentile of grey. Half a face in shadow stays half a face.

    Args:
        picture: uint8 or float32.
    """
    x = np.asarray(picture, np.float32)
    middle, white = _quantiles(np.asarray(cv2.transform(x, _MEAN)), (0.5, _BRIGHTEST))
    white += 1.0
    middle = float(np.clip(middle / white, 1 / 255, 1.0))
    exponent = float(np.clip(np.log(_MIDDLE) / np.log(middle + 0.001), *_EXPONENTS))
    light: Floats = x / np.float32(white)
    np.clip(light, 1 / 255, 1.0, out=light)
    cv2.pow(light, exponent, light)  # four times as fast as NumPy
    light *= np.float32(_WHITE)
    return light


def _quantiles(grey: Array, shares: tuple[float, ...]) -> list[float]:
    """From a histogram: four times as fast as sorting, and less than a tenth of a level off."""
    counts = cv2.calcHist([grey], [0], None, [_LEVELS], [0.0, _BEYOND]).ravel().cumsum()
    upper = np.arange(1, _LEVELS + 1) * (_BEYOND / _LEVELS)
    return [float(found) for found in np.interp(np.array(shares) * counts[-1], counts, upper)]


def mirrored(picture: Floats) -> Floats:
    """(height, width, 3) the picture, left for right."""
    return np.asarray(cv2.flip(picture, 1), np.float32)
