"""From faces per picture to people who come, are known or not, and go: causal and bounded.

A visit is one person's stay: a track (`contract.tracks`) with its gaps. Within `gap_s` a face
belongs to it by its place or its likeness; later, up to `return_s`, by its likeness alone. What is
thought of it is decided on the mean of its usable faces, not on one picture:

- `recognised`: sure of a name, on a few usable faces. A name belongs to one person in the picture:
  of two the more alike keeps it. Who has a name keeps it down to the clear threshold. Who turns out
  to be somebody else begins another visit.
- `stranger`: enough usable faces, and nobody who is enrolled is alike enough.
- `unresolved`: there for a while without either: no usable face, two names as likely, or a face
  whose liveness is never seen.
- `spoof`: liveness fails on the mean of the last pictures. This vetoes a name, and lasts until the
  face is gone. Once any liveness has been seen, nobody is named without it.
- `face`: too early to tell.

Liveness is a detection `live` with the very box of its face and a score of 0 (a picture of a face)
to 1 (a living one); so a stage that finds faces can be followed by one that tests them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from contract import gallery
from contract.gallery import Match
from contract.spec import Array, Box, Detection, Detections, Floats, Level, Profile
from contract.tracks import FACE, Track, assign, quality
from contract.tracks_state import pack, unpack

LIVE = "live"
RECOGNISED, STRANGER, UNRESOLVED, SPOOF = OUTCOMES = (
    "recognised",
    "stranger",
    "unresolved",
    "spoof",
)
LEVELS: dict[str, Level] = {STRANGER: "alarm", SPOOF: "alarm"}  # the others are notices

_MOST = 64  # people kept in mind
_KEEPS = 0.1  # likeness that another must be ahead by to take a name over


@dataclass(frozen=True)
class Rules:
    """When what may be said.

    Attributes:
        same: least cosine of two who are the same person, whoever that is.
        threshold: least cosine of a name.
        clear_threshold: a name once given is kept down to this cosine.
        least_quality: of a usable face, 0 to 1, as `tracks.quality` measures it.
        named_frames: least usable faces for a name; also least liveness scores.
        named_s: from the first of them to the last, at least.
        stranger_frames: least usable faces for a stranger.
        stranger_s: likewise.
        unresolved_s: how long somebody is there before that is said.
        gap_s: so long a face may be out of sight and still have a place.
        return_s: who comes back within this time is still on the same visit.
        least_live: below this mean a face is a picture of one.
    """

    same: float
    threshold: float
    clear_threshold: float
    least_quality: float = 0.2
    named_frames: int = 3
    named_s: float = 0.2
    stranger_frames: int = 5
    stranger_s: float = 1.0
    unresolved_s: float = 5.0
    gap_s: float = 2.5
    return_s: float = 60.0
    least_live: float = 0.5


@dataclass(frozen=True, eq=False)
class Visitor(Detection):
    """A face in the picture and what is thought of the person.

    `label` is as at the top of this file; `score` of a recognised person, a stranger or an
    unresolved one the mean cosine of the faces to the nearest who is enrolled, -1 without one; of
    a spoof 1 less the liveness; of a face that it is too early to tell of, 0.

    Attributes:
        visit: names the visit: 12 hex digits.
        who: the name, where the label is `recognised`.
        threshold: what the score was judged against.
        quality: of this face, 0 to 1; 0: nothing can be told from it.
        frames: in which the person was seen.
        usable: of these, with a usable face.
    """

    visit: str = ""
    who: str | None = None
    threshold: float = 0.0
    quality: float = 0.0
    frames: int = 0
    usable: int = 0


@dataclass
class _Seen:
    """A face of this picture, and whose it is."""

    face: Detection
    track: Track
    quality: float
    found: Match | None  # of the whole track, where it has usable faces

    @property
    def cosine(self) -> float:
        """Mean over the track's faces, to the nearest who is enrolled; -1: nothing to compare."""
        if self.found is None or self.found.nearest is None:
            return -1.0
        return self.found.cosine * float(np.linalg.norm(self.track.mean))


def follow(profile: Profile) -> Visits:
    """For `Workload.follow`, where `learned` is what `gallery.to_arrays` gave, or empty.

    The operating point says who is the same person, the gallery from which cosine on that is
    believed of a name: as many false accepts as the operator allows. The point's `scales` may have
    `least_quality` and `least_live`.
    """
    point = profile.operating_point
    threshold = float(profile.learned.get("threshold", point.threshold))
    rules = Rules(
        point.threshold,
        threshold,
        threshold - (point.threshold - point.clear_threshold),
        least_quality=point.scales.get("least_quality", Rules.least_quality),
        least_live=point.scales.get("least_live", Rules.least_live),
    )
    return Visits(partial(gallery.match, profile.learned), rules)


