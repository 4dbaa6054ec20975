"""One picture of what simulated catheters look like: good parts, each defect outlined."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from contract.spec import Array
from training.datasets import DataError
from training.datasets.synthetic.catheters_parts import KINDS
from training.datasets.synthetic.catheters_picture import Setup, draw

_COLUMNS = 4
_STRIP_PX, _GAP_PX = 22, 4
_LEVELS = 5
_CLOSE_PX = 64  # side of the place shown twice as large in a corner
_OUTLINE = (40, 170, 255)  # blue, green, red
# sizes of the defects shown, from the smallest that are seen well on paper
_SHOWN_PX = ((12.0, 20.0), (20.0, 34.0), (34.0, 55.0))
_PINHOLES_PX = (8.0, 14.0)


def write(file: Path, setup: Setup) -> None:
    """A sheet as PNG.

    Args:
        file: to write; its folder is there.
        setup: what is simulated; good parts of every kind and all of its defects are shown.

    Raises:
        DataError: the file cannot be written.
    """
    good = replace(setup, defect_share=0.0)
    tiles = [_titled(_good(good, kind), f"good: {kind}") for kind in KINDS]
    for index, name in enumerate(setup.defects):
        tiles.append(_defective(setup, name, index))
    while len(tiles) % _COLUMNS:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    # fewer grey levels make a smaller file, and none that can be seen to be missing
    sheet = np.vstack(rows) // _LEVELS * _LEVELS
    done, data = cv2.imencode(".png", sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if file.suffix != ".png" or not done:
        raise DataError(f"--sheet {file}: must end in .png")
    file.write_bytes(data.tobytes())


def _good(setup: Setup, kind: str) -> Array:
    picture, _, _ = draw(replace(setup, kinds=(kind,)), 0)
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)


def _defective(setup: Setup, name: str, index: int) -> Array:
    """A picture with that defect, of a size that is well seen, and its place enlarged."""
    kind = KINDS[index % len(KINDS)]
    least, most = _PINHOLES_PX if name == "pinhole" else _SHOWN_PX[(index + index // 3 + 1) % 3]
    setup = replace(setup, kinds=(kind,), defect_share=1.0, defects=(name,))
    picture, mask, facts = next(
        (picture, mask, facts)
        for picture, mask, facts in (draw(setup, number) for number in count(100 * index))
        if mask is not None and least <= facts.defect_size_px <= most
    )
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    close = _enlarged(colour, mask)
    contours, _ = cv2.findContours(
        cv2.dilate(mask, np.ones((5, 5), np.uint8)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    colour = cv2.drawContours(colour, contours, -1, _OUTLINE, 1)
    high, wide = close.shape[:2]
    rows, columns = np.nonzero(mask)
    is_low, is_right = rows.mean() > mask.shape[0] / 2, columns.mean() > mask.shape[1] / 2
    down = slice(0, high) if is_low else slice(-high, None)  # the corner opposite to it
    colour[down, slice(0, wide) if is_right else slice(-wide, None)] = close
    return _titled(colour, f"{name}, {facts.defect_size_px:.0f} px")


def _enlarged(colour: Array, mask: Array) -> Array:
    rows, columns = np.nonzero(mask)
    side, half = colour.shape[0], _CLOSE_PX // 2
    y = int(np.clip((rows.min() + rows.max()) // 2, half, side - half))
    x = int(np.clip((columns.min() + columns.max()) // 2, half, side - half))
    place = colour[y - half : y + half, x - half : x + half]
    large = cv2.resize(place, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_NEAREST)
    return cv2.copyMakeBorder(large, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _titled(colour: Array, title: str) -> Array:
    white = (255, 255, 255)
    framed = cv2.copyMakeBorder(
        colour, _STRIP_PX, _GAP_PX, _GAP_PX, _GAP_PX, cv2.BORDER_CONSTANT, value=white
    )
    at = (_GAP_PX + 1, _STRIP_PX - 7)
    return cv2.putText(framed, title, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
