"""Pictures to enrol from: files of a folder, or a camera; upright, in colour, not too large."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.spec import Array, Window
from edge import picture
from edge.errors import ConfigError, SourceError
from edge.sources import Source

MOST_FILES = 200  # in a folder; more is a photo album, not a person
_LOOK_EVERY_S = 0.7  # at a camera, so that a head has moved in between
_LOOK_S = 60.0  # at a camera, in all


@dataclass(frozen=True, eq=False)
class Taken:
    """One picture.

    Attributes:
        name: of the file, or the number of the camera's picture; for people.
        data: (height, width, 3) uint8, RGB; None: not readable, or looked at already.
        file: where it lies; None: a camera's.
    """

    name: str
    data: Array | None
    file: Path | None = None

    @property
    def window(self) -> Window:
        """As a pipeline takes it."""
        assert self.data is not None
        return Window("enrol", 0, 0, time.time_ns(), self.data, 0.0)


def in_folder(folder: Path) -> Iterator[Taken]:
    """All pictures of a folder, or the one of a file, by name, one at a time.

    Raises:
        ConfigError: there is no such folder, or no picture in it, or far too many.
    """
    try:
        found = [folder] if folder.is_file() else sorted(folder.iterdir())
        files = [one for one in found if one.suffix.lower() in picture.FORMATS and one.is_file()]
        if not files:
            known = ", ".join(sorted(picture.FORMATS))
            raise ConfigError(f"--images {folder}: no picture in it; fix: files ending in {known}")
        if len(files) > MOST_FILES:
            fix = "fix: a folder with 1 to 5 pictures of one person"
            raise ConfigError(f"--images {folder}: {len(files)} pictures; {fix}")
        for file in files:
            yield Taken(file.name, picture.decode(file.read_bytes()), file)
    except OSError as error:
        raise ConfigError(f"--images {folder}: {error.strerror}; fix: a folder of files") from None


def of_camera(source: Source, *, clock_s: Callable[[], float] = time.monotonic) -> Iterator[Taken]:
    """Pictures of a camera, now and then one, for a minute; it is closed at the end.

    Args:
        source: opened.
        clock_s: monotonic seconds.

    Raises:
        SourceError: it fails, or gives something else.
    """
    began_s = next_s = clock_s()
    number = 0
    try:
        for window in source.windows():
            now_s = clock_s()
            if now_s - began_s > _LOOK_S:
                return
            if window.data.ndim != 3:
                raise SourceError("this source gives no pictures; fix: --pipeline with a camera")
            if now_s < next_s:
                continue
            next_s = now_s + _LOOK_EVERY_S
            number += 1
            yield Taken(f"picture {number}", window.data if window.data.size else None)
    finally:
        source.close()


def as_file(taken: Taken) -> tuple[bytes, str]:
    """The bytes of a picture as a file, and how its name ends: as it came, or PNG of a camera's.

    Raises:
        OSError: its file cannot be read any more.
    """
    if taken.file is not None:
        return taken.file.read_bytes(), taken.file.suffix.lower()
    import cv2

    assert taken.data is not None
    _, encoded = cv2.imencode(".png", taken.data[:, :, ::-1])
    return encoded.tobytes(), ".png"
