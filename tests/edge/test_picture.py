"""The limits of what is decoded hold whoever loads OpenCV, and when."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np

from edge import picture

CODE = """
import sys
from edge import config      # as every device and `vedette enrol` begin
import contract.ops.image    # as a bundle of faces loads OpenCV
from edge import picture
read = picture.decode(open(sys.argv[1], "rb").read())
print(None if read is None else read.shape)
"""


def black_png(side: int) -> bytes:
    """A square of one bit per pixel: a few kilobytes, whatever its side."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = bytes((side + 7) // 8 + 1) * side
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def decoded(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_is_made_to_fill_the_memory_is_not_decoded(tmp_path):
    """169 million pixels in 25 kilobytes; 36 million are read and reduced."""
    for side in (6_000, 13_000):
        (tmp_path / f"{side}.png").write_bytes(black_png(side))
    assert decoded(tmp_path / "13000.png") == "None"
    assert decoded(tmp_path / "6000.png") == "(2560, 2560, 3)"


def test_bgr_becomes_rgb_in_memory_of_its_own():
    """As the engines take it."""
    bgr = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    rgb = picture.reduced(bgr)
    assert (rgb == bgr[:, :, ::-1]).all()
    assert rgb.flags.c_contiguous
