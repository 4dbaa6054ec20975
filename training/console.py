"""What a person at a terminal sees; all of it on stderr, so that stdout stays for results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False)


def progress() -> Progress:
    """A progress bar with a free text field `note` behind each task."""
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def say(text: str) -> None:
    """One line for the person; not wrapped, so that a path can be copied."""
    console.print(text, markup=False, soft_wrap=True)


def fail(verb: str, error: object) -> int:
    """One line that says what is wrong and how to fix it; the exit code 1."""
    sys.stderr.write(f"vedette {verb}: {error}\n")
    return 1


def print_json(found: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
