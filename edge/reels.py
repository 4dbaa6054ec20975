"""Pictures with their times, to be shown again: the frames of a video, the files of a folder."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from contract.spec import Array
from edge import picture
from edge.errors import SourceError

log = logging.getLogger(__name__)

_ENDINGS = "mp4, avi, mkv"  # some of many: FFmpeg says what it can read
_HOLE = 3  # times the longest pause between the frames before: some are missing there
_EARLY_NS = 1_000_000_000  # a video that ends so long before its header says is damaged
_USUAL_HZ = 25.0  # where a video gives neither times nor a rate
_TRIES = 250  # after a failure: behind a damaged frame there may be good ones
_FEW = 5  # frames, before anything is known of their pauses


@dataclass(frozen=True, eq=False)
class Frame:
    """One of them.

    Attributes:
        t_ns: its time in the recording.
        take: reads it, (height, width, 3) uint8 RGB; None: it is damaged.
    """

    t_ns: int
    take: Callable[[], Array | None]


class Reel(Protocol):
    """What can be shown, from the beginning to the end.

    Attributes:
        about: size and length, for people.
        rate_hz: frames per second; 0: not known.
    """

    about: str
    rate_hz: float

    def frames(self) -> Iterator[Frame]:
        """All frames, in order."""


def open_reel(path: Path, *, hop_s: float) -> Reel:
    """The video or the pictures at `path`; the first that can be read has been.

    Args:
        path: a folder, a picture, or a video.
        hop_s: from one picture of a folder to the next.

    Raises:
        SourceError: there is none, or nothing in it can be read.
    """
    try:
        files = _pictures_in(path) if path.is_dir() else None
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    if files is not None:
        return _Folder(path, files, hop_s=hop_s)
    if not path.is_file():  # a pipe or a device could keep us waiting for ever
        raise SourceError(
            f"{path}: not a file; fix: a video or a folder; of a camera: its own type"
        )
    if size == 0:
        raise SourceError(f"{path}: is empty")
    if path.suffix.lower() in picture.FORMATS:
        return _Folder(path, [path], hop_s=hop_s)
    return _Video(path, hop_s=hop_s)


class _Folder:
    """Each picture once, every `hop_s`, in the size of the first: a camera has but one."""

    def __init__(self, path: Path, files: list[Path], *, hop_s: float) -> None:
        if not files:
            known = ", ".join(sorted(picture.FORMATS))
            raise SourceError(f"{path}: no picture in it; fix: files ending in {known}")
        first = next((one for one in map(_read, files) if one is not None), None)
        if first is None:
            raise SourceError(f"{path}: none of {len(files)} pictures can be read")
        self._files, self._hop_s = files, hop_s
        self._height, self._width = first.shape[:2]
        count = "1 picture" if len(files) == 1 else f"{len(files)} pictures"
        self.about = f"{count}, {self._height} x {self._width} x 3, one every {hop_s:g} s"
        self.rate_hz = 1.0 / hop_s

    def frames(self) -> Iterator[Frame]:
        for number, file in enumerate(self._files):
            t_ns = round(number * self._hop_s * 1e9)
            yield Frame(t_ns, lambda file=file: self._fitted(file))  # type: ignore[misc]

    def _fitted(self, file: Path) -> Array | None:
        """In the middle, as large as fits; beside it its edge goes on."""
        import cv2

        rgb = _read(file)
        if rgb is None:
            log.warning("%s: cannot be read as a picture", file)
            return None
        height, width = rgb.shape[:2]
        if (height, width) == (self._height, self._width):
            return rgb
        scale = min(self._height / height, self._width / width)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        small = cv2.resize(
            rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        across, down = self._width - size[0], self._height - size[1]
        sides = (down // 2, down - down // 2, across // 2, across - across // 2)
        fitted: Array = cv2.copyMakeBorder(small, *sides, cv2.BORDER_REPLICATE)
        return fitted


class _Video:
    """As FFmpeg reads it; a hole where it leaves out damaged frames is one damaged frame."""

    def __init__(self, path: Path, *, hop_s: float) -> None:
        import cv2

        self._path, self._hop_ns = path, round(hop_s * 1e9)
        video = self._open()
        try:
            rate_hz, count = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
            pixels = video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT)
            if pixels > picture.MOST_PIXELS:
                raise SourceError(f"{path}: frames of {pixels / 1e6:.0f} million pixels")
            is_there, first = video.read()
        finally:
            video.release()
        if not is_there:
            raise SourceError(f"{path}: no frame of it can be read")
        self.rate_hz = round(rate_hz, 3) if 0.0 < rate_hz < 1e6 else 0.0
        self._period_ns = round(1e9 / (self.rate_hz or _USUAL_HZ))
        self._length_ns = round(count / rate_hz * 1e9) if self.rate_hz and count > 0 else 0
        size = " x ".join(str(n) for n in picture.reduced(first).shape)
        length = f", {self._length_ns / 1e9:.1f} s" if self._length_ns else ""
        self.about = f"video, {size}, {self.rate_hz:g} frames/s{length}"

    def frames(self) -> Iterator[Frame]:
        video = self._open()
        pauses: deque[int] = deque(maxlen=31)
        before_ns = -1
        try:
            for t_ns in self._times(video):
                if len(pauses) >= _FEW and t_ns - before_ns > _HOLE * max(pauses):
                    self._warn("some frames are missing before", t_ns)
                    yield Frame(t_ns - max(pauses), lambda: None)
                if before_ns >= 0:
                    pauses.append(t_ns - before_ns)
                before_ns = t_ns
                yield Frame(t_ns, lambda: _retrieved(video))
            if self._should_go_on(before_ns):
                self._warn(f"should be {self._length_ns / 1e9:.1f} s long, but ends at", before_ns)
                yield Frame(before_ns + self._hop_ns, lambda: None)
        finally:
            video.release()

    def _times(self, video: Any) -> Iterator[int]:
        """Grabs frame after frame; when each is shown."""
        import cv2

        t_ns, failures = -1, 0
        while failures < _TRIES:
            if video.grab():
                now_ns = round(video.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                # some give no times, some begin anew
                t_ns = now_ns if now_ns > t_ns else t_ns + self._period_ns
                failures = 0
                yield t_ns
            elif self._should_go_on(t_ns):
                failures += 1
            else:
                return

    def _should_go_on(self, t_ns: int) -> bool:
        return self._length_ns - t_ns > _EARLY_NS

    def _warn(self, what: str, t_ns: int) -> None:
        log.warning("%s: %s %.1f s: it is damaged", self._path, what, t_ns / 1e9)

    def _open(self) -> Any:
        import cv2

        video = cv2.VideoCapture()
        # by FFmpeg and the whole path: nothing else may take the name for a pattern or an address
        if not video.open(str(self._path.absolute()), cv2.CAP_FFMPEG):
            known = f"{_ENDINGS}, or a folder of pictures"
            raise SourceError(f"{self._path}: cannot be read as a video; fix: {known}")
        return video


def _retrieved(video: Any) -> Array | None:
    is_there, bgr = video.retrieve()
    return picture.reduced(bgr) if is_there and bgr is not None and bgr.size else None


def _read(file: Path) -> Array | None:
    try:
        return picture.decode(file.read_bytes())
    except OSError:
        return None


def _pictures_in(folder: Path) -> list[Path]:
    """By name, 2.jpg before 10.jpg."""
    every = [one for one in folder.iterdir() if one.suffix.lower() in picture.FORMATS]
    return sorted((one for one in every if one.is_file()), key=_natural)


def _natural(file: Path) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", file.name)
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]
