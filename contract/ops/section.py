"""The cross-section of a tube in a picture: where it lies, and its edges to parts of a pixel.

The section is bright before something darker, its lumens are dark holes. It is found by a threshold
half way between bright and dark. Then, along each normal of an outline, the edge is where the light
falls steepest: the centroid of the squared gradient around the steepest place, which over-exposure
moves less than any fixed level. OpenCV and NumPy.

Points are x, y in pixels, the centre of the first pixel at 0.5, 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array, Box

LEAST_BRIGHT = 100.0  # of 255: below it there is too little light to tell edges from noise
LEAST_CONTRAST = 20.0  # grey values from dark to bright
LEAST_DIAMETER_PX = 60.0
LEAST_LUMEN = 0.004  # of the area within the outer edge: what is smaller is a speck
_ALIKE = 0.2  # of the largest area: what is as large and as round is another section
_SOLID, _ROUND = 0.92, 0.75  # areas: of the hull, and of the smallest circle around it
_BORDER_PX = 3
_NOISE_PX = 1.0  # sigma of the blur before the threshold
_BRIGHTEST, _DARKEST = 0.995, 0.01  # quantiles
_ROUNDS = 4  # of the threshold; it has settled after two
# of the way from dark to bright: where what is around is brighter than the half, more of it
_THRESHOLDS = (0.5, 0.65, 0.8)
_ALL_ALIKE = "no section: the picture is all of one grey"
_CUT = "the section is not whole in the picture; fix: move it to the middle"
_FIBRE = 1 / 80  # of the diameter: what is bright and thinner bridges nothing
_ALONG_PX = 4.0  # sigma of the smoothing that gives an outline its normals
_STEP_PX = 0.25
_REACH = (4.0, 8.0)  # pixels that an edge may lie beside the threshold's, by the diameter
_REACH_SHARE = 1 / 45
_STEEP_PX = 2.0  # to each side of the steepest place
_TOGETHER = 5  # neighbouring normals averaged
_NEIGHBOURS, _STRAY_PX = 15, 1.5  # an edge so far from the median of so many to each side strays
_EVEN = 3  # edges to each side averaged: where a pixel begins moves a single one
_LEVELS = (0.9, 0.5, 0.1)  # of the step from dark to bright


class UnmeasurableError(ValueError):
    """A picture that must not be measured; the text says why in plain words."""


@dataclass(frozen=True)
class Looks:
    """What a picture of a section is like, whatever its sizes are.

    Attributes:
        edge_px: width of the edges from 10 % to 90 % of their step, of the sharpest tenth of them:
            it grows when the picture is out of focus, and edges that lie deeper do not count.
        shoulder: of an edge's width the half above its middle, over the half below, lower quartile:
            1 where the edge is even, less where the light above was cut off at 255.
        bright: grey value of the section, 0 to 255.
        dark: of what is around and in it.
    """

    edge_px: float
    shoulder: float
    shoulder_px: float
    bright: float
    dark: float


@dataclass(frozen=True, eq=False)
class Section:
    """The edges of one cross-section.

    Attributes:
        outer: (n, 2) float64, points of the outer edge in order, about a pixel apart.
        lumens: (m, 2) float64 of each lumen's edge, the largest lumen first.
        looks: of the picture.
    """

    outer: Array
    lumens: tuple[Array, ...]
    looks: Looks

    @property
    def box(self) -> Box:
        """Around the outer edge."""
        (left, top), (right, bottom) = self.outer.min(axis=0), self.outer.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


def find(picture: Array) -> Section:
    """The one section in a picture.

    Args:
        picture: (height, width, 3) RGB or (height, width), uint8 or float32 from 0 to 255.

    Raises:
        UnmeasurableError: too dark, no section, several, or one that is not whole in the picture.
    """
    grey = np.asarray(picture if picture.ndim == 2 else picture.mean(axis=2), np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), _NOISE_PX)
    bright, dark = _levels(soft)
    outer, lumens = _outlines(soft, bright, dark)
    diameter = 2.0 * np.sqrt(area(outer) / np.pi)
    reach = float(np.clip(diameter * _REACH_SHARE, *_REACH))
    edges, widths = [], []
    for outline, side in ((outer, 1.0), *((one, -1.0) for one in lumens)):
        radius = np.sqrt(area(outline) / np.pi)
        points, profiles, places = _profiles(grey, outline, min(reach, radius / 2), side)
        edges.append(_edge(points, profiles, places))
        widths.append(_widths(profiles, places))
    above, below = np.concatenate(widths).T
    found = Looks(
        edge_px=float(np.percentile(above + below, 10)),
        shoulder=float(np.percentile(above / below, 25)),
        shoulder_px=float(np.median(widths[0][:, 0])),
        bright=bright,
        dark=dark,
    )
    return Section(edges[0], tuple(edges[1:]), found)


def area(outline: Array) -> float:
    """Within a closed outline (n, 2), in square pixels."""
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _levels(soft: Array) -> tuple[float, float]:
    """Grey of what is bright and of what is dark: medians on both sides of their middle."""
    counts = np.bincount(np.clip(np.round(soft), 0, 255).astype(np.uint8).ravel(), minlength=256)
    dark, bright = _quantile(counts, _DARKEST), _quantile(counts, _BRIGHTEST)
    if bright < LEAST_BRIGHT:
        raise UnmeasurableError(
            f"too dark: its brightest parts are {bright:.0f} of 255, at least {LEAST_BRIGHT:.0f} "
            "are needed; fix: more light or a longer exposure"
        )
    for _ in range(_ROUNDS):
        middle = int((bright + dark) / 2) + 1
        below, above = counts.copy(), counts.copy()
        below[middle:] = 0
        above[:middle] = 0
        if not below.any() or not above.any():
            raise UnmeasurableError(_ALL_ALIKE)
        dark, bright = _quantile(below, 0.5), _quantile(above, 0.5)
    if bright - dark < LEAST_CONTRAST:
        raise UnmeasurableError(_ALL_ALIKE)
    return bright, dark


def _quantile(counts: Array, share: float) -> float:
    """The grey value below or at which a share of all that were counted lies."""
    sums = np.cumsum(counts)
    return float(np.searchsorted(sums, share * sums[-1]))


def _outlines(soft: Array, bright: float, dark: float) -> tuple[Array, list[Array]]:
    """Outer outline and those of the lumens, largest first, as pixels of the picture.

    Raises:
        UnmeasurableError: why at the lowest threshold, if there is no section at any.
    """
    reasons = []
    for share in _THRESHOLDS:
        mask = (soft > dark + share * (bright - dark)).astype(np.uint8)
        try:
            return _outlines_of(mask)
        except UnmeasurableError as reason:
            reasons.append(reason)
    raise reasons[0]


def _outlines_of(mask: Array) -> tuple[Array, list[Array]]:
    whole, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(whole, key=cv2.contourArea)
    diameter = 2.0 * np.sqrt(cv2.contourArea(largest) / np.pi)
    if diameter < LEAST_DIAMETER_PX:
        raise UnmeasurableError(
            f"no section: what is bright is {diameter:.0f} pixels wide, at least "
            f"{LEAST_DIAMETER_PX:.0f} are needed"
        )
    # a fibre across a lumen would make two of it
    width = max(round(diameter * _FIBRE), 1) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    contours, tree = cv2.findContours(opened, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parents = tree[0, :, 3] if len(contours) else ()
    areas = np.array([cv2.contourArea(one) for one in contours])
    least = np.pi / 4 * LEAST_DIAMETER_PX**2
    found = [
        i
        for i, parent in enumerate(parents)
        if parent < 0 and areas[i] >= least and _is_round(contours[i])
    ]
    if not found:
        if _is_cut(mask, largest):
            raise UnmeasurableError(_CUT)
        raise UnmeasurableError(
            "no section: what is bright is not round; or several sections that touch"
        )
    outer = max(found, key=lambda i: areas[i])
    if _is_cut(mask, contours[outer]):
        raise UnmeasurableError(_CUT)
    count = sum(areas[i] >= _ALIKE * areas[outer] for i in found)
    if count > 1:
        raise UnmeasurableError(f"{count} sections in the picture; fix: one at a time")
    holes = [i for i, parent in enumerate(parents) if parent == outer]
    holes = [i for i in holes if areas[i] >= LEAST_LUMEN * areas[outer]]
    lumens = [contours[i] for i in sorted(holes, key=lambda i: -areas[i])]
    return contours[outer][:, 0].astype(float), [one[:, 0].astype(float) for one in lumens]


def _is_round(contour: Array) -> bool:
    hull = cv2.convexHull(contour)
    _, radius = cv2.minEnclosingCircle(contour)
    hull_area = cv2.contourArea(hull)
    is_solid = cv2.contourArea(contour) >= _SOLID * hull_area
    return bool(is_solid and hull_area >= _ROUND * np.pi * radius**2)


def _is_cut(mask: Array, contour: Array) -> bool:
    left, top, width, height = cv2.boundingRect(contour)
    right, bottom = mask.shape[1] - left - width, mask.shape[0] - top - height
    return bool(min(left, top, right, bottom) < _BORDER_PX)


def _profiles(
    grey: Array, outline: Array, reach: float, side: float
) -> tuple[tuple[Array, Array], Array, Array]:
    """Points and normals (n, 2), grey along the normals (n, k), places along them (k,) in pixels.

    Places rise from bright to dark; `side` is 1 where it is dark outside, -1 where inside.
    """
    closed = np.vstack([outline, outline[:1]])
    lengths = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    count = max(round(along[-1]), 32)
    at = np.arange(count) * along[-1] / count
    even = np.interp(at, along, closed[:, 0]) + 1j * np.interp(at, along, closed[:, 1])
    k = 2.0 * np.pi * np.fft.fftfreq(count, along[-1] / count)
    waves = np.fft.fft(even) * np.exp(-((_ALONG_PX * k) ** 2) / 2)
    smooth, tangent = np.fft.ifft(waves), np.fft.ifft(1j * k * waves)
    turns = float(np.sum(np.imag(np.conj(smooth) * np.roll(smooth, -1))))
    normal = -1j * tangent / np.maximum(np.abs(tangent), 1e-9) * np.sign(turns) * side
    places = np.arange(-reach, reach + _STEP_PX / 2, _STEP_PX)
    where = smooth[:, None] + places * normal[:, None]
    profiles = cv2.remap(
        grey,
        where.real.astype(np.float32),
        where.imag.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    near = np.pad(profiles, ((_TOGETHER // 2, _TOGETHER // 2), (0, 0)), mode="wrap")
    together = np.lib.stride_tricks.sliding_window_view(near, _TOGETHER, axis=0).mean(axis=-1)
    points = np.column_stack([smooth.real, smooth.imag]) + 0.5
    return (points, np.column_stack([normal.real, normal.imag])), together, places


def _edge(outline: tuple[Array, Array], profiles: Array, places: Array) -> Array:
    """(n, 2) float64: where the light falls steepest along each normal."""
    points, normals = outline
    fall = np.maximum(-np.gradient(profiles, axis=1), 0.0)
    steepest = places[fall.argmax(axis=1)]
    weights = fall**2 * (np.abs(places - steepest[:, None]) <= _STEEP_PX)
    # a row without any fall stays where the threshold found it
    offset = (weights * places).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    usual = np.median(_with_neighbours(offset, _NEIGHBOURS), axis=1)
    offset = np.where(np.abs(offset - usual) > _STRAY_PX, usual, offset)
    offset = _with_neighbours(offset, _EVEN).mean(axis=1)
    moved: Array = points + offset[:, None] * normals
    return moved


def _with_neighbours(ring: Array, count: int) -> Array:
    """(n, 2 count + 1): each value of a closed row, with so many before and after it."""
    around = np.pad(ring, count, mode="wrap")
    return np.lib.stride_tricks.sliding_window_view(around, 2 * count + 1)


def _widths(profiles: Array, places: Array) -> Array:
    """(n, 2): pixels from 90 % to 50 % and from 50 % to 10 % of the step of each profile."""
    middle = profiles.shape[1] // 2
    high = profiles[:, : middle + 1].max(axis=1, keepdims=True)
    low = profiles[:, middle:].min(axis=1, keepdims=True)
    share = (profiles - low) / np.maximum(high - low, 1.0)
    # the last place that is above the half
    half = share.shape[1] - 1 - np.argmax(share[:, ::-1] >= _LEVELS[1], axis=1)
    rows, columns = np.arange(len(share)), np.arange(share.shape[1])
    crossed = []
    for level in _LEVELS:
        if level > _LEVELS[1]:  # going inwards, the first that reaches the level
            reached = (share >= level) & (columns <= half[:, None])
            last = share.shape[1] - 1 - np.argmax(reached[:, ::-1], axis=1)
        else:  # going outwards, the last before it falls below
            fallen = (share < level) & (columns > half[:, None])
            last = np.argmax(fallen, axis=1) - 1
        last = np.clip(last, 0, share.shape[1] - 2)
        first, second = share[rows, last], share[rows, last + 1]
        part = (first - level) / np.maximum(first - second, 1e-6)
        crossed.append(places[last] + np.clip(part, 0.0, 1.0) * _STEP_PX)
    upper, half_way, lower = crossed
    found = np.column_stack([half_way - upper, lower - half_way])
    return np.asarray(np.maximum(found, _STEP_PX / 4))
