"""Crops of parts to train on, at the resolution they were taken in.

"Rescaling the training images is not allowed" (card of the published inspection): the absolute size
of a mark decides whether it is a defect. A crop of a defective part lies around its defect, one of
a good part anywhere, and both are lit, turned and noisy in other ways each time.

Targets are maps of the places of a crop: 1 defect, 0 good, -1 the edge of a defect, of which
nothing is asked, and `SOMEWHERE` all over a defective part on which nobody has drawn where the
defect is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from contract.ops import tiles
from contract.ops.tiles import SIDE, STEP
from contract.spec import Array, Floats
from training import drawn_defects
from training.datasets import DataError, Recording
from training.parts import DEFECT, GOOD, Item, items
from training.recipes import Examples

SOMEWHERE = 2.0
_EDGE = -1.0
_MOST_BYTES = 2 << 30  # of pictures that stay in memory
_FEWEST_PX = 4  # of a place's 64 that make it defective
_TURNED = 0.5  # of the crops
_NEAR = 0.9  # of the crops of a defective part show its defect for sure
_FEWEST = 4  # pictures of a class
_MARGIN = SIDE // 8  # that a defect's place keeps from the edge of a crop


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture to cut crops from.

    Attributes:
        picture: (height, width, channels) uint8, one channel where it is grey.
        mask: (height, width) uint8, 1 where the defect is; None: not drawn, or there is none.
        is_defect: whether the part is defective.
    """

    picture: Array
    mask: Array | None
    is_defect: bool


class Pictures:
    """Pictures of parts, doubtful ones left out; those that do not fit into memory are read again.

    Rows are taken by numbers: `pictures[numbers]` is a list of `Photo`.
    """

    def __init__(self, of: Sequence[Item], *, labels: Sequence[str] = (GOOD, DEFECT)) -> None:
        """Nothing is read yet.

        Args:
            of: the items.
            labels: of the pictures that are taken.
        """
        self._places = [
            (one, i) for one in of for i, shown in enumerate(one.shown) if shown.label in labels
        ]
        self._kept: dict[int, Photo] = {}
        self._bytes = 0
        self.is_defect = np.array([one.shown[i].label == DEFECT for one, i in self._places], bool)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, numbers: Array) -> list[Photo]:
        return [self._one(int(number)) for number in numbers]

    def _one(self, number: int) -> Photo:
        if number in self._kept:
            return self._kept[number]
        item, i = self._places[number]
        picture = item.window(i).data
        if (picture == picture[..., :1]).all():
            picture = np.ascontiguousarray(picture[..., :1])
        picture = tiles.enlarged(picture)
        mask = item.mask(i)
        drawn = None if mask is None else tiles.enlarged(mask.astype(np.uint8), is_mask=True)
        seen = Photo(picture, drawn, bool(self.is_defect[number]))
        if self._bytes < _MOST_BYTES:
            self._kept[number] = seen
            self._bytes += picture.nbytes + (0 if drawn is None else drawn.nbytes)
        return seen


def pictures(recordings: Sequence[Recording]) -> Examples:
    """All labelled pictures of items, and 1 for each defective one, else 0."""
    found = Pictures(items(recordings))
    return found, found.is_defect.astype(np.float32)


def crops(
    *, drawn: float, moved: float = 0.0
) -> Callable[[Sequence[Photo], Floats, np.random.Generator], Examples]:
    """One crop of each picture, as another part, camera or lamp would have given it.

    Args:
        drawn: share of the good parts that get defects drawn onto them: however few the real ones
            are, none is seen twice.
        moved: share of them that get a real defect of another part, where it is known to be: what
            surrounds a defect is not what makes it one.

    Returns:
        (n, 256, 256, 3) float32 pixels from 0 to 255, and (n, 32, 32, 1) float32 targets.
    """

    def made(seen: Sequence[Photo], _targets: Floats, rng: np.random.Generator) -> Examples:
        cut = [_crop(one, rng) for one in seen]
        if len({pixels.shape for pixels, _ in cut}) > 1:  # grey ones among coloured ones
            cut = [(_rgb(pixels), mask) for pixels, mask in cut]
        shown = list(cut)
        known = [i for i, (_, mask) in enumerate(cut) if mask.any()]
        for i, one in enumerate(seen):
            by_chance = rng.random()
            if one.is_defect or by_chance >= drawn + moved:
                continue
            if by_chance < drawn:
                shown[i] = drawn_defects.draw(cut[i][0], cut[int(rng.integers(len(cut)))][0], rng)
            elif known:
                shown[i] = drawn_defects.move(cut[i][0], *cut[int(rng.choice(known))], rng)
        targets = [_target(one, mask) for one, (_, mask) in zip(seen, shown, strict=True)]
        return np.stack([_rgb(_lit(x, rng)) for x, _ in shown]), np.stack(targets)[..., None]

    return made


