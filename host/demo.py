"""`vedette demo`: the whole suite on one machine, every role a process of its own.

Prepare what a device needs, start broker, collector and device service, let something happen in
front of the device, and watch the alert arrive.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from host import faces, machine, show
from host.broker import BrokerError
from host.lives import LifeError
from host.phases import DemoError, Phases
from host.piece import Piece
from host.watch import Page, serving, watch

_PIECES = {"machine_condition": machine.prepare, "faces": faces.prepare}

_EXAMPLE = """examples:
  vedette demo                  watch it, look at the page, Ctrl-C ends it
  vedette demo --once --json    end by itself and print a JSON summary
  vedette demo faces            people walk by, some of them enrolled

machine_condition: trains, exports, and replays a bearing of $VEDETTE_DATA/pronostia that the
model has not seen, or, without that data, a simulated machine.
faces: enrols some people of $VEDETTE_DATA/faces_caltech_in_out with bundles/faces, and films them
and others, in other pictures.

Everything it makes lies in one folder, whose name it prints.

exit codes: 0 done, 1 something failed, an alert was lost or somebody was taken for another, 2 wrong
usage, 130 interrupted
"""


def main(verb: str, argv: list[str]) -> int:
    """Run the demo; the exit code is returned."""
    asked = _parse(verb, argv)
    # a SIGTERM must end the children too: let it take the way of Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    folder = asked.dir or Path(tempfile.mkdtemp(prefix="vedette-demo-"))
    try:
        is_right = _run(asked, folder.resolve(), console)
    except (DemoError, BrokerError, LifeError, OSError) as error:
        said = f"vedette {verb}: {error}; logs in {folder}"
        console.print(said, style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if is_right else 1


def _run(asked: argparse.Namespace, folder: Path, console: Console) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    phases = Phases(folder, {})
    piece = _PIECES[asked.workload](asked, phases, console)
    console.rule("3  deploy and watch")
    with serving(phases, embedded=asked.embedded) as (brokered, page):
        console.print(f"broker {brokered.name}, page [bold link={page.url}]{page.url}[/]")
        with phases.timed("watch"):
            device, evidence = watch(phases, piece, brokered, page, console)
        with phases.timed("summary"):
            summary = _summarise(device, piece, page)
        summary |= {"evidence": evidence, "source": piece.name}
        summary |= {"broker": brokered.name, "mqtt": brokered.mqtt_version}
        summary |= {"page": page.url, "folder": str(folder), "seconds": phases.seconds}
        console.print(show.verdict(summary, piece))
        if asked.json:
            sys.stdout.write(json.dumps(summary) + "\n")
            sys.stdout.flush()
        if not asked.once:
            console.print(f"page   {page.url}\nCtrl-C ends it", soft_wrap=True)
            with suppress(KeyboardInterrupt):
                signal.pause()
    return not (summary["lost"] or summary["duplicates"]) and piece.is_right(summary)


def _summarise(device: dict[str, Any], piece: Piece, page: Page) -> dict[str, Any]:
    stored = page.get("api/summary")
    latency_ms = stored["latency_ms"]["all"]
    return {
        "windows": device["windows"],
        "alerts_raised": device["alerts"],
        "alerts_stored": stored["alerts"],
        "duplicates": stored["duplicates"],
        "redelivered": stored["redelivered"],
        "lost": device["alerts"] - stored["alerts"],
        "latency_ms": {name: latency_ms[name] for name in ("p50", "p99", "count")},
        **piece.summarise([alert for alert in page.alerts() if alert["state"] == "raised"]),
    }


def _parse(verb: str, argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        description="The main job, end to end, on this machine, in about a minute.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    workload, *_ = _PIECES
    said = f"what is shown: {' or '.join(_PIECES)} (default: {workload})"
    add("workload", nargs="?", choices=[*_PIECES], default=workload, help=said)
    add("--once", action="store_true", help="end by itself when all has been seen")
    add("--json", action="store_true", help="print the summary as JSON on stdout")
    add("--simulate", action="store_true", help="a simulated machine in any case")
    add("--embedded", action="store_true", help="not Mosquitto, even if installed")
    add("--seed", type=int, default=0, help="of all that is drawn by chance (default: 0)")
    add("--dir", type=Path, help="where all files go (default: a fresh folder)")
    asked = parser.parse_args(argv)
    if asked.simulate and asked.workload == "faces":
        parser.error("--simulate: there are simulated machines, and no simulated people")
    return asked
