"""How the API answers: JSON, never from a cache unless said otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


def as_json(body: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """`body` as JSON; numbers that are not finite become null."""
    content = msgspec.json.encode(body)
    headers = {"cache-control": "no-store"} if headers is None else headers
    return Response(content, status, headers=headers, media_type="application/json")


def refuse(_: Request, error: Exception) -> Response:
    """An HTTP error as JSON with one line that says what is wrong."""
    assert isinstance(error, HTTPException)
    return as_json({"error": error.detail}, error.status_code)
