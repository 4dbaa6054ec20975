"""Motion JPEG over HTTP, read by ourselves: FFmpeg hides that pictures arrive damaged.

Of a stream with damaged bytes OpenCV says `ok` for every single frame. Here a picture counts only
when its markers fit together from first to last byte and the decoder found nothing to complain of.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import tempfile
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from contract.spec import Array
from edge.errors import SourceError, one_line

_MAX_PART_BYTES = 32 << 20
_MAX_PIXELS = 64_000_000
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that tell height and width
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # first marker that ends coded data
_COMPLAINT = re.compile(rb"Corrupt JPEG|Premature end")  # of libjpeg, on standard error


def parts(url: str) -> Iterator[bytes]:
    """Every picture as it came over the wire, whole or not. Waits for ever: to be killed.

    Raises:
        SourceError: no connection, no such stream, or the end of it.
    """
    try:
        with _get(url) as response:
            yield from _split(response, _boundary(response))
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(one_line(error) or type(error).__name__) from None
    raise SourceError("the camera ended the stream")


def flaw(jpeg: bytes) -> str | None:
    """What is wrong with the structure of a JPEG file; None if nothing is."""
    jpeg = jpeg.rstrip(b"\0\r\n")
    if not jpeg.startswith(b"\xff\xd8"):
        return "no beginning"
    if not jpeg.endswith(b"\xff\xd9"):
        return "no end"
    at, end = 2, len(jpeg) - 2
    has_size = has_scan = False
    while at < end:
        if jpeg[at] != 0xFF:
            return "no marker where one should be"
        marker = jpeg[at + 1]
        if marker == 0xFF:  # may fill
            at += 1
            continue
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or length < 2 or at + 2 + length > end:
            return "damaged segment"
        if marker in _SIZES:
            height = int.from_bytes(jpeg[at + 5 : at + 7], "big")
            width = int.from_bytes(jpeg[at + 7 : at + 9], "big")
            has_size = 0 < height * width <= _MAX_PIXELS
        at += 2 + length
        if marker == 0xDA:
            if not has_size:
                return "no size, or one beyond all measure"
            found = _AFTER_SCAN.search(jpeg, at)
            assert found  # the end at least
            at, has_scan = found.start(), True
    return None if has_scan else "no picture"


def decode(jpeg: bytes) -> Array | None:
    """(height, width, 3) uint8, RGB; None where anything about it is wrong.

    libjpeg says on standard error what it has patched up, so that is caught meanwhile: only for
    processes in which nobody else writes there.
    """
    import cv2
    import numpy as np

    if flaw(jpeg):
        return None
    with tempfile.TemporaryFile() as said:
        standard_error = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            picture = None
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
        said.seek(0)
        if picture is None or _COMPLAINT.search(said.read()):
            return None
    rgb: Array = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return rgb


def _get(url: str) -> http.client.HTTPResponse:
    split = urlsplit(url)
    kind = http.client.HTTPSConnection if split.scheme == "https" else http.client.HTTPConnection
    connection = kind(split.hostname or "", split.port)
    headers = {}
    if split.username:
        who = f"{unquote(split.username)}:{unquote(split.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(who.encode()).decode()}"
    path = (split.path or "/") + (f"?{split.query}" if split.query else "")
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    if response.status != 200:
        raise SourceError(f"the camera answers {response.status} {response.reason}")
    return response


def _boundary(response: http.client.HTTPResponse) -> bytes:
    kind, boundary = response.headers.get_content_type(), response.headers.get_param("boundary")
    if not kind.startswith("multipart/") or not isinstance(boundary, str):
        raise SourceError(f"not a stream of pictures, but {kind}")
    return b"--" + boundary.removeprefix("--").encode()  # some say it with, some without


def _split(response: http.client.HTTPResponse, boundary: bytes) -> Iterator[bytes]:
    """Bodies between boundaries. A length that a part gives ends it sooner, never later."""
    buffer = bytearray()
    while got := response.read1(1 << 16):
        buffer += got
        while (start := buffer.find(boundary)) >= 0:
            body = buffer.find(b"\r\n\r\n", start) + 4
            if body < 4:
                break
            stop = buffer.find(boundary, body)
            length = re.search(rb"(?i)\r\ncontent-length: *(\d{1,9})\r\n", buffer[start:body])
            if length and body + int(length[1]) <= (stop if stop >= 0 else len(buffer)):
                stop = body + int(length[1])
            if stop < 0:
                break
            yield bytes(buffer[body:stop])
            del buffer[:stop]
        if len(buffer) > _MAX_PART_BYTES:
            raise SourceError(f"no end of a picture within {_MAX_PART_BYTES >> 20} MiB")
