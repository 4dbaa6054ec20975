"""Defects drawn onto good parts, so that a network learns what a part must not have on it.

Nobody has seen the defects of a new line, but what they do to a picture is known: they are lines,
spots, patches and outlines that are darker, lighter, raised, smoother or rougher than the part,
through which it is seen elsewhere, or that belong elsewhere. After DRAEM (Zavrtanik, Kristan,
Skočaj, ICCV 2021), CutPaste (Li et al., CVPR 2021) and NSA (Schlüter et al., ECCV 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from contract.spec import Array, Floats

_SMALLEST_PX, _LARGEST_PX = 3.0, 160.0
_SEEN = 0.15  # of full strength: what is fainter belongs to no mask
_MOST = 5  # defects on a crop
_LINES = 0.5  # of them; the others are spots
_RINGS = 0.4  # of the spots that are large enough for it
_LEAST_RING_PX = 5.0
_PLACES = 3  # of which a defect gets the one where most is to be seen
_NEAR_PX = 15  # side of what it must be seen among
_TIMES_LEAST = 5.0  # as strong as can just be seen, at most
_TRIES = 8  # until one can be seen
_LARGEST_MOVED = 0.12  # of a crop
_LEAST_TEXTURE_PX2 = 60.0  # a smaller defect shows no texture of its own
_AROUND_PX = 31  # side of what a defect that is moved must be as bright as
_STRENGTH = 0.2  # standard deviation of the logarithm

# part, another one, shape of the defect, generator -> the part as if it were all defect
_Kind = Callable[[Floats, Floats, Floats, np.random.Generator], Floats]


def draw(part: Floats, other: Floats, rng: np.random.Generator) -> tuple[Floats, Array]:
    """One to five defects on a crop.

    Args:
        part: (side, side, channels) float32 pixels of a good part, 0 to 255.
        other: the same of another one.
        rng: decides everything.

    Returns:
        the crop with its defects, and (side, side) uint8, 1 where they are.
    """
    drawn, mask = part, np.zeros(part.shape[:2], np.uint8)
    for _ in range(int(rng.integers(1, _MOST + 1))):
        for _ in range(_TRIES):
            shape = (_line if rng.random() < _LINES else _spot)(len(part), _middle(part, rng), rng)
            made = _blended(drawn, other, shape, rng)
            if made is not None:
                drawn = made
                mask |= (shape > _SEEN).astype(np.uint8)
                break
    return drawn.astype(np.float32), mask


def move(
    part: Floats, defective: Floats, mask: Array, rng: np.random.Generator
) -> tuple[Floats, Array]:
    """A real defect of one part on another, mirrored, elsewhere and as bright as what it lies on.

    Copy-paste (Ghiasi et al., CVPR 2021), with the defect's own contrast to its surroundings.

    Args:
        part: (side, side, channels) float32 pixels of a good part, 0 to 255.
        defective: the same of a defective one.
        mask: (side, side) uint8, 1 where its defect is.
        rng: decides everything.

    Returns:
        the crop with the defect, and (side, side) uint8, 1 where it is; the part as it was where
        the defect is so large that little else is seen of the other.
    """
    side = len(part)
    if not 0 < mask.sum() <= _LARGEST_MOVED * side**2:
        return part, np.zeros_like(mask)
    flips = (slice(None, None, rng.choice([-1, 1])), slice(None, None, rng.choice([-1, 1])))
    defective, mask = defective[flips], mask[flips]
    spans = [np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    shift = [int(rng.integers(-first, side - last)) for first, last in spans]
    defective, mask = (np.roll(x, shift, axis=(0, 1)) for x in (defective, mask))
    around = cv2.dilate(mask, np.ones((_AROUND_PX, _AROUND_PX), np.uint8)) > mask
    grown = cv2.dilate(mask, np.ones((5, 5), np.uint8)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(grown, (0, 0), 1.5), np.float32)[..., None]
    strength = np.exp(rng.normal(0.0, _STRENGTH))
    moved = (defective - defective[around].mean(axis=0)) * strength + part[around].mean(axis=0)
    made = (part + soft * (moved - part)).clip(0.0, 255.0)
    return made.astype(np.float32), mask


def _blended(part: Floats, other: Floats, shape: Floats, rng: np.random.Generator) -> Floats | None:
    """A crop with one defect, mostly a faint one; None where nobody would see it.

    It differs from the part as much as the texture around it does, or up to some times as much; the
    smaller it is, the more.
    """
    inside = shape > _SEEN
    area_px2 = int(inside.sum())
    if area_px2 < _SMALLEST_PX:
        return None
    around = cv2.dilate(inside.astype(np.uint8), np.ones((_NEAR_PX, _NEAR_PX), np.uint8)) > 0
    texture = (part - cv2.GaussianBlur(part, (0, 0), 4.0).reshape(part.shape))[around].std()
    least = (0.7 + 5.0 / np.sqrt(area_px2)) * float(texture) + 4.0
    filled = _filled(part, other, shape, rng)
    change = shape[..., None] * (filled - part)
    strength = float(np.abs(change).mean(axis=2)[inside].mean())
    wanted = least * float(np.exp(rng.uniform(0.0, np.log(_TIMES_LEAST))))
    made = (part + change * min(wanted / max(strength, 1e-6), 1.0)).clip(0.0, 255.0)
    seen = float(np.abs(made - part).mean(axis=2)[inside].mean())
    return made if seen >= 0.9 * least else None


def _size(rng: np.random.Generator) -> float:
    """Log-uniform, pixels."""
    return float(np.exp(rng.uniform(np.log(_SMALLEST_PX), np.log(_LARGEST_PX))))


def _middle(part: Floats, rng: np.random.Generator) -> Floats:
    """Row and column of a defect: of some places the one where most is to be seen, often the part.

    A part that does not fill the picture would have most of its defects beside it.
    """
    rows, columns = rng.integers(0, len(part), (2, _PLACES))
    grey = part.mean(axis=2)
    mean, square = (cv2.blur(x, (_AROUND_PX, _AROUND_PX)) for x in (grey, grey**2))
    best = np.argmax((square - mean**2)[rows, columns])
    return np.array([rows[best], columns[best]], np.float32)


def _line(side: int, middle: Floats, rng: np.random.Generator) -> Floats:
    """(side, side) float32 from 0 to 1: a scratch, crack or hair, mostly nearly straight."""
    length, points = max(_size(rng), 8.0), 24
    heading = rng.uniform(0, 2 * np.pi)
    bends = rng.normal(0.0, rng.choice([0.03, 0.12, 0.35]), points).cumsum() + heading
    steps = length / points * np.column_stack([np.cos(bends), np.sin(bends)])
    path = np.vstack([[0.0, 0.0], steps.cumsum(axis=0)])
    path += middle[::-1] - path[points // 2]
    width = max(float(np.exp(rng.uniform(np.log(0.7), np.log(6.0)))), 0.7)
    canvas = np.zeros((side, side), np.float32)
    for start, end in pairwise(path):
        here = width * rng.uniform(0.6, 1.3)
        (x0, y0), (x1, y1) = ((int(16 * x), int(16 * y)) for x, y in (start, end))
        cv2.line(canvas, (x0, y0), (x1, y1), 1.0, max(round(here), 1), cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.2))
    return np.asarray(soft / max(float(soft.max()), 1e-6), np.float32)


def _spot(side: int, middle: Floats, rng: np.random.Generator) -> Floats:
    """(side, side) float32 from 0 to 1: an ellipse with a ragged edge, or not much but its edge."""
    axes = np.array([_size(rng), 0.0])
    axes[1] = axes[0] * rng.uniform(0.25, 1.0)
    y, x = np.mgrid[:side, :side].astype(np.float32) - middle[:, None, None]
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    away = np.sqrt((2 * along / axes[0]) ** 2 + (2 * across / axes[1]) ** 2)
    ragged = rng.uniform(0.0, 0.6) * _clouds(side, axes[0] / 2, rng)
    edge = rng.choice([0.06, 0.15, 0.5])
    made = ((1.0 + ragged - away) / edge + 0.5).clip(0.0, 1.0)
    if axes[1] > _LEAST_RING_PX and rng.random() < _RINGS:
        # such as a bubble, a blister, or the rim that a drop leaves when it dries
        width = max(rng.uniform(0.1, 0.4), 2.0 / axes[1])
        inner = ((1.0 - width + ragged - away) / min(edge, width) + 0.5).clip(0.0, 1.0)
        made -= rng.uniform(0.7, 1.0) * inner
    return made.astype(np.float32)


def _clouds(side: int, grain: float, rng: np.random.Generator) -> Floats:
    """(side, side) float32 smooth noise, mean about 0 and standard deviation about 1."""
    cells = int(np.clip(side / max(grain, 2.0), 2, side))
    coarse = rng.normal(size=(cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def _filled(part: Floats, other: Floats, shape: Floats, rng: np.random.Generator) -> Floats:
    """What a crop would look like if it were all defect."""
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    if kind in {_smooth, _rough} and shape.sum() < _LEAST_TEXTURE_PX2:
        kind = _tone
    return kind(part, other, shape, rng).astype(np.float32)


def _contrast(part: Floats) -> float:
    return float(part.std()) + 12.0


def _tone(part: Floats, _other: Floats, _shape: Floats, rng: np.random.Generator) -> Floats:
    """Darker or lighter by as much as the part's own range, whatever lies below."""
    return part + rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 3.0) * _contrast(part)


