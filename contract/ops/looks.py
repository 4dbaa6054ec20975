"""What a picture is like, whatever is on it: its light, its focus and where things lie in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array, Floats

VIEW = 64  # side of the small copy that positions are measured on
REACH = VIEW // 4  # as far as a shift can be told, in its pixels
_DARK = 8.0  # of 255, added before a logarithm: the noise of what is black stays small
_FINE_PX = 1.0  # sigma that splits fine from coarse detail
_STEEPEST = 0.05  # of the gradients: edges; most of the others are noise, which no lens blurs
_ENOUGH = 65_536  # gradients to sort; all are computed, but not all are needed
_HIGH_PASS = VIEW / 16  # sigma
_CLIP = 3.0  # standard deviations: one bright edge is not the whole picture
# Between 0, plain correlation, where strong edges hide the place, and 1, phase correlation, where
# every noise counts as much as an edge.
_WHITENED = 0.5


@dataclass(frozen=True, eq=False)
class Looks:
    """What one picture is like.

    Attributes:
        light: mean of the brighter half of the pixels, natural log of 0 to 255 plus one; the lamp
            at half is the same step everywhere.
        contrast: the 5th to the 95th percentile of grey, natural log, relative to `light`.
        focus: how sharp edges are: root mean square of the steepest 5 % of the gradients, relative
            to those of the picture blurred by 1 px, natural log.
        view: (VIEW, VIEW) float32, a small high-passed copy of the whole picture, mean about 0 and
            standard deviation 1; all 0 where nothing is to be seen.
        height: of the picture, pixels.
        width: likewise.
    """

    light: float
    contrast: float
    focus: float
    view: Floats
    height: int
    width: int


def looks(picture: Array) -> Looks:
    """What a picture is like.

    Args:
        picture: (height, width, 3) uint8, RGB.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    up_to = np.cumsum(shares)
    low, high = np.searchsorted(up_to, (0.05, 0.95))
    brighter = np.clip(up_to - 0.5, 0.0, shares)  # of each value, what lies in the upper half
    light = float(np.log(1.0 + 2.0 * (brighter @ np.arange(256))))
    return Looks(
        light=light,
        contrast=float(np.log(1.0 + high - low)) - light,
        focus=_focus(grey),
        view=_view(grey),
        height=grey.shape[0],
        width=grey.shape[1],
    )


def shift(view: Floats, of: Floats) -> tuple[float, float]:
    """How far right and down a view lies of another, in shares of width and height.

    Phase correlation, half way: Kuglin and Hines, IEEE Cybernetics and Society, 1975; to a part of
    a pixel by a parabola. At most `REACH / VIEW` each way.

    Args:
        view: (VIEW, VIEW) float32.
        of: likewise; what it is compared with.
    """
    crossed = np.fft.rfft2(view * _WINDOW) * np.fft.rfft2(of * _WINDOW).conj()
    size = np.abs(crossed)
    crossed /= (size + 1e-3 * size.max() + 1e-12) ** _WHITENED
    found = np.roll(np.fft.irfft2(crossed, s=view.shape), (REACH, REACH), (0, 1))
    near = found[: 2 * REACH + 1, : 2 * REACH + 1] * _LIKELY
    row, column = np.unravel_index(near.argmax(), near.shape)
    down, right = _summit(near[:, column], int(row)), _summit(near[row], int(column))
    return (right - REACH) / VIEW, (down - REACH) / VIEW


def moved(view: Floats, right: float, down: float) -> Floats:
    """(VIEW, VIEW) float32: the view shifted by shares of width and height, its edges mirrored."""
    matrix = np.array([[1.0, 0.0, right * VIEW], [0.0, 1.0, down * VIEW]])
    there = cv2.warpAffine(view, matrix, (VIEW, VIEW), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(there, np.float32)


def _window() -> Floats:
    """(VIEW, VIEW) root of a Hann window: what leaves at one edge does not come in at the other."""
    side = np.sqrt(np.hanning(VIEW + 2)[1:-1])
    return np.outer(side, side).astype(np.float32)


_WINDOW = _window()
# Where a pattern repeats itself, or runs along a side, the nearest of many places is meant.
_NEAR = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / (REACH / 2)) ** 2)
_LIKELY = np.outer(_NEAR, _NEAR)


def _summit(values: Array, top: int) -> float:
    """Where the parabola through the largest value and its neighbours is highest."""
    if not 0 < top < len(values) - 1:
        return float(top)
    before, at, after = values[top - 1 : top + 2]
    bent = before - 2.0 * at + after
    return float(top + 0.5 * (before - after) / bent) if bent < 0.0 else float(top)


def _focus(grey: Array) -> float:
    fine = grey.astype(np.float32)
    coarse = np.asarray(cv2.GaussianBlur(fine, (0, 0), _FINE_PX), np.float32)
    return 0.5 * float(np.log(_steepness(fine) / _steepness(coarse)))


def _steepness(picture: Floats) -> float:
    """Mean square of the steepest gradients; more than 0 also of a picture without any."""
    step = max(round((picture.size / _ENOUGH) ** 0.5), 1)
    across = cv2.Sobel(picture, cv2.CV_32F, 1, 0)[::step, ::step]
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1)[::step, ::step]
    squares = (across * across + down * down).ravel()
    first = int(len(squares) * (1.0 - _STEEPEST))
    return float(np.partition(squares, first)[first:].mean()) + 1e-2


def _view(grey: Array) -> Floats:
    small = cv2.resize(grey, (VIEW, VIEW), interpolation=cv2.INTER_AREA).astype(np.float32)
    logs = np.log(small + _DARK)
    detail = logs - cv2.GaussianBlur(logs, (0, 0), _HIGH_PASS, borderType=cv2.BORDER_REFLECT)
    spread = float(detail.std())
    if spread < 1e-3:
        return np.zeros((VIEW, VIEW), np.float32)
    view: Floats = np.clip(detail / spread, -_CLIP, _CLIP)
    return view
