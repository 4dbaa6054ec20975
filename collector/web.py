"""The page and its API. What is shown comes from the store, and nothing there can be changed here.

What a person says of a part goes to its device, whose answer is stored like any other message.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from collector import evidence_web, fleet, metrics, queries
from collector.answers import as_json, refuse
from contract.messages import Command, Name, Review

if TYPE_CHECKING:
    import threading
    from collections.abc import AsyncIterator, Callable, MutableMapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from collector.evidence import Fetcher
    from collector.ingest import Ingest

PAGE = Path(__file__).parent / "templates"
MOST_ROWS = 1_000
_POLL_S = 0.25
_HEARTBEAT_S = 10.0
_MOST_BODY_BYTES = 1024
_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def make_app(
    path: Path,
    ingest: Ingest,
    measured: metrics.Metrics,
    fetcher: Fetcher,
    stopping: threading.Event,
) -> Starlette:
    """The web application.

    Args:
        path: the database, opened read-only for each request.
        ingest: asked for its troubles, for `/healthz`, and to send commands.
        measured: what `/metrics` shows.
        fetcher: has the evidence, or gets it.
        stopping: ends the streams when set.
    """

    def read(ask: Callable[[Any, Request], Any]) -> Callable[[Request], Response]:
        # A plain function: Starlette runs it in a worker thread, so the disk never stalls the loop.
        def endpoint(request: Request) -> Response:
            with queries.reading(path) as db:
                return as_json(ask(db, request))

        return endpoint

    def healthz(_: Request) -> Response:
        reasons = {
            name: why
            for name, why in (("broker", ingest.broker_trouble), ("store", ingest.store_trouble))
            if why
        }
        body = {"status": "failing" if reasons else "ok", "reasons": reasons}
        return as_json(body, status=503 if reasons else 200)

    def scrape(_: Request) -> Response:
        return Response(measured.render(), media_type=metrics.CONTENT_TYPE)

    def page(_: Request) -> Response:
        return FileResponse(PAGE / "page.html")

    async def stream(_: Request) -> Response:
        return StreamingResponse(_changes(path, stopping), media_type="text/event-stream")

    def is_due(said: _Said) -> bool:
        with queries.reading(path) as db:
            return queries.has_part(db, said.device, said.pipeline, said.part)

    async def review(request: Request) -> Response:
        said = await _review(request)
        if not await run_in_threadpool(is_due, said):
            raise HTTPException(404, "no verdict is due on such a part")
        one = Review(pipeline=said.pipeline, part=said.part, verdict=said.verdict)
        ingest.tell(said.device, Command(name="review", reviews=[one]))
        return as_json({"state": "sent", "device": said.device}, status=202)

    routes = [
        Route("/", page),
        Route("/api/alerts", read(_alerts)),
        Route("/api/devices", read(_devices)),
        Route("/api/scores", read(_scores)),
        Route("/api/parts", read(_parts)),
        Route("/api/review", review, methods=["POST"]),
        Route("/api/summary", read(lambda db, _: queries.summary(db))),
        Route("/api/rejected", read(_rejected)),
        *evidence_web.Pages(path, fetcher, ingest.tell).routes(),
        Route("/api/stream", stream),
        Route("/metrics", scrape),
        Route("/healthz", healthz),
        Mount("/static", StaticFiles(directory=PAGE)),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: refuse})
    app.add_middleware(_Headers)
    return app


def _alerts(db: Any, request: Request) -> Any:
    device, kind = request.query_params.get("device"), request.query_params.get("kind")
    if kind not in {None, *queries.NEWS_KINDS}:
        raise HTTPException(400, f"kind must be one of {', '.join(queries.NEWS_KINDS)}")
    limit, since = _whole(request, "limit", 100, MOST_ROWS), _whole(request, "since", 0)
    kinds = queries.NEWS_KINDS if kind is None else (kind,)
    rows = queries.alerts(db, limit=limit, since=since, device=device, kinds=kinds)
    return {"alerts": rows}


def _scores(db: Any, request: Request) -> Any:
    limit, since = _whole(request, "limit", 300, MOST_ROWS), _whole(request, "since", 0)
    return {"series": queries.scores(db, limit=limit, since=since)}


def _parts(db: Any, request: Request) -> Any:
    return {"parts": queries.parts(db, limit=_whole(request, "limit", 100, MOST_ROWS))}


class _Said(Review, frozen=True, kw_only=True):
    """What is sent to `/api/review`."""

    device: Name


async def _review(request: Request) -> _Said:
    """The body of a request, which no form of another site can send: those have no JSON.

    Raises:
        HTTPException: it is something else.
    """
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "send application/json")
    body = bytearray()
    async for some in request.stream():
        body += some
        if len(body) > _MOST_BODY_BYTES:
            raise HTTPException(413, f"at most {_MOST_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(400, str(error)) from None


def _rejected(db: Any, request: Request) -> Any:
    return {"rejected": queries.rejected(db, limit=_whole(request, "limit", 100, MOST_ROWS))}


def _devices(db: Any, _: Request) -> Any:
    now_ns = time.time_ns()
    shown = fleet.devices(db, now_ns=now_ns)
    return {"now_ns": now_ns, "left_out": queries.device_count(db) - len(shown), "devices": shown}


def _whole(request: Request, name: str, default: int, most: int = 2**62) -> int:
    """A query parameter that must be a whole number from 0 to `most`."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise HTTPException(400, f"{name} must be a whole number from 0 to {most}")
    return int(text)


async def _changes(path: Path, stopping: threading.Event) -> AsyncIterator[str]:
    """Server-sent events: `change` when the store has changed, a comment when it has not for long.

    An event carries no rows: whoever listens asks the API, so there is one shape for everything.
    """
    with queries.reading(path) as db:
        seen, quiet_s = None, 0.0
        yield "retry: 2000\n\n"
        while not stopping.is_set():
            (version,) = db.execute("PRAGMA data_version").fetchone()
            if version != seen:
                seen, quiet_s = version, 0.0
                yield "event: change\ndata: {}\n\n"
            elif quiet_s >= _HEARTBEAT_S:
                quiet_s = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(_POLL_S)
            quiet_s += _POLL_S


class _Headers:
    """Puts the security headers on every response; plain ASGI, so that streams are not buffered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = [(k.encode(), v.encode()) for k, v in _SECURITY_HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