class Visits:
    """Follows everybody in front of one camera; see the top of this file."""

    def __init__(self, match: Callable[[Floats], Match], rules: Rules) -> None:
        """Nobody is there.

        Args:
            match: who of the enrolled an embedding, (d,) float32 of any length, is.
            rules: when what may be said.
        """
        self._match = match
        self._rules = rules
        self._tracks: list[Track] = []
        self._now_s, self._last_ns = 0.0, -1  # its own clock never goes back
        self._tests_liveness = False

    def update(self, found: Detections, t_ns: int) -> Detections:
        """A `Visitor` for each face, in their order; of a crowd beyond 64, for the best seen.

        Args:
            found: faces with box, points and vector, and their liveness. A `face` has the score
                of the detector; one that was judged by itself alone is judged here anew.
            t_ns: the window's own time; where it goes back, no time has passed.
        """
        self._pass_time(t_ns)
        live = {one.box: one.score for one in found if one.label == LIVE}
        self._tests_liveness |= bool(live)
        faces = [one for one in found if one.label != LIVE and _has_place(one)]
        seen = self._see(faces, live, t_ns)
        self._join(seen)
        names = self._names(seen)
        for one in seen:
            self._decide(one, names)
        return tuple(self._visitor(one) for one in seen)

    def _pass_time(self, t_ns: int) -> None:
        if 0 <= self._last_ns < t_ns:
            self._now_s += (t_ns - self._last_ns) / 1e9
        self._last_ns = t_ns
        self._tracks = [track for track in self._tracks if self._is_kept(track)]

    def _is_kept(self, track: Track) -> bool:
        """Those of whom nothing is known are found again by their place alone."""
        most_s = self._rules.return_s if track.usable else self._rules.gap_s
        return self._now_s - track.last_s <= most_s

    def _see(
        self, faces: list[Detection], live: Mapping[Box | None, float], t_ns: int
    ) -> list[_Seen]:
        """Give each face to a track, old or new."""
        marks = [quality(face) for face in faces]
        if len(faces) > _MOST:
            best = sorted(np.argsort([-mark for mark in marks], kind="stable")[:_MOST].tolist())
            faces, marks = [faces[i] for i in best], [marks[i] for i in best]
        units = [
            _unit(face) if mark >= self._rules.least_quality else None
            for face, mark in zip(faces, marks, strict=True)
        ]
        boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
        gap_s, same = self._rules.gap_s, self._rules.same
        given = assign(self._tracks, boxes, units, self._now_s, same=same, gap_s=gap_s)
        tracks = [
            self._new(face, t_ns, number) if index is None else self._tracks[index]
            for number, (face, index) in enumerate(zip(faces, given, strict=True))
        ]
        seen = []
        for face, track, box, unit, mark in zip(faces, tracks, boxes, units, marks, strict=True):
            if track.frames and self._now_s - track.last_s > gap_s:  # who comes back is told anew
                track.label, track.live, track.live_frames = FACE, 0.0, 0
            track.see(box, self._now_s, gap_s=gap_s)
            if unit is not None:
                track.add(unit, mark)
            if face.box in live:
                track.note_liveness(live[face.box])
            match = self._match(track.mean.astype(np.float32)) if track.usable else None
            seen.append(_Seen(face, track, mark, match))
        self._keep([track for track in tracks if track not in self._tracks])
        return seen

    def _new(self, face: Detection, t_ns: int, number: int) -> Track:
        """Numbered by what was seen and when, so that a restart gives no number twice."""
        vector = () if face.vector is None else face.vector
        about = np.array([number, *(face.box or ()), *vector], np.float64).tobytes()
        when = t_ns.to_bytes(16, signed=True)
        visit = int.from_bytes(hashlib.blake2b(when + about, digest_size=6).digest())
        nowhere, still, nothing = np.zeros(4), np.zeros(2), np.zeros(0)
        now_s = self._now_s
        return Track(visit, nowhere, still, nothing, appeared_s=now_s, last_s=now_s, label=FACE)

    def _keep(self, new: list[Track]) -> None:
        """Those seen last, and of these whom something is known of."""
        tracks = [*self._tracks, *new]
        if len(tracks) > _MOST:
            tracks.sort(key=lambda track: (track.last_s, track.label != FACE), reverse=True)
        self._tracks = tracks[:_MOST]

    def _join(self, seen: list[_Seen]) -> None:
        """Somebody new, of whom nothing was said, may be one who was here before."""
        here = [one.track for one in seen]
        for one in seen:
            new = one.track
            if new.label != FACE or new.usable < self._rules.named_frames or new.who is not None:
                continue
            gone = [t for t in self._tracks if t.usable and t not in here]
            cosines = [float(track.mean @ new.mean) for track in gone]
            if not cosines or max(cosines) < self._rules.same:
                continue
            old = gone[int(np.argmax(cosines))]
            if self._now_s - old.last_s > self._rules.gap_s:
                old.label = FACE
            old.join(new)
            one.track = old
            one.found = self._match(old.mean.astype(np.float32))
            here = [each.track for each in seen]
            self._tracks = [track for track in self._tracks if track is not new]

    def _names(self, seen: list[_Seen]) -> dict[str, Track]:
        """Who gets which name: of several the most alike, unless another has it and is near."""
        best: dict[str, tuple[float, Track]] = {}
        keeps = _KEEPS * (1.0 - self._rules.same)
        for one in seen:
            name = self._claim(one)
            if name is None:
                continue
            has_it = one.track.label == RECOGNISED and one.track.who == name
            claim = one.cosine + (keeps if has_it else 0.0)
            if name not in best or claim > best[name][0]:
                best[name] = (claim, one.track)
        return {name: track for name, (_, track) in best.items()}

    def _claim(self, one: _Seen) -> str | None:
        """The name this person has earned, whoever else has."""
        track, match, rules = one.track, one.found, self._rules
        if match is None or self._is_spoof(track):
            return None
        name = match.name if one.cosine >= rules.threshold else None
        if track.label == RECOGNISED and name is None and match.nearest == track.who:
            return track.who if one.cosine >= rules.clear_threshold else None
        is_tested = track.label == RECOGNISED or track.live_frames >= rules.named_frames
        if self._tests_liveness and not is_tested:
            return None
        is_enough = (
            track.usable >= rules.named_frames and track.present_s - track.clear_s >= rules.named_s
        )
        return name if is_enough else None

    def _is_spoof(self, track: Track) -> bool:
        """Once a spoof, one until it is gone."""
        if track.label == SPOOF:
            return True
        if track.live_frames < self._rules.named_frames:
            return False
        return track.live / track.live_frames < self._rules.least_live

    def _decide(self, one: _Seen, names: Mapping[str, Track]) -> None:
        track = one.track
        name = next((name for name, whose in names.items() if whose is track), None)
        if self._is_spoof(track):
            track.label = SPOOF
        elif name is not None:
            if track.who not in (None, name):
                track.visit = _next_visit(track.visit, name)
            track.label, track.who = RECOGNISED, name
        elif self._is_strange(one):
            track.label = STRANGER
        elif track.label == RECOGNISED or self._is_unresolved(track):  # or another has the name now
            track.label = UNRESOLVED
        track.score = one.cosine
        if track.label == SPOOF and track.live_frames:
            track.score = 1.0 - track.live / track.live_frames

    def _is_strange(self, one: _Seen) -> bool:
        """Nobody is alike enough, on enough faces."""
        track, match, rules = one.track, one.found, self._rules
        return (
            match is not None
            and one.cosine < rules.threshold
            and track.usable >= rules.stranger_frames
            and track.present_s - track.clear_s >= rules.stranger_s
        )

    def _is_unresolved(self, track: Track) -> bool:
        rules = self._rules
        is_long = track.last_s - track.appeared_s >= rules.unresolved_s
        return track.label == FACE and is_long and track.frames >= rules.named_frames

    def _visitor(self, one: _Seen) -> Visitor:
        face, track = one.face, one.track
        is_spoof = track.label == SPOOF
        return Visitor(
            track.label,
            0.0 if track.label == FACE else track.score,
            face.vector,
            face.box,
            face.points,
            LEVELS.get(track.label, "notice"),
            visit=f"{track.visit:012x}",
            who=track.who if track.label == RECOGNISED else None,
            threshold=1.0 - self._rules.least_live if is_spoof else self._rules.threshold,
            quality=one.quality,
            frames=track.frames,
            usable=track.usable,
        )

    def state(self) -> dict[str, Array]:
        """Everybody kept in mind. Embeddings of faces are in it, for `return_s` at most."""
        return {
            "clock_s": np.array([self._now_s]),
            "clock_ns": np.array([self._last_ns]),
            "tests_liveness": np.array([self._tests_liveness]),
            **pack(self._tracks),
        }

    def resume(self, state: Mapping[str, Array]) -> None:
        """Go on with them; nothing but time has passed."""
        tracks = unpack(state)
        (now_s,), (last_ns,) = state["clock_s"].tolist(), state["clock_ns"].tolist()
        (tests_liveness,) = state["tests_liveness"].tolist()
        if unknown := {track.label for track in tracks} - {FACE, *OUTCOMES}:
            raise ValueError(f"labels {sorted(unknown)}, known: {FACE}, {', '.join(OUTCOMES)}")
        self._tracks, self._now_s, self._last_ns = tracks, float(now_s), int(last_ns)
        self._tests_liveness = bool(tests_liveness)


def _has_place(face: Detection) -> bool:
    return face.box is not None and bool(np.isfinite(face.box).all())


def _unit(face: Detection) -> Array | None:
    """(d,) float64 of length 1; None where there is nothing to compare."""
    if face.vector is None:
        return None
    vector = face.vector.astype(np.float64)
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else None


def _next_visit(visit: int, name: str) -> int:
    digest = hashlib.blake2b(visit.to_bytes(6) + name.encode(), digest_size=6).digest()
    return int.from_bytes(digest)
