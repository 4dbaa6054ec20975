"""The best look at each person in front of the camera, in memory, until it is evidence or old."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from contract.spec import Array, Detections, Window
from contract.visits import Visitor

_AROUND = 0.4  # boxes on each side: hair and shoulders tell a person more than a chip does
_SIDE_PX = 320  # of a picture that is kept, at most
_MOST = 64  # people; at 300 kB each
_BETTER = 1.05  # times as good: or every picture of somebody who comes nearer would be cut out
_KEPT_S = 120.0  # after the person was seen last
_JPEG_QUALITY = 90


@dataclass
class _Look:
    quality: float
    picture: Array
    seen_s: float


class Crops:
    """Of one pipeline. Not shared between threads."""

    def __init__(self) -> None:
        """Nobody has been seen."""
        self._looks: OrderedDict[str, _Look] = OrderedDict()

    def see(self, found: Detections, window: Window) -> None:
        """Keep what is better than before, forget who has gone.

        Args:
            found: in `window`; all but those on a visit are passed over.
            window: a picture, (height, width, 3) uint8 RGB; crops are cut from its `large`.
        """
        now_s = window.t_ns / 1e9
        for one in found:
            if isinstance(one, Visitor) and one.box is not None:
                self._see(one, window, now_s)
        while len(self._looks) > _MOST:
            self._looks.popitem(last=False)
        # a clock that went back has nothing to say about how long ago it was
        old = [v for v, look in self._looks.items() if abs(now_s - look.seen_s) > _KEPT_S]
        for visit in old:
            del self._looks[visit]

    def jpeg(self, visit: str) -> bytes | None:
        """The best look at who is on that visit; None: there was none.

        Raises:
            ModuleNotFoundError: OpenCV is not installed.
        """
        look = self._looks.get(visit)
        if look is None:
            return None
        import cv2

        bgr = look.picture[:, :, ::-1]
        _, raw = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return raw.tobytes()

    def _see(self, one: Visitor, window: Window, now_s: float) -> None:
        look = self._looks.get(one.visit)
        if look is None or one.quality > _BETTER * look.quality:
            crop = _cut(window, one)
            if crop.size:
                look = self._looks[one.visit] = _Look(one.quality, crop, now_s)
        if look is not None:
            look.seen_s = now_s
            self._looks.move_to_end(one.visit)


def _cut(window: Window, one: Visitor) -> Array:
    """The face with its surroundings, from the larger picture if there is one, as it is kept."""
    assert one.box is not None
    picture = window.data if window.large is None else window.large
    down, across = (picture.shape[i] / window.data.shape[i] for i in (0, 1))
    left, right = one.box[0] * across, one.box[2] * across
    top, bottom = one.box[1] * down, one.box[3] * down
    more = _AROUND * max(right - left, bottom - top)
    height, width = picture.shape[:2]
    rows = slice(max(int(top - more), 0), min(max(int(bottom + more) + 1, 0), height))
    columns = slice(max(int(left - more), 0), min(max(int(right + more) + 1, 0), width))
    crop = picture[rows, columns]
    longest = max(crop.shape[:2], default=0)
    if longest <= _SIDE_PX:
        return crop.copy()  # or the whole picture would stay in memory
    import cv2

    scale = _SIDE_PX / longest
    size = (max(round(crop.shape[1] * scale), 1), max(round(crop.shape[0] * scale), 1))
    small: Array = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    return small
