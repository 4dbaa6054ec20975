"""Evidence over HTTP: from our own folder, or from the device while the reader waits."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from collector import queries
from collector.answers import as_json
from collector.evidence import BusyError
from contract import evidence
from contract.messages import Command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request

    from collector.evidence import Fetcher
    from contract.evidence import EvidenceFile
    from contract.spec import Array

WAIT_S = 5.0  # for the device, before the reader is told to come again
_LOOK_S = 0.1
_SHA256 = re.compile(r"[0-9a-f]{64}")
# what a hash names never changes
_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}


class Pages:
    """Three addresses per hash: the file, what curves are drawn from, and the picture in it."""

    def __init__(
        self,
        path: Path,
        fetcher: Fetcher,
        tell: Callable[[str, Command], None],
        *,
        wait_s: float = WAIT_S,
    ) -> None:
        """Nothing is opened yet.

        Args:
            path: the database, which knows the device that named a hash.
            fetcher: keeps the files.
            tell: sends a device a command.
            wait_s: for a device.
        """
        self._path = path
        self._fetcher = fetcher
        self._tell = tell
        self._wait_s = wait_s

    def routes(self) -> list[Route]:
        """For the web application."""
        return [
            Route("/api/evidence/{sha256}", self._file),
            Route("/api/evidence/{sha256}/spectra", self._spectra),
            Route("/api/evidence/{sha256}/picture", self._picture),
        ]

    async def _file(self, request: Request) -> Response:
        return await self._fetched(request, _as_file)

    async def _spectra(self, request: Request) -> Response:
        return await self._fetched(request, _as_spectra)

    async def _picture(self, request: Request) -> Response:
        return await self._fetched(request, _as_picture)

    async def _fetched(
        self, request: Request, answer: Callable[[str, bytes], Response]
    ) -> Response:
        """The answer, as soon as the file is there; 202 where that takes too long."""
        sha256 = request.path_params["sha256"]
        if not _SHA256.fullmatch(sha256):
            raise HTTPException(400, "evidence is named by 64 hex digits, its SHA-256")
        until_s = time.monotonic() + self._wait_s
        while True:
            raw = await run_in_threadpool(self._fetcher.get, sha256)
            if raw is not None:
                return await run_in_threadpool(answer, sha256, raw)
            waiting = await run_in_threadpool(self._ask, sha256)
            if time.monotonic() > until_s:
                return waiting
            await asyncio.sleep(_LOOK_S)

    def _ask(self, sha256: str) -> Response:
        """What to tell a reader who does not wait; asks the device where that is due.

        Raises:
            HTTPException: it cannot be had, or not now.
        """
        with queries.reading(self._path) as db:
            device = queries.device_with(db, sha256)
        if device is None:
            raise HTTPException(404, "no alert names this evidence")
        try:
            if self._fetcher.want(sha256, device):
                self._tell(device, Command(name="evidence", ids=[sha256]))
        except BusyError as error:
            raise HTTPException(503, str(error)) from None
        fetch = self._fetcher.progress(sha256)
        if fetch and fetch.is_gone:
            raise HTTPException(410, f"{device} does not have it any more")
        if fetch and fetch.failure:
            raise HTTPException(502, f"{device}: {fetch.failure}")
        came, of = (len(fetch.parts), fetch.of) if fetch else (0, None)
        body = {"state": "fetching", "device": device, "parts": came, "of": of}
        return as_json(body, status=202)


def _as_file(sha256: str, raw: bytes) -> Response:
    name = f'attachment; filename="{sha256}.npz"'
    headers = {**_FOR_EVER, "content-disposition": name}
    return Response(raw, headers=headers, media_type="application/octet-stream")


def _as_spectra(_: str, raw: bytes) -> Response:
    read = _read(raw)
    samples, *channels = read.window.shape or (0,)
    body: dict[str, Any] = {
        "source": read.source,
        "workload": read.workload,
        "unit": read.unit,
        "at_ns": read.wall_ns,
        "window": read.seq,
        "rate_hz": read.rate_hz,
        "samples": samples,
        "channels": channels[0] if channels else 1,
        "spectra": {name: _rounded(array) for name, array in read.spectra.items()},
        "trend": _rounded(read.trend),
        "picture": bool(read.picture),
    }
    return as_json(body, headers=_FOR_EVER)


def _as_picture(_: str, raw: bytes) -> Response:
    picture = _read(raw).picture
    if not picture:
        raise HTTPException(404, "no picture is in this evidence")
    return Response(picture, headers=_FOR_EVER, media_type="image/jpeg")


def _read(raw: bytes) -> EvidenceFile:
    try:
        return evidence.decode(raw)
    except ValueError as error:
        raise HTTPException(502, f"this evidence cannot be read: {error}") from None


def _rounded(array: Array) -> Any:
    """Nested lists of numbers with six digits; what is not finite becomes null."""
    return np.array([float(f"{x:.6g}") for x in array.ravel()]).reshape(array.shape).tolist()
