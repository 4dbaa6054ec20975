"""`vedette demo`: the whole suite on one machine, every role a process of its own.

Train, export through the gate, start broker, collector and device service, let a machine run to
failure in front of the device, and watch the alert arrive.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.live import Live

from host import broker, lives, show

_REPLAY_S = 12.0  # a life of hours passes in about this long
_START_S = 20.0
_STOP_S = 5.0

_EXAMPLE = """examples:
  vedette demo                  watch it, look at the page, Ctrl-C ends it
  vedette demo --once --json    end by itself and print a JSON summary

Replays a bearing of $VEDETTE_DATA/pronostia that the model has not seen, or, without that data, a
simulated machine. Everything it makes lies in one folder, whose name it prints.

exit codes: 0 done, 1 something failed or an alert was lost, 2 wrong usage, 130 interrupted
"""


class DemoError(RuntimeError):
    """A phase failed; the text says which and where its log is."""


@dataclass(frozen=True)
class Phases:
    """Runs the roles as processes, and remembers how long each phase took."""

    folder: Path
    seconds: dict[str, float]

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of the block to `seconds`."""
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 2)

    def finish(self, *arguments: str) -> dict[str, Any]:
        """Run one verb to its end, its progress shown; the JSON object it printed.

        Raises:
            DemoError: it failed.
        """
        done = subprocess.run(_vedette(*arguments), stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise DemoError(f"vedette {arguments[0]} failed with exit code {done.returncode}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one verb; what it logs goes to a file, what it prints to the pipe."""
        with self._log(arguments[0]) as log:
            return subprocess.Popen(
                _vedette(*arguments), stdout=subprocess.PIPE, stderr=log, text=True
            )

    def _log(self, verb: str) -> IO[bytes]:
        return (self.folder / f"{verb}.log").open("wb")


def main(verb: str, argv: list[str]) -> int:
    """Run the demo; the exit code is returned."""
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        description="The main job, end to end, on this machine, in about a minute.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--once", action="store_true", help="end after the machine has failed")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")
    parser.add_argument("--simulate", action="store_true", help="a simulated machine in any case")
    parser.add_argument("--embedded", action="store_true", help="not Mosquitto, even if installed")
    parser.add_argument(
        "--seed", type=int, default=0, help="of training and simulator (default: 0)"
    )
    parser.add_argument("--dir", type=Path, help="where all files go (default: a fresh folder)")
    asked = parser.parse_args(argv)
    # a SIGTERM must end the children too: let it take the way of Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    folder = asked.dir or Path(tempfile.mkdtemp(prefix="vedette-demo-"))
    try:
        summary = _run(asked, folder.resolve(), console)
    except (DemoError, broker.BrokerError, lives.LifeError, OSError) as error:
        said = f"vedette {verb}: {error}; logs in {folder}"
        console.print(said, style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 1 if summary["lost"] or summary["duplicates"] else 0


def _run(asked: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    phases = Phases(folder, {})
    run, bundle = folder / "run", folder / "bundle"
    data = ["--data", str(_without_recordings(folder))] if asked.simulate else []
    console.rule("1  train on the healthy starts of other machines")
    with phases.timed("train"):
        seed = ["--seed", str(asked.seed)]
        phases.finish("train", "machine_condition", "--out", str(run), *data, *seed, "--json")
    console.rule("2  quantize, prove, pack")
    with phases.timed("export"):
        phases.finish("export", str(run), "--out", str(bundle), "--json")
    life = lives.choose(run, simulate=asked.simulate, seed=asked.seed, folder=folder)
    console.rule("3  deploy and watch")
    with _serving(phases, folder, embedded=asked.embedded) as (brokered, page):
        console.print(f"broker {brokered.name}, page [bold link={page}]{page}[/]", soft_wrap=True)
        with phases.timed("watch"):
            device = _watch(phases, folder, life, brokered, page, console)
        with phases.timed("summary"):
            summary = _summarise(device, life, page, bundle)
        summary |= {"source": life.name, "broker": brokered.name, "mqtt": brokered.mqtt_version}
        summary |= {"page": page, "folder": str(folder), "seconds": phases.seconds}
        console.print(show.verdict(summary))
        if asked.json:
            sys.stdout.write(json.dumps(summary) + "\n")
            sys.stdout.flush()
        console.print(f"report {run}/report.html", soft_wrap=True)
        if not asked.once:
            console.print(f"page   {page}\nCtrl-C ends it", soft_wrap=True)
            with suppress(KeyboardInterrupt):
                signal.pause()
    return summary


def _without_recordings(folder: Path) -> Path:
    """A data root that holds no data set, so that the recipe simulates all of its machines."""
    root = folder / "no-recordings"
    root.mkdir(exist_ok=True)
    return root


@contextmanager
def _serving(
    phases: Phases, folder: Path, *, embedded: bool
) -> Iterator[tuple[broker.Broker, str]]:
    """Broker and collector, for the length of the block; the address of the page."""
    with phases.timed("start"):
        brokered = broker.start(folder / "broker", embedded=embedded)
        try:
            collecting = phases.begin(
                "collect",
                *("--port", str(brokered.port), "--mqtt-version", brokered.mqtt_version),
                *("--db", str(folder / "collector.db"), "--http-port", "0", "--json"),
            )
        except BaseException:
            brokered.stop()
            raise
    try:
        assert collecting.stdout is not None
        line = collecting.stdout.readline()
        if not line:
            raise DemoError("the collector ended at once")
        page = json.loads(line)["url"]
        _wait_until_healthy(page)
        yield brokered, page
    finally:
        _end(collecting)
        brokered.stop()


def _watch(
    phases: Phases,
    folder: Path,
    life: lives.Life,
    brokered: broker.Broker,
    page: str,
    console: Console,
) -> dict[str, Any]:
    """The device service from the first window to the last acknowledged alert; its own summary."""
    config = folder / "edge.toml"
    config.write_text(_edge_toml(life, brokered), encoding="utf-8")
    watching = phases.begin("run", "--config", str(config), "--json")
    try:
        with Live(console=console, refresh_per_second=4) as live:
            is_over = False
            while not is_over:
                is_over = watching.poll() is not None
                live.update(show.table(_devices(page), _alerts(page), life))
                time.sleep(0.25)
        assert watching.stdout is not None
        printed = watching.stdout.read().splitlines()
    finally:
        _end(watching)
    if watching.returncode or not printed:
        raise DemoError(f"the device service failed with exit code {watching.returncode}")
    device: dict[str, Any] = json.loads(printed[-1])
    return device


def _edge_toml(life: lives.Life, brokered: broker.Broker) -> str:
    return f"""\
[device]
name = "demo-device"
state_dir = "state"
health_interval_s = 1.0

[mqtt]
host = "127.0.0.1"
port = {brokered.port}
version = "{brokered.mqtt_version}"

[[pipeline]]
name = "bearing"
bundle = "bundle"
learn_windows = {life.learn_windows}
score_interval_s = 0.0

[pipeline.source]
{life.source_toml}
speed = {life.length_s / _REPLAY_S:.1f}
"""


def _summarise(device: dict[str, Any], life: lives.Life, page: str, bundle: Path) -> dict[str, Any]:
    stored = _get(page, "api/summary")
    alerts = [a for a in _alerts(page) if a["state"] == "raised"]
    first = min((life.fractions[alert["window"]] for alert in alerts), default=None)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    stages = manifest["stages"].values()
    return {
        "windows": device["windows"],
        "learn_windows": life.learn_windows,
        "alerts_raised": device["alerts"],
        "alerts_stored": stored["alerts"],
        "duplicates": stored["duplicates"],
        "redelivered": stored["redelivered"],
        "lost": device["alerts"] - stored["alerts"],
        "first_alert_fraction_of_life": None if first is None else round(first, 4),
        "onset_fraction_of_life": life.onset,
        "latency_ms": {name: stored["latency_ms"]["all"][name] for name in ("p50", "p99", "count")},
        "model": {
            "float_bytes": sum(manifest["float_bytes"].values()),
            "int8_bytes": sum(stage["tflite"]["bytes"] for stage in stages),
            "parity": manifest["metrics"],
        },
    }


def _vedette(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vedette", *arguments]


def _get(page: str, path: str) -> Any:
    with urllib.request.urlopen(page + path, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def _devices(page: str) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = _get(page, "api/devices")["devices"]
    return devices


def _alerts(page: str) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = _get(page, "api/alerts?kind=alert")["alerts"]
    return alerts


def _wait_until_healthy(page: str) -> None:
    """Until the collector has its broker: what is sent before would wait for a resend."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        try:
            _get(page, "healthz")
        except OSError:  # also an answer of 503
            time.sleep(0.05)
        else:
            return
    raise DemoError(f"the collector was not ready within {_START_S:.0f} s")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
