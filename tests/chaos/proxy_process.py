"""A TCP proxy in its own process, with a route per client, that mistreats what it carries.

    proxy.py SOCKET UPSTREAM_PORT HOST NAME:PORT...

Commands come over the Unix socket, a JSON line each, `{"route": "device-1", "do": "stall"}`, and
are answered with the number of connections they reached:

- `pass`: mistreat nobody (connections that have gone dead stay so).
- `stall`: hold back all bytes, both ways, of connections old and new, until `pass`.
- `delay`: hand on a few bytes at a time, each after `seconds`, until `pass`.
- `dead`: swallow all bytes of the present connections, both ways, for ever; nobody is told.
- `orphan`: as `dead`, but the broker's side is closed; only the client believes in it.
- `reset`: end the present connections with RST, on both sides.
- `half-close`: tell the client that nothing more will come, and still take what it sends.
- `ask`: change nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SLOW_BYTES = 1500
_GONE = (OSError, asyncio.IncompleteReadError)


@dataclass(eq=False)
class Link:
    """One client and its way to the broker."""

    client: StreamWriter
    broker: StreamWriter
    is_dead: bool = False
    is_half_closed: bool = False

    def swallows(self, writer: StreamWriter) -> bool:
        """Whether what is meant for this side is thrown away."""
        return self.is_dead or (self.is_half_closed and writer is self.client)


@dataclass
class Route:
    """What one client's connections go through."""

    links: set[Link] = field(default_factory=set)
    passing: asyncio.Event = field(default_factory=asyncio.Event)
    delay_s: float = 0.0
    made: int = 0
    touched: int = 0  # bytes held, slowed or swallowed


async def pump(route: Route, link: Link, reader: StreamReader, writer: StreamWriter) -> None:
    """Bytes of one direction, until its end."""
    while data := await reader.read(_SLOW_BYTES if route.delay_s else 65_536):
        if not route.passing.is_set():
            route.touched += len(data)
            await route.passing.wait()
        if route.delay_s:
            route.touched += len(data)
            await asyncio.sleep(random.uniform(0.5, 1.5) * route.delay_s)
        if link.swallows(writer):
            route.touched += len(data)
            continue
        writer.write(data)
        await writer.drain()
    if not link.swallows(writer):
        writer.write_eof()


async def carry(route: Route, upstream: int, reader: StreamReader, writer: StreamWriter) -> None:
    """One connection of a client, for as long as it lasts."""
    try:
        answers, broker = await asyncio.open_connection("127.0.0.1", upstream)
    except OSError:
        abort(writer)  # as if the broker's own machine had said it
        return
    link = Link(writer, broker)
    route.links.add(link)
    route.made += 1
    ways = [pump(route, link, reader, broker), pump(route, link, answers, writer)]
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        # either side may close its half and go on listening; an error ends both
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        route.links.discard(link)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, *_GONE):
                await task
        for side in (writer, broker):
            side.close()


def abort(writer: StreamWriter) -> None:
    """End with RST: no lingering, nothing flushed."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def mistreat(route: Route, do: str, seconds: float) -> None:
    """Carry out one command on one route."""
    if do == "pass":
        route.delay_s = 0.0
        route.passing.set()
    elif do == "stall":
        route.passing.clear()
    elif do == "delay":
        route.delay_s = seconds
    for link in list(route.links):
        if do in {"dead", "orphan"}:
            link.is_dead = True
        if do in {"reset", "orphan"}:
            abort(link.broker)
        if do == "reset":
            abort(link.client)
        if do == "half-close" and not link.is_dead:
            link.is_half_closed = True
            link.client.write_eof()


async def main(control: Path, upstream: int, host: str, names: dict[str, int]) -> None:
    """Serve routes and commands until killed."""
    routes = {name: Route() for name in names}
    for name, port in names.items():
        route = routes[name]
        route.passing.set()
        await asyncio.start_server(
            lambda reader, writer, route=route: carry(route, upstream, reader, writer), host, port
        )

    async def obey(reader: StreamReader, writer: StreamWriter) -> None:
        while line := await reader.readline():
            order: dict[str, Any] = json.loads(line)
            route = routes[order["route"]]
            reached = len([link for link in route.links if not link.is_dead])
            mistreat(route, order["do"], order.get("seconds", 0.0))
            answer = {"reached": reached, "touched": route.touched, "made": route.made}
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    await (await asyncio.start_unix_server(obey, control)).serve_forever()


if __name__ == "__main__":
    routes_at = {name: int(port) for name, port in (text.split(":") for text in sys.argv[4:])}
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], routes_at))
