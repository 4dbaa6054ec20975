"""What `vedette check` and `vedette doctor` find: one line each, with one fix where needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from edge.errors import VedetteError

_SPLIT = "; fix: "


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: was looked at.
        text: how it is.
        level: `warn` will do, but not well; `fail` will not do.
        fix: the one thing to do about it; None where it is ok.
    """

    what: str
    text: str
    level: Literal["ok", "warn", "fail"] = "ok"
    fix: str | None = None

    @property
    def is_ok(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.level != "fail"


def failed(what: str, error: VedetteError, *, otherwise: str) -> Finding:
    """A refusal as a finding; with the fix it names, or the one given."""
    text, _, fix = str(error).partition(_SPLIT)
    return Finding(what, text, "fail", fix or otherwise)


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print them; what failed goes to stderr."""
    if as_json:
        found = [{**asdict(finding), "is_ok": finding.is_ok} for finding in findings]
        is_ok = all(finding.is_ok for finding in findings)
        sys.stdout.write(json.dumps({"ok": is_ok, "findings": found}) + "\n")
        return
    for finding in findings:
        mark = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}[finding.level]
        fix = _SPLIT + finding.fix if finding.fix else ""
        (sys.stdout if finding.is_ok else sys.stderr).write(
            f"{mark} {finding.what}: {finding.text}{fix}\n"
        )
