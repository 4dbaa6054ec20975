"""Sections drawn so that every size is known: bright discs with dark holes, softened by a lens."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_FINE = 4  # drawn so many times larger, then reduced


def disc(x, y, radius, *, stretch=1.0):
    """A round hole or outline: centre and radius in pixels; `stretch` of its horizontal axis."""
    return (x, y, radius * stretch, radius)


RING = disc(200.4, 180.7, 150.3)
LUMENS = (disc(150.0, 150.0, 50.0), disc(260.0, 210.0, 40.0))


def section(outer=RING, lumens=LUMENS, *, size=(380, 400), blur=1.5, bright=225.0, dark=40.0):
    """(height, width, 3) uint8: one section."""
    share = _share(outer, tuple(lumens), size)
    return seen(dark + (bright - dark) * share, blur=blur)


@lru_cache
def _share(outer, lumens, size):
    """(height, width): how much of each pixel is tube."""
    height, width = size
    y = (np.arange(height * _FINE, dtype=np.float32)[:, None] + 0.5) / _FINE
    x = (np.arange(width * _FINE, dtype=np.float32) + 0.5) / _FINE
    inside = _inside(x, y, outer)
    for one in lumens:
        inside &= ~_inside(x, y, one)
    return inside.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))


def _inside(x, y, ellipse):
    left, top, across, down = ellipse
    return ((x - left) / across) ** 2 + ((y - top) / down) ** 2 <= 1.0


def seen(grey, *, blur=0.0, gain=1.0, noise=0.0, seed=0):
    """(height, width, 3) uint8 of a picture (height, width): softened, lit, with noise, clipped."""
    grey = np.asarray(grey, np.float64)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    if blur:
        grey = cv2.GaussianBlur(grey, (0, 0), blur)
    grey = grey * gain
    if noise:
        grey += np.random.default_rng(seed).normal(0.0, noise, grey.shape)
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)


def turned(picture, degrees, *, right=0.0, down=0.0):
    """The same section photographed again: turned around the middle and shifted, in pixels."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (right, down)
    return cv2.warpAffine(
        picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def compressed(picture, quality):
    """As a JPEG file would have it."""
    raw = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(raw, cv2.IMREAD_COLOR)
