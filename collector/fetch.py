"""`vedette evidence`: what an alert was raised on, as a file, through a running collector."""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract import evidence

if TYPE_CHECKING:
    from http.client import HTTPResponse

_ANSWER_S = 30.0  # the collector waits for the device before it says that there is nothing yet

_EXAMPLE = """example:
  vedette evidence 442233e9cc4313f5b2b2a0e4f7a2f9f0a6d9cf1c6d1f5f0f0b8a7e3f3b6f9a11 \\
    --page http://127.0.0.1:8080/ --out alert.npz

exit codes: 0 it is in the file, 1 it cannot be had, 2 wrong usage
"""


class FetchError(Exception):
    """It cannot be had; the text says why."""


def main(verb: str, argv: list[str]) -> int:
    """Fetch one file; the exit code is returned."""
    args = _parser(verb).parse_args(argv)
    out = args.out or Path(f"{args.sha256[:12]}.npz")
    try:
        raw = fetch(args.page, args.sha256, within_s=args.timeout_s)
        out.write_bytes(raw)
    except (FetchError, OSError) as error:
        sys.stderr.write(f"vedette {verb}: {error}\n")
        return 1
    about = {"file": str(out), "bytes": len(raw), **_about(raw)}
    sys.stdout.write(
        json.dumps(about) + "\n"
        if args.json
        else "".join(f"{name}: {value}\n" for name, value in about.items())
    )
    return 0


def fetch(page: str, sha256: str, *, within_s: float) -> bytes:
    """The file of that hash.

    Args:
        page: address of the collector's page.
        sha256: 64 hex digits.
        within_s: how long to go on asking while the device says nothing.

    Raises:
        FetchError: no collector there, no such evidence, or the device does not answer.
    """
    url = f"{page.rstrip('/')}/api/evidence/{sha256}"
    until_s = time.monotonic() + within_s
    while True:
        status, raw = _get(url)
        if status == 200:
            break
        if time.monotonic() > until_s:
            device = json.loads(raw)["device"]
            raise FetchError(f"{device} does not answer; fix: try again when it is online")
        time.sleep(0.2)
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise FetchError(f"{url} is not what its hash says; fix: --page of the collector itself")
    return raw


def _get(url: str) -> tuple[int, bytes]:
    """Status and body of an answer that is no error."""
    try:
        answer: HTTPResponse
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310 -- see `_page`
            return answer.status, answer.read(evidence.MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            try:
                why = json.loads(error.read(10_000))["error"]
            except (ValueError, LookupError, TypeError):
                why = f"{url}: {error.code} {error.reason}; fix: --page of the collector itself"
        raise FetchError(why) from None
    except (urllib.error.URLError, OSError) as error:
        why = getattr(error, "reason", error)
        raise FetchError(f"no collector at {url}: {why}; fix: --page") from None


def _about(raw: bytes) -> dict[str, Any]:
    """What is in it, for a person."""
    try:
        read = evidence.decode(raw)
    except ValueError as error:
        return {"unreadable": str(error)}
    at = dt.datetime.fromtimestamp(read.wall_ns / 1e9, tz=dt.UTC)
    return {
        "source": read.source,
        "workload": read.workload,
        "time": at.isoformat(timespec="seconds"),
        "window": " x ".join(map(str, read.window.shape)),
        "rate_hz": read.rate_hz,
        "spectra": ", ".join(sorted(read.spectra)),
        "picture": f"{len(read.picture)} bytes of JPEG" if read.picture else "none",
    }


def _page(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no address; use http://HOST:PORT/")
    return text


def _sha256(text: str) -> str:
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no evidence; use the 64 hex digits in `evidence` of an alert"
        )
    return text


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"vedette {verb}",
        description="Fetch what an alert was raised on: raw window and spectra, as one .npz file.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sha256", type=_sha256, metavar="SHA256", help="`evidence` of the alert")
    page = "http://127.0.0.1:8080/"
    add("--page", type=_page, default=page, help="of the collector (default %(default)s)")
    add("--out", type=Path, metavar="FILE", help="where to (default: 12 of its digits and .npz)")
    add(
        "--timeout-s", type=float, default=60.0, help="to wait for the device (default %(default)s)"
    )
    add("--json", action="store_true", help="print one line of JSON")
    return parser
