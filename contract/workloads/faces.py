"""Recognise the people who are enrolled, never name a stranger.

Faces are found in the whole picture; where one is small, in four parts of it too, for a crowd;
where none is certain, once more in evened light, for faces that fill the picture in hard side
light. Each is looked at closely, upright and in even light, to make certain that it is one and to
place its eyes, nose and mouth. Aligned on these points, in even light, each face and its mirror
image become one embedding. `contract.visits` follows each over the pictures and compares what it
has seen of somebody with the enrolled.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from contract import visits
from contract.ops import decode, image
from contract.ops.decode import BACK, FULL_RANGE, MESH, Face
from contract.spec import (
    Array,
    Detection,
    Detections,
    Floats,
    ImageSpec,
    Profile,
    Stage,
    Window,
    Workload,
)
from contract.visits_policy import EachVisit

CHIP = 150
# where eyes, nose and mouth lie in the chips that the embedding was trained on: medians of where
# they are placed in them
PLACES = np.array([(46.93, 47.69), (100.42, 46.77), (74.61, 79.88), (74.94, 102.00)], np.float32)

_PICTURE = "picture"  # a face that the picture may be
_CANDIDATE, _CERTAIN = 0.5, 0.7  # score of a face in the whole picture
_SMALL = 24.0  # pixels of the detector's square; it loses faces below 20
_TILE = 0.6  # of each side
_REDUCED = 4  # squares: more pixels than so many along a side say nothing of a close-up's light
_SHADED = 0.1  # the same in evened light
_MARGIN = 0.5  # around the picture there, so that a face that fills it is one
_CLOSE_UP = 0.35  # of the longer side; smaller ones are noise made bright
_FILLS = 1.2  # shorter sides: box of a face that the picture is, if it is one
_CONFIRMED, _FILLS_CONFIRMED = 0.2, 0.5  # score of a face looked at closely
_AROUND = 1.5  # boxes, as the mesh was trained
_LIKE_FOUND = 0.2  # overlap of a face with itself looked at closely
_SAME = 0.3  # of a face with itself found twice
_WITHIN = 0.45  # of the smaller of two that are one face at two scales


def whole(window: Window, _found: Detections) -> Floats:
    """(1, 192, 192, 3) float32 pixels: the picture in a square."""
    return image.letterbox(window.data, size=FULL_RANGE.size)[None]


def candidates(window: Window, _found: Detections, _squares: Floats, rows: Floats) -> Detections:
    """Faces in the whole picture."""
    lies = image.fit(*window.data.shape[:2], size=FULL_RANGE.size)
    return tuple(
        _detection("face", lies, face)
        for face in decode.faces(rows[0], FULL_RANGE, at_least=_CANDIDATE)
    )


def tiles(window: Window, found: Detections) -> Floats:
    """(4, 192, 192, 3) float32: parts of the picture that overlap; none where no face is small."""
    least = _SMALL / FULL_RANGE.size * max(window.data.shape[:2])
    if not any(one.box and one.box[2] - one.box[0] < least for one in found):
        return _rows([], FULL_RANGE.size)
    parts = [window.data[rows, columns] for rows, columns in _quarters(window)]
    return _rows([image.letterbox(part, size=FULL_RANGE.size) for part in parts], FULL_RANGE.size)


def in_tiles(window: Window, found: Detections, _squares: Floats, rows: Floats) -> Detections:
    """What was found before, and smaller faces: where there is one there is often a crowd."""
    known = list(found)
    for (down, across), of_tile in zip(_quarters(window), rows, strict=False):
        lies = image.fit(down.stop - down.start, across.stop - across.start, size=FULL_RANGE.size)
        corner = (lies.left - lies.scale * across.start, lies.top - lies.scale * down.start)
        lies = image.Letterbox(lies.scale, *corner)
        for face in decode.faces(of_tile, FULL_RANGE, at_least=_CANDIDATE):
            one = _detection("face", lies, face)
            others = np.array([other.box for other in known]).reshape(-1, 4)
            if not (decode.overlaps(np.array(one.box), others) > _SAME).any():
                known.append(one)
    return tuple(known)


def evened(window: Window, found: Detections) -> Floats:
    """(1, 256, 256, 3) float32: the picture in even light; none where a face is certain."""
    if any(face.score >= _CERTAIN for face in found):
        return _rows([], BACK.size)
    light = image.even_light(image.reduced(window.data, longest=_REDUCED * BACK.size))
    return image.letterbox(light, size=BACK.size, margin=_MARGIN)[None]


def close_ups(window: Window, found: Detections, _squares: Floats, rows: Floats) -> Detections:
    """What was found before, faces that fill the picture, and the picture itself as one."""
    if not len(rows):
        return found
    height, width = window.data.shape[:2]
    lies = image.fit(height, width, size=BACK.size, margin=_MARGIN)
    more = [
        _detection("close-up", lies, face) for face in decode.faces(rows[0], BACK, at_least=_SHADED)
    ]
    least = _CLOSE_UP * max(height, width)
    large = [one for one in more if one.box and one.box[2] - one.box[0] >= least]
    return (*found, *large, _filling(height, width))


def close(window: Window, found: Detections) -> Floats:
    """(faces, 192, 192, 3) float32: each face upright with its surroundings, in even light."""
    squares = [
        image.even_light(image.warp(window.data, _around(face), size=MESH.size, edge_goes_on=True))
        for face in found
    ]
    return _rows(squares, MESH.size)


def confirmed(_window: Window, found: Detections, _squares: Floats, rows: Floats) -> Detections:
    """Those that are faces looked at closely, each once, their points placed."""
    kept: list[Detection] = []
    for _, face in sorted(_confirm(found, rows), key=lambda one: -one[0]):
        others = np.array([one.box for one in kept]).reshape(-1, 4)
        if not (decode.shared(np.array(face.box), others) > _WITHIN).any():
            kept.append(face)
    return tuple(kept)


def _confirm(found: Detections, rows: Floats) -> Iterator[tuple[float, Detection]]:
    """How sure both looks together are, and the face."""
    for one, row in zip(found, rows, strict=True):
        score, points = decode.placed(row[0])
        if score < (_FILLS_CONFIRMED if one.label == _PICTURE else _CONFIRMED):
            continue
        points = image.back(_around(one), points)
        (left, top), (right, bottom) = points[:4].min(axis=0), points[:4].max(axis=0)
        box = (float(left), float(top), float(right), float(bottom))
        if decode.overlaps(np.array(one.box), np.array([box]))[0] > _LIKE_FOUND:
            yield one.score * score, Detection("face", score, box=box, points=points[4:])


def chips(window: Window, found: Detections) -> Floats:
    """(2 faces, 150, 150, 3) float32: each face aligned, in even light, then mirrored."""
    rows = []
    for face in found:
        assert face.points is not None
        matrix = image.similarity(face.points, PLACES)
        light = image.even_light(image.warp(window.data, matrix, size=CHIP, edge_goes_on=True))
        rows += [light, image.mirrored(light)]
    return _rows(rows, CHIP)


def embedded(_window: Window, found: Detections, _chips: Floats, rows: Floats) -> Detections:
    """Each face with its embedding, (d,) float32, the sum of both sides'; compare by cosine."""
    return tuple(
        Detection("face", face.score, vector=one + other, box=face.box, points=face.points)
        for face, one, other in zip(found, rows[::2], rows[1::2], strict=True)
    )