def whole(seen: Photo) -> Floats:
    """(1, 256, 256, 3) float32: a square of a picture as it is, around its defect if that is drawn.

    Such as for calibration, and to see which epoch was the best.
    """
    height, width = seen.picture.shape[:2]
    row, column = height // 2, width // 2
    if seen.mask is not None and seen.mask.any():
        row, column = (int(np.median(along)) for along in np.nonzero(seen.mask))
    top = int(np.clip(row - SIDE // 2, 0, max(height - SIDE, 0)))
    left = int(np.clip(column - SIDE // 2, 0, max(width - SIDE, 0)))
    return _rgb(_cut(seen.picture, seen.mask, top, left)[0])[None]


def as_they_are(pictures: Pictures, most: int) -> Floats:
    """(at most `most`, 256, 256, 3) float32: `whole` of pictures evenly over all of them."""
    some = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)
    return np.concatenate([whole(one) for one in pictures[some]])


def squares(seen: Photo) -> Floats:
    """(squares, 256, 256, 3) float32: all of a picture, as a device looks at it."""
    return tiles.cut(_rgb(seen.picture))


def _crop(seen: Photo, rng: np.random.Generator) -> tuple[Floats, Array]:
    """(256, 256, channels) float32 of a crop, and its mask."""
    # what is turned is interpolated: the smallest marks and the camera's own noise are softer then
    picture, mask = _turned(seen, rng) if rng.random() < _TURNED else (seen.picture, seen.mask)
    height, width = picture.shape[:2]
    top, left = (int(rng.integers(0, max(n - SIDE, 0) + 1)) for n in (height, width))
    if mask is not None and mask.any() and rng.random() < _NEAR:
        rows, columns = np.nonzero(mask)
        k = rng.integers(len(rows))
        within = rng.integers(_MARGIN, SIDE - _MARGIN, 2)
        top = int(np.clip(rows[k] - within[0], 0, max(height - SIDE, 0)))
        left = int(np.clip(columns[k] - within[1], 0, max(width - SIDE, 0)))
    cut, drawn = _cut(picture, mask, top, left)
    if rng.random() < 0.5:
        cut, drawn = cut[::-1], drawn[::-1]
    if rng.random() < 0.5:
        cut, drawn = cut[:, ::-1], drawn[:, ::-1]
    return cut.astype(np.float32), drawn


def _turned(seen: Photo, rng: np.random.Generator) -> tuple[Array, Array | None]:
    """A little turned and scaled: another camera stands nearer by a few percent, not by half."""
    height, width = seen.picture.shape[:2]
    scale = float(np.exp(rng.normal(0.0, 0.12)))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0.0, 5.0), scale)
    matrix[:, 2] += (width * (scale - 1) / 2, height * (scale - 1) / 2)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    border = cv2.BORDER_REFLECT_101
    picture = cv2.warpAffine(seen.picture, matrix, size, borderMode=border)
    picture = picture.reshape(*picture.shape[:2], -1)
    if seen.mask is None:
        return picture, None
    mask = cv2.warpAffine(
        seen.mask, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
    )
    return picture, mask


def _cut(picture: Array, mask: Array | None, top: int, left: int) -> tuple[Array, Array]:
    """A square of each, mirrored beyond the edges; an empty mask where there is none."""
    cut = tiles.square(picture, (top, left), (SIDE, SIDE))
    if mask is None:
        return cut, np.zeros((SIDE, SIDE), np.uint8)
    return cut, tiles.square(mask, (top, left), (SIDE, SIDE))


def _target(seen: Photo, mask: Array) -> Floats:
    if seen.is_defect and seen.mask is None:
        return np.full((SIDE // STEP, SIDE // STEP), SOMEWHERE, np.float32)
    return _places(mask)


def _places(mask: Array) -> Floats:
    """(32, 32) targets of a crop whose defects are drawn.

    Where a defect fills no place so far, the one that it fills most is defective.
    """
    places = SIDE // STEP
    lit = mask.reshape(places, STEP, places, STEP).sum(axis=(1, 3), dtype=np.uint8)
    enough = np.minimum(cv2.dilate(lit, np.ones((3, 3), np.uint8)), _FEWEST_PX)
    found: Floats = np.where(lit == 0, 0.0, np.where(lit >= enough, 1.0, _EDGE))
    return found.astype(np.float32)


def _rgb(cut: Array) -> Floats:
    pixels = cut.astype(np.float32)
    return np.repeat(pixels, 3, axis=2) if cut.shape[2] == 1 else pixels


def _lit(pixels: Floats, rng: np.random.Generator) -> Floats:
    """In another light, by another sensor."""
    contrast, gain = np.exp(rng.normal(0.0, 0.15)), np.exp(rng.normal(0.0, 0.2))
    lit = ((pixels - 127.0) * contrast + 127.0) * gain + rng.normal(0.0, 8.0)
    if rng.random() < 0.3:
        noise = rng.normal(0.0, rng.uniform(0.0, 6.0), (SIDE, SIDE, 1))
        lit = lit + noise
    found: Floats = lit.clip(0.0, 255.0).astype(np.float32)
    return found


def balanced(
    score: Callable[[object, Sequence[Photo]], Array], *, rows: int, defective: float = 0.5
) -> Callable[[object, Examples, np.random.Generator], Array]:
    """Which pictures an epoch goes over: half defective, half good, a part of these hard ones.

    Equal numbers of both are the weighted loss w = n / (2 n of the class) by other means. Of 64
    good pictures taken at random those that score highest come four times (hard-negative mining).

    Args:
        score: model, pictures -> (n,) how much of a defect it sees in each.
        rows: of an epoch.
        defective: share of them.
    """
    tried, kept, times = 64, 12, 4

    def chosen(model: object, examples: Examples, rng: np.random.Generator) -> Array:
        pictures = examples[0]
        assert isinstance(pictures, Pictures)
        refuse_too_few(pictures, defects=_FEWEST)
        defects, good = (np.flatnonzero(pictures.is_defect == is_it) for is_it in (True, False))
        some = rng.permutation(good)[:tried]
        hard = some[np.argsort(score(model, pictures[some]))[-kept:]]
        shown = round(defective * rows)
        more = _dealt(good, rows - shown, rng)
        of_good = np.concatenate([np.repeat(hard, times), more])[: rows - shown]
        return rng.permutation(np.concatenate([_dealt(defects, shown, rng), of_good]))

    return chosen


def evenly(*, rows: int) -> Callable[[object, Examples, np.random.Generator], Array]:
    """Which pictures an epoch goes over: each as often as any other.

    Args:
        rows: of an epoch.
    """

    def chosen(_model: object, examples: Examples, rng: np.random.Generator) -> Array:
        pictures = examples[0]
        assert isinstance(pictures, Pictures)
        refuse_too_few(pictures, defects=0)
        return _dealt(np.arange(len(pictures)), rows, rng)

    return chosen


def refuse_too_few(pictures: Pictures, *, defects: int) -> None:
    """Say so where there is too little to learn from.

    Args:
        pictures: of training.
        defects: that there must be.

    Raises:
        DataError: there are fewer, or too few good parts.
    """
    defective = int(pictures.is_defect.sum())
    good = len(pictures) - defective
    if good < _FEWEST or defective < defects:
        raise DataError(
            f"{good} good and {defective} defective pictures to learn from, at least {_FEWEST} and "
            f"{defects} are needed; fix: more of them, or --method good-only where defects are few"
        )


def _dealt(numbers: Array, count: int, rng: np.random.Generator) -> Array:
    """So many of them, each as often as any other, or once more."""
    whole = [rng.permutation(numbers) for _ in range(count // len(numbers) + 1)]
    return np.concatenate(whole)[:count]
