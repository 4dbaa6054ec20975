"""Minutes or hours without a fault: does anybody's memory grow?"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from chaos import oracle
from chaos.site import Site

_LOOKS = 120  # samples of memory in a soak
_WARM_S = 150.0  # left out: caches fill, the largest batch so far is still to come
_FLAT = 0.03  # of its memory a process may gain between the warm start and the end
_DRAIN_S = 30.0
LEAST_MINUTES = 5.0


def soak(site: Site, *, minutes: float, say: Callable[[str], None]) -> list[str]:
    """Let the site work and watch.

    Args:
        site: at work.
        minutes: how long.
        say: takes a line of progress.

    Returns:
        What is wrong, one line each.
    """
    began_s, began_ids = time.monotonic(), len(site.oracle.raised())
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in site.units}
    for look in range(1, _LOOKS + 1):
        time.sleep(max(began_s + look * minutes * 60 / _LOOKS - time.monotonic(), 0.0))
        for name, unit in site.units.items():
            samples[name].append((time.monotonic(), _resident_mib(unit.pid)))
        if look % (_LOOKS // 12) == 0:
            say(", ".join(f"{name} {seen[-1][1]:.1f}" for name, seen in samples.items()) + " MiB")
    raised = site.oracle.raised()
    lasted_s = time.monotonic() - began_s
    by_device = Counter(each.device for each in raised[began_ids:])
    rates = [f"{name} {count / lasted_s:.1f}" for name, count in sorted(by_device.items())]
    say(f"{len(raised)} alerts raised; per second: {', '.join(rates)}")
    deadline_s = time.monotonic() + _DRAIN_S
    while missing := _missing(site, [each.id for each in raised]):
        if time.monotonic() > deadline_s:
            break
        time.sleep(1.0)
    wrong = [f"{len(missing)} alerts lost, such as {missing[0]}"] if missing else []
    for name, seen in samples.items():
        at_s, mib = zip(*(each for each in seen if each[0] > began_s + _WARM_S), strict=True)
        slope = statistics.linear_regression(at_s, mib).slope
        gained = slope * (at_s[-1] - at_s[0]) / statistics.fmean(mib)
        say(f"{name}: {statistics.fmean(mib):.1f} MiB, {slope * 3600:+.2f} MiB/h")
        if gained > _FLAT:
            wrong.append(f"{name} has grown by {gained:.1%}, at {slope * 3600:.2f} MiB/h")
        if site.units[name].starts > 1:
            wrong.append(f"{name} was started {site.units[name].starts} times")
    return wrong


def _missing(site: Site, ids: list[str]) -> list[str]:
    at_ns = oracle.stored(site.store).at_ns
    return [name for name in ids if name not in at_ns]


def _resident_mib(pid: int) -> float:
    """Of a process; a broker's own memory counts as well."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    kib = next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1]
    return int(kib) / 1024
