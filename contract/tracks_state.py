"""Tracks as arrays of numbers, for a file that outlives a restart, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from contract.spec import Array
from contract.tracks import Track

_FLOATS = ("weight", "appeared_s", "last_s", "present_s", "clear_s", "live", "score")
_COUNTS = ("frames", "usable", "live_frames")


def pack(tracks: Sequence[Track]) -> dict[str, Array]:
    """All there is to know of them.

    Returns:
        `visits` (n,) int64, `boxes` (n, 4), `speeds` (n, 2), `totals` (n, d), `floats` (n, 7) and
        `counts` (n, 3); `labels` and `names`, UTF-8 as uint8 with a zero between, for text is no
        number.
    """
    length = max((len(track.total) for track in tracks), default=0)
    totals = [track.total if track.usable else np.zeros(length) for track in tracks]
    return {
        "visits": np.array([track.visit for track in tracks], np.int64),
        "boxes": np.array([track.box for track in tracks], np.float64).reshape(-1, 4),
        "speeds": np.array([track.speed for track in tracks], np.float64).reshape(-1, 2),
        "totals": np.array(totals, np.float64).reshape(len(tracks), length),
        "floats": np.array([[getattr(t, n) for n in _FLOATS] for t in tracks], np.float64),
        "counts": np.array([[getattr(t, n) for n in _COUNTS] for t in tracks], np.int64),
        "labels": _text(track.label for track in tracks),
        "names": _text(track.who or "" for track in tracks),
    }


def unpack(arrays: Mapping[str, Array]) -> list[Track]:
    """The tracks again.

    Raises:
        KeyError: an array is missing.
        ValueError: an array has another shape.
    """
    n = len(arrays["visits"])
    rows = zip(
        arrays["visits"].tolist(),
        arrays["boxes"].reshape(n, 4),
        arrays["speeds"].reshape(n, 2),
        arrays["totals"].reshape(n, arrays["totals"].size // max(n, 1)),
        arrays["floats"].reshape(n, len(_FLOATS)).tolist(),
        arrays["counts"].reshape(n, len(_COUNTS)).tolist(),
        _words(arrays["labels"], n),
        _words(arrays["names"], n),
        strict=True,
    )
    tracks = []
    for visit, box, speed, total, floats, counts, label, who in rows:
        track = Track(visit, box, speed, total, label=label, who=who or None)
        for name, value in (*zip(_FLOATS, floats, strict=True), *zip(_COUNTS, counts, strict=True)):
            setattr(track, name, value)
        if not track.usable:
            track.total = np.zeros(0)
        tracks.append(track)
    return tracks


def _text(words: Iterable[str]) -> Array:
    return np.frombuffer("\0".join(words).encode(), np.uint8)


def _words(text: Array, n: int) -> list[str]:
    return text.astype(np.uint8).tobytes().decode().split("\0") if n else []
