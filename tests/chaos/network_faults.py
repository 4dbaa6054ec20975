"""Packets lost, connections that are not what they seem, messages that come twice."""

from __future__ import annotations

import time
from random import Random

from chaos.effect import DEAF_S, EFFECT_S, Act, NoEffectError
from chaos.rogue import steal_id
from chaos.site import Site
from chaos.waiting import until


def drop(site: Site, target: str, rng: Random, seconds: float) -> str:
    """Packets lost at random, in both directions: some, most, or all of them."""
    percent = rng.choice((20, 50, 100))
    site.network.drop(target, percent)
    try:
        time.sleep(seconds)
        dropped = until(lambda: site.network.dropped(target), "a dropped packet", within_s=EFFECT_S)
    finally:
        site.network.mend(target)
    return f"{percent} %, {dropped} packets dropped"


def connections(do: str) -> Act:
    """A command to the proxy that harms the connections there are, once."""

    def act(site: Site, target: str, _rng: Random, seconds: float) -> str:
        made = site.proxy.tell(target, "pass")["made"]
        reached = until(
            lambda: site.proxy.tell(target, do)["reached"], "a connection", within_s=DEAF_S
        )
        time.sleep(seconds)
        again = site.proxy.tell(target, "pass")["made"] - made
        return f"{reached} connection, {again} made since"

    return act


def stall(site: Site, target: str, _rng: Random, seconds: float) -> str:
    """No byte passes for a while, then all that was held back at once."""
    before = site.proxy.tell(target, "stall")["touched"]
    try:
        time.sleep(seconds)
        return f"{_touched(site, target, before)} bytes held"
    finally:
        site.proxy.tell(target, "pass")


def delay(site: Site, target: str, rng: Random, seconds: float) -> str:
    """A slow line: 1500 bytes at a time, each after a while."""
    delay_s = rng.uniform(0.1, 0.5)
    before = site.proxy.tell(target, "delay", seconds=delay_s)["touched"]
    try:
        time.sleep(seconds)
        return f"{_touched(site, target, before)} bytes, each {delay_s:.1f} s late"
    finally:
        site.proxy.tell(target, "pass")


def _touched(site: Site, target: str, before: int) -> int:
    return until(
        lambda: site.proxy.tell(target, "ask")["touched"] - before, "bytes", within_s=EFFECT_S
    )


def repeat(site: Site, _target: str, _rng: Random, seconds: float) -> str:
    """What was delivered long ago comes again, last first, each twice."""
    if not (said := site.rogue.repeat(seconds)):
        raise NoEffectError("nothing heard, or the broker took nothing")
    return f"{said} copies, backwards"


def steal(site: Site, target: str, _rng: Random, seconds: float) -> str:
    """A copy of the device connects in its name, again and again; the broker obeys."""
    before = site.units["broker"].log.stat().st_size
    times = steal_id(site.port, target, site.plant.context(target), seconds)
    if not site.units["broker"].said(f"{target} already connected", after=before):
        raise NoEffectError(f"connected {times} times, but drove nobody out")
    return f"{times} times"
