"""Recognise the people who are enrolled, never name a stranger.

Faces are found in the whole picture; where none is certain, once more in evened light, for faces
that fill the picture in hard side light. Each is looked at closely, to place its eyes, nose and
mouth and to make certain that it is one. Aligned on these points, in even light, each face and its
mirror image become one embedding. `contract.visits` follows each over the pictures and compares
what it has seen of somebody with the enrolled.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from contract import visits
from contract.ops import decode, image
from contract.ops.decode import BACK, FULL_RANGE, Face
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
# where eyes, nose and mouth lie in the chips that the embedding was trained on: medians of what the
# detector finds in them
PLACES = np.array([(46.88, 47.36), (101.44, 46.30), (73.41, 78.59), (74.26, 105.79)], np.float32)

_CANDIDATE, _CERTAIN = 0.5, 0.7  # score of a face in the whole picture
_SHADED = 0.35  # the same in evened light
_MARGIN = 0.5  # around the picture there, so that a face that fills it is one
_CLOSE_UP = 0.35  # of the longer side; smaller ones are noise made bright
_CONFIRMED, _SHADED_CONFIRMED = 0.7, 0.35  # score of a face looked at closely
_AROUND = 2.0  # boxes
_SAME = 0.3  # overlap of a face with itself looked at closely


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


def evened(window: Window, found: Detections) -> Floats:
    """(1, 256, 256, 3) float32: the picture in even light; none where a face is certain."""
    if any(face.score >= _CERTAIN for face in found):
        return np.zeros((0, BACK.size, BACK.size, 3), np.float32)
    light = image.even_light(window.data)
    return image.letterbox(light, size=BACK.size, margin=_MARGIN)[None]


def close_ups(window: Window, found: Detections, _squares: Floats, rows: Floats) -> Detections:
    """What was found before, and faces that fill the picture."""
    height, width = window.data.shape[:2]
    lies = image.fit(height, width, size=BACK.size, margin=_MARGIN)
    more = [
        _detection("close-up", lies, face)
        for of_square in rows
        for face in decode.faces(of_square, BACK, at_least=_SHADED)
    ]
    least = _CLOSE_UP * max(height, width)
    return (*found, *(one for one in more if one.box and one.box[2] - one.box[0] >= least))


def close(window: Window, found: Detections) -> Floats:
    """(faces, 256, 256, 3) float32: each face with its surroundings, in even light."""
    squares = [
        image.even_light(image.warp(window.data, _around(face), size=BACK.size, edge_goes_on=True))
        for face in found
    ]
    return _rows(squares, BACK.size)


def confirmed(_window: Window, found: Detections, _squares: Floats, rows: Floats) -> Detections:
    """Those that are faces looked at closely, each once, their points placed."""
    surer = sorted(_confirm(found, rows), key=lambda face: -face.score)
    kept: list[Detection] = []
    for face in surer:
        others = np.array([one.box for one in kept]).reshape(-1, 4)
        if not (decode.overlaps(np.array(face.box), others) > _SAME).any():
            kept.append(face)
    return tuple(kept)


def _confirm(found: Detections, rows: Floats) -> Iterator[Detection]:
    for one, of_square in zip(found, rows, strict=True):
        least = _CONFIRMED if one.label == "face" else _SHADED_CONFIRMED
        seen = decode.faces(of_square, BACK, at_least=least)
        if not seen:
            continue
        matrix = _around(one)
        lies = image.Letterbox(float(matrix[0, 0]), float(matrix[0, 2]), float(matrix[1, 2]))
        again = _detection("face", lies, seen[0])
        if decode.overlaps(np.array(one.box), np.array([again.box]))[0] > _SAME:
            yield again


def chips(window: Window, found: Detections) -> Floats:
    """(2 faces, 150, 150, 3) float32: each face aligned, in even light, then mirrored."""
    rows = []
    for face in found:
        assert face.points is not None
        matrix = image.similarity(face.points, PLACES)
        light = image.even_light(image.warp(window.data, matrix, size=CHIP, edge_goes_on=True))
        rows += [light, light[:, ::-1]]
    return _rows(rows, CHIP)


def embedded(_window: Window, found: Detections, _chips: Floats, rows: Floats) -> Detections:
    """Each face with its embedding, (128,) float32, the sum of both sides'; compare by cosine."""
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


def _around(face: Detection) -> Array:
    """(2, 3) from the picture to a square around a face."""
    assert face.box is not None
    left, top, right, bottom = face.box
    scale = BACK.size / (_AROUND * max(right - left, bottom - top, 1.0))
    return np.array(
        [
            [scale, 0.0, BACK.size / 2 - scale * (left + right) / 2],
            [0.0, scale, BACK.size / 2 - scale * (top + bottom) / 2],
        ]
    )


def _rows(squares: list[Floats], size: int) -> Floats:
    return np.stack(squares) if squares else np.zeros((0, size, size, 3), np.float32)


WORKLOAD = Workload(
    name="faces",
    revision=1,
    input=ImageSpec(min_height=16, min_width=16, example_height=480, example_width=640),
    stages=(
        Stage("find", whole, candidates, input_shape=(FULL_RANGE.size, FULL_RANGE.size, 3)),
        Stage("find_again", evened, close_ups, input_shape=(BACK.size, BACK.size, 3)),
        Stage("place", close, confirmed, input_shape=(BACK.size, BACK.size, 3)),
        Stage("embed", chips, embedded, input_shape=(CHIP, CHIP, 3)),
    ),
    judge=judge,
    follow=visits.follow,
    policy=partial(EachVisit, workload="faces", away_s=5.0, return_s=60.0),
    # of int8 embeddings from float ones, the worst face: 1 - cosine
    tolerances={"cosine_to_float": 0.005},
    labels=visits.OUTCOMES,
)