def _relief(part: Floats, _other: Floats, shape: Floats, rng: np.random.Generator) -> Floats:
    """A bump or a dent in light from one side: lighter towards it, darker behind."""
    width = max(float(np.sqrt((shape > _SEEN).sum())) / 4.0, 0.7)
    down, across = np.gradient(cv2.GaussianBlur(shape, (0, 0), width))
    heading = rng.uniform(0, 2 * np.pi)
    slope = down * np.sin(heading) + across * np.cos(heading)
    slope /= max(float(np.abs(slope).max()), 1e-6)
    return part + rng.uniform(0.6, 3.0) * _contrast(part) * slope[..., None]


def _lens(part: Floats, _other: Floats, _shape: Floats, rng: np.random.Generator) -> Floats:
    """A drop or a bubble: what lies behind it is seen a little elsewhere."""
    shift = rng.integers(1, 7, 2) * rng.choice([-1, 1], 2)
    return np.roll(part, shift, axis=(0, 1)) + rng.normal(0.0, 0.5) * _contrast(part)


def _flat(part: Floats, _other: Floats, _shape: Floats, rng: np.random.Generator) -> Floats:
    """Something else of its own brightness."""
    level = rng.uniform(0.0, 255.0)
    clouds = _clouds(len(part), rng.uniform(1, 8), rng)[..., None]
    texture = rng.uniform(0.0, 0.5) * _contrast(part) * clouds
    return np.broadcast_to(level + texture, part.shape)


