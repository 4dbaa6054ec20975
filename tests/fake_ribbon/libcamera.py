"""What `edge.sources.picamera` takes from libcamera."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Transform:
    """How the picture is turned."""

    hflip: bool = False
    vflip: bool = False


class ColorSpace:
    """Named as libcamera names them."""

    @staticmethod
    def Smpte170m() -> str:  # noqa: N802
        return "SMPTE170M"
