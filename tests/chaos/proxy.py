"""The harness's side of the proxy: start it, tell it what to do."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from chaos.waiting import until

from host.ports import free_port

_PROGRAM = Path(__file__).with_name("proxy_process.py")


class Proxy:
    """One route per client, each with a port of its own."""

    def __init__(self, folder: Path, *, host: str, upstream: int, names: tuple[str, ...]) -> None:
        self.ports = {name: free_port() for name in names}
        path = folder / "proxy.sock"
        routes = [f"{name}:{port}" for name, port in self.ports.items()]
        command = [sys.executable, str(_PROGRAM), str(path), str(upstream), host, *routes]
        with (folder / "proxy.log").open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log)
        self._socket = socket.socket(socket.AF_UNIX)
        until(lambda: self._socket.connect_ex(str(path)) == 0, f"the proxy at {path}")
        self._answers = self._socket.makefile("rb")

    def tell(self, route: str, do: str, *, seconds: float = 0.0) -> dict[str, int]:
        """One command; `reached`: live connections it met, `touched`: bytes mistreated so far."""
        order = {"route": route, "do": do, "seconds": seconds}
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        answer: dict[str, int] = json.loads(self._answers.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._answers.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()
