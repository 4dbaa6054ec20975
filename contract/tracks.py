"""Who is who from one picture to the next: faces given to tracks by place and by likeness.

A track is one person as far as the pictures tell. Its place is where its face should be by now; the
longer it was not seen, the larger the place. Its likeness is a mean of its faces' embeddings, each
counted by how well it was seen. Boxes are left, top, right, bottom in pixels; a face is as large as
the root of its box's area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contract.spec import Array, Detection

FACE = "face"  # label of one that nobody has judged yet
LARGE_PX = 80.0  # of a face: the embedding gets nothing from more
_NOSE = 0.56  # from the eyes down to the mouth, of a face seen from the front
_TURNED = 0.5  # distances between the eyes: a nose so far off their middle is a profile's
_NODDED = 0.45  # shares of that way: a nose so far off its height
# Degrees that the eyes lean. Of 1,120 faces of six public sets none leans by more than 19. Turned
# by 40 the worst of 35 embeddings has a cosine of 0.995 to the upright one, by 60 of 0.971, by 75
# of 0.871, and there the points of some stay behind by half.
_LEANS, _LIES = 30.0, 50.0
_FASTEST = 1.5  # sizes of a face per second, beyond the speed it has
_OVERLAP = 0.2
_APART = -1.0  # likeness: another person, wherever the face is
_LIKENESS = 2.0  # times overlap: places are shared for a moment, faces are not
_HEAVIEST = 30.0  # sum of weights: a person who stays for hours may still change
_MOST_LIVE = 15  # liveness scores that count
_SMOOTH = 0.5  # of the speed, from one picture to the next


@dataclass(eq=False)
class Track:
    """One person; see the top of this file.

    Attributes:
        visit: a number that no other visit has.
        box: (4,) of the face when last seen.
        speed: (2,) of its centre, pixels per second.
        total: (d,) sum of unit embeddings by quality; (0,) while there is none.
        weight: sum of these qualities.
        appeared_s: when it was first seen after a gap.
        last_s: when it was last seen.
        present_s: how long it has been seen; of a gap, `gap_s` counts at most.
        clear_s: `present_s` when its first usable face was seen.
        frames: in which it was seen.
        usable: of these, with a face good enough to compare.
        live: sum of liveness scores since it last appeared.
        live_frames: that it is the sum of.
        label: what is thought of it.
        score: of `label`, as `contract.visits` says.
        who: the name it was given, if it ever was.
    """

    visit: int
    box: Array
    speed: Array
    total: Array
    weight: float = 0.0
    appeared_s: float = 0.0
    last_s: float = 0.0
    present_s: float = 0.0
    clear_s: float = 0.0
    frames: int = 0
    usable: int = 0
    live: float = 0.0
    live_frames: int = 0
    label: str = ""
    score: float = 0.0
    who: str | None = None

    def see(self, box: Array, now_s: float, *, gap_s: float) -> None:
        """It is at `box` now; after a gap longer than `gap_s` its speed is not known."""
        passed_s = now_s - self.last_s
        if self.frames and 0 < passed_s <= gap_s:
            speed = (_centre(box) - _centre(self.box)) / passed_s
            self.speed = speed if self.frames == 1 else self.speed + _SMOOTH * (speed - self.speed)
        elif passed_s > gap_s:
            self.speed, self.appeared_s = np.zeros(2), now_s
        self.present_s += min(passed_s, gap_s) if self.frames else 0.0
        self.box, self.last_s = box, now_s
        self.frames += 1

    def add(self, unit: Array, quality: float) -> None:
        """One more usable face: (d,) embedding of length 1."""
        if not self.usable:
            self.total, self.clear_s = np.zeros(len(unit)), self.present_s
        self.total = self.total + quality * unit
        self.weight += quality
        self.usable += 1
        if self.weight > _HEAVIEST:
            self.total = self.total * (_HEAVIEST / self.weight)
            self.weight = _HEAVIEST

    def note_liveness(self, score: float) -> None:
        """One more liveness score; of many the oldest fade."""
        if self.live_frames == _MOST_LIVE:
            self.live *= (_MOST_LIVE - 1) / _MOST_LIVE
            self.live_frames -= 1
        self.live += score
        self.live_frames += 1

    def join(self, other: Track) -> None:
        """`other`, seen now, is the same person: this goes on where it is."""
        if other.usable:
            clear_s = self.present_s + other.clear_s if not self.usable else self.clear_s
            total = self.total if self.usable else np.zeros(len(other.total))
            self.total, self.clear_s = total + other.total, clear_s
        self.weight += other.weight
        self.box, self.speed = other.box, other.speed
        self.appeared_s, self.last_s = other.appeared_s, other.last_s
        self.present_s += other.present_s
        self.frames += other.frames
        self.usable += other.usable
        self.live, self.live_frames = other.live, other.live_frames

    @property
    def mean(self) -> Array:
        """(d,) float64 mean of its unit embeddings, shorter than 1 as far as these differ.

        Its product with another embedding is the mean of the single faces' cosines, which is what
        thresholds measured on single faces are for. The cosine to the mean itself is higher, of
        the same person and of others alike.
        """
        mean: Array = self.total / max(self.weight, 1e-12)
        return mean


def quality(face: Detection) -> float:
    """How far the embedding of a face can be believed, 0 to 1: its size, certainty and pose.

    Args:
        face: `score` of the detector, 0 to 1, where the label is `face`; of one that was named
            already, whose score is another, certainty counts as full; `box`; `points` (4, 2): left
            eye, right eye, nose, mouth, left in the picture; without points it has no pose and
            quality 0.
    """
    if face.box is None or face.points is None or face.vector is None:
        return 0.0
    if not (np.isfinite(face.points).all() and np.isfinite(face.vector).all()):
        return 0.0
    left, top, right, bottom = face.box
    size = min(float(np.sqrt(max(right - left, 0.0) * max(bottom - top, 0.0))) / LARGE_PX, 1.0)
    certainty = min(max(face.score, 0.0), 1.0) if face.label == FACE else 1.0
    return size * certainty * frontality(face.points) * uprightness(face.points)


def uprightness(points: Array) -> float:
    """1 of a face that stands in the picture, or leans as a head can; 0 of one that lies.

    Only of a face whose points are where its eyes are: one on its head is mostly found as if it
    stood, and no points tell.

    Args:
        points: (4, 2) as in `quality`.
    """
    x, y = (points[1] - points[0]).astype(np.float64)
    leans = abs(float(np.degrees(np.arctan2(y, x))))
    return min(max((_LIES - leans) / (_LIES - _LEANS), 0.0), 1.0)


def frontality(points: Array) -> float:
    """1 of a face seen from the front, 0 of a profile, of one nodding deeply, of one upside down.

    Turned a little within the picture it stays the same.

    Args:
        points: (4, 2) as in `quality`.
    """
    left, right, nose, mouth = points.astype(np.float64)
    across = right - left
    between = float(np.linalg.norm(across))
    if between < 1e-6:
        return 0.0
    across = across / between
    down = np.array([-across[1], across[0]])
    middle = (left + right) / 2
    to_mouth = float((mouth - middle) @ down)
    if to_mouth <= 0.0:
        return 0.0
    turned = abs(float((nose - middle) @ across)) / between / _TURNED
    nodded = abs(float((nose - middle) @ down) / to_mouth - _NOSE) / _NODDED
    return max(1.0 - turned, 0.0) * max(1.0 - nodded, 0.0)


def likeness(cosine: Array, same: float) -> Array:
    """Cosines so that 1 is the same picture and 0 the least that counts as the same person."""
    scaled: Array = (cosine - same) / max(1.0 - same, 1e-6)
    return scaled


def assign(
    tracks: Sequence[Track],
    boxes: Array,
    units: Sequence[Array | None],
    now_s: float,
    *,
    same: float,
    gap_s: float,
) -> list[int | None]:
    """Which track each face belongs to, the surest pair first; None: to none of them.

    A face whose place fits is taken unless it is another person's; one that looks the same is
    taken wherever it is.

    Args:
        tracks: known so far.
        boxes: (n, 4) of the faces.
        units: of each face the (d,) embedding of length 1; None where it is not usable.
        now_s: when they were seen.
        same: least cosine of the same person.
        gap_s: a track not seen for longer has no place any more.

    Returns:
        An index into `tracks` for each face, each at most once.
    """
    given: list[int | None] = [None] * len(boxes)
    if not tracks or not len(boxes):
        return given
    overlap = _overlaps(tracks, boxes, now_s, gap_s=gap_s)
    alike = likeness(_cosines(tracks, units), same)  # NaN: cannot be compared
    is_known = np.isfinite(alike)
    is_placed = (overlap >= _OVERLAP) & ~(alike < _APART)
    is_alike = is_known & (alike >= 0.0)
    total = overlap + np.where(is_known, _LIKENESS * np.clip(alike, -1.0, 1.0), 0.0)
    total[~(is_placed | is_alike)] = -np.inf
    for flat in np.argsort(-total, axis=None, kind="stable"):
        row, column = divmod(int(flat), len(boxes))
        if total[row, column] == -np.inf:
            break
        if given[column] is None and row not in given:
            given[column] = row
    return given


def _centre(box: Array) -> Array:
    middle: Array = (box[:2] + box[2:]) / 2
    return middle


def _overlaps(tracks: Sequence[Track], boxes: Array, now_s: float, *, gap_s: float) -> Array:
    """(tracks, boxes) intersection over union, both grown by how far a face may have moved."""
    passed_s = np.array([now_s - track.last_s for track in tracks])
    moved = np.stack([track.speed for track in tracks]) * passed_s[:, None]
    places = np.stack([track.box for track in tracks]) + np.tile(moved, 2)
    grow = _FASTEST * np.minimum(passed_s, gap_s)
    mine = _grown(places, grow[:, None])
    theirs = _grown(np.tile(boxes, (len(tracks), 1, 1)), grow[:, None, None])
    low = np.maximum(mine[:, None, :2], theirs[:, :, :2])
    high = np.minimum(mine[:, None, 2:], theirs[:, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    overlap: Array = shared / np.maximum(_area(mine)[:, None] + _area(theirs) - shared, 1e-9)
    overlap[passed_s > gap_s] = 0.0
    return overlap


def _grown(boxes: Array, times: Array) -> Array:
    """Boxes that begin that many sizes earlier and end as many later, on all sides."""
    by = times * np.sqrt(_area(boxes))[..., None]
    grown: Array = boxes + by * np.array([-1.0, -1.0, 1.0, 1.0])
    return grown


def _area(boxes: Array) -> Array:
    area: Array = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
    return area


def _cosines(tracks: Sequence[Track], units: Sequence[Array | None]) -> Array:
    """(tracks, faces); NaN where one of them has no usable face."""
    found = np.full((len(tracks), len(units)), np.nan)
    rows = [i for i, track in enumerate(tracks) if track.usable]
    columns = [i for i, unit in enumerate(units) if unit is not None]
    if rows and columns:
        theirs = np.stack([unit for unit in units if unit is not None])
        found[np.ix_(rows, columns)] = np.stack([tracks[i].mean for i in rows]) @ theirs.T
    return found
