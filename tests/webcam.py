"""A camera that sends motion JPEG over HTTP, and can be told to misbehave."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time

import cv2
import numpy as np

PERIOD_S = 0.05
HEIGHT, WIDTH = 120, 160


def scene(number: int) -> np.ndarray:
    """(height, width, 3) uint8, RGB: soft, with the red of the left upper corner its number."""
    rng = np.random.default_rng(number)
    small = rng.integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), dtype=np.uint8)
    picture = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture[:32, :32] = (number * 16 % 256, 0, 0)
    return picture


def jpeg(number: int) -> bytes:
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(scene(number), cv2.COLOR_RGB2BGR))
    assert ok
    return data.tobytes()


def damaged(whole: bytes, seed: int, count: int = 20) -> bytes:
    """So many bytes of the picture itself are something else."""
    rng = np.random.default_rng(seed)
    data = bytearray(whole)
    first = whole.index(b"\xff\xda") + 14
    for at in rng.integers(first, len(data) - 2, count):
        data[at] ^= int(rng.integers(1, 256))
    return bytes(data)


class Webcam:
    """Listens until `stop`; `start` again on the same port.

    Attributes:
        mode: `good`, `damaged`, `truncated`, `swallowed` (bytes go missing, lengths do not say so),
            `unmeasured` (no lengths), `hang`.
        status: of the answer.
        kind: content type of the answer.
        asked: headers of the last request.
    """

    def __init__(self) -> None:
        self.mode = "good"
        self.status = 200
        self.kind = "multipart/x-mixed-replace; boundary=frame"
        self.asked: dict[str, str] = {}
        self.port = 0
        self._pictures = [jpeg(number) for number in range(16)]
        self._server: http.server.ThreadingHTTPServer | None = None
        self._connections: list[socket.socket] = []
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream?channel=1"

    def start(self) -> None:
        webcam = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                webcam.asked = {"path": self.path, **self.headers}
                webcam._connections.append(self.connection)
                self.send_response(webcam.status)
                self.send_header("Content-Type", webcam.kind)
                self.end_headers()
                with contextlib.suppress(OSError):
                    webcam._send_all(self.wfile)

            def log_message(self, *_args: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def stop(self) -> None:
        """As if the power were gone."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _send_all(self, out) -> None:
        number = 0
        while self._server:
            time.sleep(PERIOD_S)
            if self.mode == "hang":
                continue
            data = whole = self._pictures[number % 16]
            if self.mode == "damaged":
                data = whole = damaged(whole, number)
            if self.mode == "truncated":
                data = whole = whole[: len(whole) // 2]
            if self.mode == "swallowed":
                data = whole[: len(whole) // 2]
            length = b"" if self.mode == "unmeasured" else b"Content-Length: %d\r\n" % len(whole)
            out.write(b"--frame\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n")
            out.write(data + b"\r\n")
            number += 1
