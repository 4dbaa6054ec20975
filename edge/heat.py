"""What a part was rejected for, as a picture: the part, and where on it how much was found."""

from __future__ import annotations

import numpy as np

from contract.inspection import Part
from contract.spec import Array, Window

_SIDE_PX = 640  # of each half, at most
_JPEG_QUALITY = 88
_MOST_OPAQUE = 0.65  # of the colours: what is below must stay visible
_FRAME = (255, 255, 255)


def jpeg(window: Window, part: Part) -> bytes | None:
    """The part with a frame around the worst place; beside it, where it was judged, its heat map.

    Colours begin at half the threshold, and from the threshold on they cover most of what is below,
    brighter up to one and a half times of it: pictures of different parts can be compared.

    Args:
        window: (height, width, 3) uint8 RGB; drawn from its `large` where there is one.
        part: found in it.

    Returns:
        JPEG; None where there is no picture.

    Raises:
        ModuleNotFoundError: OpenCV is not installed.
    """
    picture = window.data if window.large is None else window.large
    if picture.size == 0:
        return None
    import cv2

    scale = min(_SIDE_PX / max(picture.shape[:2]), 1.0)
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    seen = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    halves = [_framed(seen, window, part)]
    if part.heat is not None and part.heat.size:
        halves.append(_heated(seen, part))
    shown = np.concatenate(halves, axis=1)[:, :, ::-1]
    _, raw = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return raw.tobytes()


def _framed(seen: Array, window: Window, part: Part) -> Array:
    """With the box, which lies in `window.data`, scaled to what is shown."""
    if part.box is None:
        return seen
    import cv2

    across, down = (seen.shape[i] / window.data.shape[i] for i in (1, 0))
    left, top, right, bottom = part.box
    corners = (
        (round(left * across), round(top * down)),
        (round(right * across), round(bottom * down)),
    )
    shown: Array = cv2.rectangle(seen.copy(), *corners, _FRAME, 1)
    return shown


def _heated(seen: Array, part: Part) -> Array:
    import cv2

    assert part.heat is not None
    height, width = seen.shape[:2]
    heat = cv2.resize(part.heat.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    much = heat / (part.threshold or float(heat.max()) or 1.0)
    share = (255 * np.clip(much / 1.5, 0.0, 1.0)).astype(np.uint8)
    colours = cv2.applyColorMap(share, cv2.COLORMAP_INFERNO)[:, :, ::-1]
    opaque = _MOST_OPAQUE * np.clip(2.0 * much - 1.0, 0.0, 1.0)[..., None]
    shown: Array = (seen * (1.0 - opaque) + colours * opaque).astype(np.uint8)
    return shown
