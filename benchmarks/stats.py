"""Medians, their spread over repeats, and tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (lowest to highest)`."""
    low, high = min(values), max(values)
    return f"{np.median(values):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def alternate(calls: dict[str, Callable[[], Any]], *, rounds: int) -> dict[str, float]:
    """Median microseconds of each call, one of each per round."""
    times: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            call()
            times[name].append(time.perf_counter_ns() - start)
    return {name: float(np.median(ns)) / 1e3 for name, ns in times.items()}
