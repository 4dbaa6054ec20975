"""A video of people who come and go, made of pictures: for a device without a camera."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.spec import Array
from edge import picture
from host.phases import DemoError

HEIGHT, WIDTH = 512, 432  # as upright as the pictures are
_SHOWN = 0.93  # of a picture at once; the rest is room to move in
_TURN_S = 2.3  # a head is never still
_NOISE = 3.0  # grey levels, as a sensor has by day
_NOISES = 16  # different ones
_WALL = (96.0, 150.0)  # grey levels from left to right, where nobody is


@dataclass(frozen=True)
class Scene:
    """A part of the video.

    Attributes:
        pictures: of one person, shown one after the other for as long; none: nobody is there.
        length_s: of all of it.
    """

    pictures: tuple[Path, ...]
    length_s: float


def make(path: Path, scenes: Sequence[Scene], *, rate_hz: float, seed: int) -> None:
    """Write the video, motion JPEG in AVI.

    Args:
        path: of the file, ending in .avi.
        scenes: one after the other.
        rate_hz: frames per second.
        seed: of the noise and of how they move.

    Raises:
        DemoError: a picture cannot be read, or the file not be written.
    """
    import cv2

    codec = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, rate_hz, (WIDTH, HEIGHT))
    if not video.isOpened():
        raise DemoError(f"{path}: OpenCV cannot write this video")
    rng = np.random.default_rng(seed)
    noises = rng.normal(scale=_NOISE, size=(_NOISES, HEIGHT, WIDTH, 3)).astype(np.float32)
    try:
        for scene in scenes:
            for still in _stills(scene, rate_hz=rate_hz, phase=rng.uniform(0.0, math.tau)):
                noise = noises[rng.integers(_NOISES)]
                frame = still + np.roll(noise, int(rng.integers(WIDTH)), axis=1)
                video.write(np.clip(frame, 0.0, 255.0).astype(np.uint8)[:, :, ::-1])
    finally:
        video.release()


def _stills(scene: Scene, *, rate_hz: float, phase: float) -> Iterator[Array]:
    """Frames of a scene before the noise, (height, width, 3) float32."""
    count = max(round(scene.length_s * rate_hz), 1)
    if not scene.pictures:
        ramp = np.linspace(*_WALL, WIDTH, dtype=np.float32)
        yield from [np.tile(ramp[None, :, None], (HEIGHT, 1, 3))] * count
        return
    pictures = [_read(file) for file in scene.pictures]
    for number in range(count):
        data = pictures[number * len(pictures) // count]
        turn = math.tau * number / rate_hz / _TURN_S + phase
        yield _moved(data, math.sin(turn), math.sin(1.7 * turn)).astype(np.float32)


def _moved(data: Array, across: float, down: float) -> Array:
    """What the camera sees of a picture, which fills the frame, moved by -1 to 1."""
    import cv2

    height, width = data.shape[:2]
    scale = max(HEIGHT / height, WIDTH / width) / _SHOWN
    room_x, room_y = (scale * width - WIDTH) / 2, (scale * height - HEIGHT) / 2
    # by as much as both have room for, or a picture of another shape would swing
    room = min(room_x, room_y)
    lies = np.array([[scale, 0.0, across * room - room_x], [0.0, scale, down * room - room_y]])
    edge = cv2.BORDER_REPLICATE  # half a pixel of it may be seen
    moved: Array = cv2.warpAffine(data, lies, (WIDTH, HEIGHT), borderMode=edge)
    return moved


def _read(file: Path) -> Array:
    try:
        data = picture.decode(file.read_bytes())
    except OSError as error:
        raise DemoError(f"{file}: {error.strerror}") from None
    if data is None:
        raise DemoError(f"{file}: cannot be read as a picture")
    return data
