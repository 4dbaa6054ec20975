"""A network per unit, joined by a bridge; packets are dropped inside the unit's own.

Without a sandbox everybody sits on the loopback address and nothing can be dropped.
"""

from __future__ import annotations

import json
import subprocess

_TABLE = "inet chaos"
_HUB = "10.99.0.1"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _nft(name: str, *words: str) -> str:
    return _run(*inside(name), "nft", *words)


def inside(name: str) -> list[str]:
    """The words before a command that is to run in a unit's network."""
    return ["nsenter", f"--net=/run/netns/{name}", "--"]


class Network:
    """Where units live; `hub` is the address at which the harness listens for them."""

    def __init__(self, *, is_real: bool) -> None:
        self._is_real = is_real
        self._count = 0
        self.hub = _HUB if is_real else "127.0.0.1"
        if is_real:
            _run("ip", "link", "add", "hub", "type", "bridge")
            _run("ip", "addr", "add", f"{_HUB}/24", "dev", "hub")
            _run("ip", "link", "set", "hub", "up")

    def add(self, name: str) -> list[str]:
        """A network for a unit; the words to put before its command."""
        if not self._is_real:
            return []
        self._count += 1
        link = f"unit{self._count}"
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", link, "master", "hub", "up")
        _run("ip", "-n", name, "addr", "add", f"10.99.0.{10 + self._count}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        return inside(name)

    def drop(self, name: str, percent: int) -> None:
        """Drop so many of the packets in and out of a unit's network, at random."""
        rules = [f"add table {_TABLE}"]
        some = f"numgen random mod 100 < {percent} " if percent < 100 else ""
        for hook, side in (("input", "iifname"), ("output", "oifname")):
            chain = f"{_TABLE} {hook}"
            rules += [
                f"add chain {chain} {{ type filter hook {hook} priority 0; }}",
                f"add rule {chain} {side} eth0 {some}counter drop",
            ]
        _nft(name, "\n".join(rules))

    def dropped(self, name: str) -> int:
        """Packets dropped since `drop`."""
        return sum(
            expression["counter"]["packets"]
            for entry in json.loads(_nft(name, "-j", f"list table {_TABLE}"))["nftables"]
            for expression in entry.get("rule", {}).get("expr", [])
            if "counter" in expression
        )

    def mend(self, name: str) -> None:
        """Let all packets pass again."""
        _nft(name, f"delete table {_TABLE}")