def _smooth(part: Floats, _other: Floats, _shape: Floats, rng: np.random.Generator) -> Floats:
    smooth = cv2.GaussianBlur(part, (0, 0), rng.uniform(2.0, 6.0)).reshape(part.shape)
    return smooth + rng.normal(0.0, 0.5) * _contrast(part)


def _rough(part: Floats, _other: Floats, _shape: Floats, rng: np.random.Generator) -> Floats:
    noise = _clouds(len(part), rng.uniform(1.0, 6.0), rng)[..., None]
    return part + rng.uniform(0.8, 2.5) * _contrast(part) * noise


def _of_other(part: Floats, other: Floats, _shape: Floats, rng: np.random.Generator) -> Floats:
    """A piece of another part, turned."""
    turned = np.rot90(other, int(rng.integers(1, 4)))
    return turned + rng.normal(0.0, 1.0) * _contrast(part)


def _elsewhere(part: Floats, _other: Floats, _shape: Floats, rng: np.random.Generator) -> Floats:
    """A piece of the same part that does not belong here."""
    down, across = rng.integers(16, len(part) - 16, 2)
    moved = np.roll(part, (int(down), int(across)), axis=(0, 1))[:: rng.choice([-1, 1])]
    gain = np.exp(rng.normal(0.0, 0.35))
    shift = rng.normal(0.0, 0.8) * _contrast(part)
    return (moved - moved.mean()) * gain + moved.mean() + shift


_KINDS: tuple[_Kind, ...] = (
    _tone,
    _relief,
    _lens,
    _flat,
    _smooth,
    _rough,
    _of_other,
    _elsewhere,
)