def judge(found: Detections, _profile: Profile) -> Detections:
    """As they are: who somebody is, all pictures of a visit decide together (`contract.visits`)."""
    return found


def _detection(label: str, lies: image.Letterbox, face: Face) -> Detection:
    """A face of the square, in pixels of the picture."""
    left, top, right, bottom = lies.back(face.box.reshape(2, 2)).ravel().tolist()
    return Detection(
        label, face.score, box=(left, top, right, bottom), points=lies.back(face.points)
    )


def _quarters(window: Window) -> list[tuple[slice, slice]]:
    """Rows and columns of four parts that overlap."""
    height, width = window.data.shape[:2]
    down, across = round(_TILE * height), round(_TILE * width)
    return [
        (slice(top, top + down), slice(left, left + across))
        for top in (0, height - down)
        for left in (0, width - across)
    ]


def _filling(height: int, width: int) -> Detection:
    """The middle of the picture as a face: no detector knows one that is larger than it."""
    x, y, half = width / 2, height / 2, _FILLS * min(height, width) / 2
    eyes = np.array([(x - half / 2, y), (x + half / 2, y)], np.float32)
    return Detection(_PICTURE, _SHADED, box=(x - half, y - half, x + half, y + half), points=eyes)


def _around(face: Detection) -> Array:
    """(2, 3) from the picture to a square around a face, its eyes level."""
    assert face.box is not None
    assert face.points is not None
    left, top, right, bottom = face.box
    x, y = face.points[1] - face.points[0]
    apart = max(float(np.hypot(x, y)), 1e-3)
    scale = MESH.size / (_AROUND * max(right - left, bottom - top, 1.0))
    turn = scale / apart * np.array([[x, y], [-y, x]], np.float64)
    centre = np.array([left + right, top + bottom]) / 2
    return np.column_stack([turn, MESH.size / 2 - turn @ centre])


def _rows(squares: list[Floats], size: int) -> Floats:
    return np.stack(squares) if squares else np.zeros((0, size, size, 3), np.float32)


WORKLOAD = Workload(
    name="faces",
    revision=2,
    input=ImageSpec(min_height=16, min_width=16, example_height=480, example_width=640),
    stages=(
        Stage("find", whole, candidates, input_shape=(FULL_RANGE.size, FULL_RANGE.size, 3)),
        Stage("find_small", tiles, in_tiles, input_shape=(FULL_RANGE.size, FULL_RANGE.size, 3)),
        Stage("find_again", evened, close_ups, input_shape=(BACK.size, BACK.size, 3)),
        Stage("place", close, confirmed, input_shape=(MESH.size, MESH.size, 3)),
        Stage("embed", chips, embedded, input_shape=(CHIP, CHIP, 3)),
    ),
    judge=judge,
    follow=visits.follow,
    policy=partial(EachVisit, workload="faces", away_s=5.0, return_s=60.0),
    # of int8 embeddings from float ones, the worst face: 1 - cosine
    tolerances={"cosine_to_float": 0.005},
    labels=visits.OUTCOMES,
)
