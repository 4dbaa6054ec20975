"""The device service under what a supervisor, a disk and the memory can do to it.

Real processes, a real broker, and a supervisor that does what systemd does with the unit.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_collector import Collector
from fakes import tiny_bundle
from real_broker import Mosquitto, until
from systemd import Unit

pytestmark = [pytest.mark.slow, pytest.mark.broker]

CONFIG = """
[device]
name = "d1"
state_dir = {state_dir}
health_interval_s = 1.0

[mqtt]
host = "127.0.0.1"
port = {port}
resend_s = 0.5

[[pipeline]]
name = "p"
bundle = "bundle"
engine = "onnx"
learn_windows = 2

[pipeline.source]
type = "simulate"
windows = 100000
hop_s = 1.0
speed = {speed}
"""

# every judged window is an alert, raised and cleared in turn
CHATTY = """
import contract.policy, contract.messages, itertools
turns = itertools.count()
def update(self, found, t_ns):
    if not found:
        return ()
    self.is_raised = not self.is_raised
    return (contract.messages.Alert(
        workload="w", state="raised" if self.is_raised else "cleared", label="x", score=2.0,
        threshold=1.0, hits=1, of=1),)
contract.policy.Debounce.update = update
"""
# every judged window is far from normal; the policy is the real one
DEFECT = """
import edge.pipeline
from contract.spec import Detection
judge = edge.pipeline.Pipeline.__call__
edge.pipeline.Pipeline.__call__ = lambda self, window: tuple(
    Detection(d.label, score=99.0) for d in judge(self, window))
"""
# what a test breaks, it breaks in the first life only
ONCE = """
import pathlib
marker = pathlib.Path({marker!r})
is_first = not marker.exists()
marker.touch()
"""


class Site:
    """A config, a broker and a collector for one device."""

    def __init__(self, folder: Path, mosquitto: Mosquitto, collector: Collector) -> None:
        self.folder, self.mosquitto, self.collector = folder, mosquitto, collector
        self.state_dir = folder / "state"
        self.once = ONCE.format(marker=str(folder / "lived"))

    def unit(self, *, speed: float = 20.0, state_dir: Path | None = None, **options) -> Unit:
        """The service, started."""
        self.state_dir = state_dir or self.state_dir
        path = self.folder / "edge.toml"
        path.write_text(
            CONFIG.format(
                port=self.mosquitto.port, speed=speed, state_dir=json.dumps(str(self.state_dir))
            )
        )
        return Unit(path, **options)

    def arrived(self) -> set[str]:
        return set(self.collector.ids("alert"))

    def assert_nothing_lost(self, unit: Unit) -> None:
        """Every alert that the service has said to have arrives; twice is the same to the store."""
        said = re.findall(r"alert (\w+) (?:stored|held) as", unit.log())
        assert said
        until(lambda: set(said) <= self.arrived())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("faults") / "bundle")


@pytest.fixture
def site(tmp_path: Path, bundle: Path) -> Iterator[Site]:
    (tmp_path / "bundle").symlink_to(bundle)
    mosquitto = Mosquitto(tmp_path / "broker")
    collector = Collector(mosquitto.host, mosquitto.port)
    yield Site(tmp_path, mosquitto, collector)
    collector.close()
    mosquitto.stop()


class TestWatchdog:
    """Fed by the progress of the pipelines and by nothing else."""

    def test_ready_comes_after_the_bundles_have_proved_themselves(self, site: Site):
        """Until then it is starting, however long that takes."""
        slow = (
            "import edge.bundle, time, sys\n"
            "open_bundle = edge.bundle.Bundle.open\n"
            "def slowly(*a, **k):\n"
            "    time.sleep(1.0)\n"
            "    bundle = open_bundle(*a, **k)\n"
            "    print('proved', file=sys.stderr, flush=True)\n"
            "    return bundle\n"
            "edge.bundle.Bundle.open = slowly"
        )
        with site.unit(prelude=slow) as unit:
            until(lambda: "proved" in unit.log() or unit.now.words)
            assert unit.now.words == []
            until(lambda: unit.now.is_ready)
            until(lambda: unit.now.fed > 2)
            assert unit.now.ready_s > 1.0
            until(lambda: unit.now.status == "pipelines: 1 watching; broker connected")

    @pytest.mark.parametrize(
        "place",
        [
            "edge.pipeline.run_rows",
            "contract.policy.Debounce.update",
        ],
    )
    def test_a_pipeline_stuck_in_its_model_or_policy_is_restarted(self, site: Site, place: str):
        """The log says which one, and where it hung; the next life goes on."""
        module, _, name = place.rpartition(".")
        module, _, owner = module.rpartition(".") if "Debounce" in place else (module, "", "")
        hang = (
            f"{site.once}\n"
            "import edge.watcher, edge.service, time, itertools\n"
            "edge.watcher._STALL_S = edge.watcher._MAX_BACKOFF_S = 0.5\n"
            f"import {module} as module\n"
            f"owner = getattr(module, {owner!r}) if {owner!r} else module\n"
            f"real, turns = getattr(owner, {name!r}), itertools.count()\n"
            "def hang_for_ever(*a):\n"
            "    if is_first and next(turns) > 20:\n"
            "        while True: time.sleep(1)\n"
            "    return real(*a)\n"
            f"setattr(owner, {name!r}, hang_for_ever)\n"
        )
        with site.unit(prelude=hang) as unit:
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready, within_s=60.0)
            first = unit.lives[0]
            assert first.killed_by_watchdog
            assert first.exit == -signal.SIGABRT
            assert first.text().count("no progress in p") == 1
            assert "in hang_for_ever" in first.text()
            until(lambda: unit.now.fed > 5)
            assert len(unit.lives) == 2

    def test_a_stop_for_longer_than_the_watchdog_is_a_restart_with_nothing_lost(self, site: Site):
        """SIGSTOP: not even SIGABRT is heard."""
        with site.unit(prelude=CHATTY) as unit:
            until(lambda: len(site.arrived()) > 10)
            unit.now.process.send_signal(signal.SIGSTOP)
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready, within_s=60.0)
            assert unit.lives[0].exit == -signal.SIGKILL
            before = len(site.arrived())
            until(lambda: len(site.arrived()) > before + 10)
            unit.stop()
        site.assert_nothing_lost(unit)

    def test_a_short_stop_is_slept_over(self, site: Site):
        """SIGSTOP, then SIGCONT before anybody minds."""
        with site.unit(prelude=CHATTY, watchdog_s=4.0) as unit:
            until(lambda: len(site.arrived()) > 10)
            unit.now.process.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
            before = len(site.arrived())
            unit.now.process.send_signal(signal.SIGCONT)
            until(lambda: len(site.arrived()) > before + 10)
            time.sleep(4.0)
            assert len(unit.lives) == 1
            assert unit.now.is_ready
            unit.stop()
        site.assert_nothing_lost(unit)


class TestEnds:
    """How it ends, and what is left then."""

    def test_sigterm_ends_it_within_two_seconds_and_says_stopped(self, site: Site):
        """In the middle of a stream of alerts; what was not acknowledged waits on disk."""
        with site.unit(prelude=CHATTY) as unit:
            until(lambda: len(site.arrived()) > 10)
            site.collector.acknowledges = False
            time.sleep(0.5)
            code, took_s = unit.stop()
            assert code == 0
            assert took_s < 2.5  # two seconds, and Python ending on a busy machine
            assert "STOPPING=1" in unit.now.words
            until(lambda: site.collector.states()[-1] == "stopped")
        site.collector.acknowledges = True
        with site.unit(prelude=CHATTY) as again:
            until(lambda: again.now.is_ready)
            site.assert_nothing_lost(unit)

    def test_an_alert_raised_before_sigkill_is_not_raised_again_after_it(self, site: Site):
        """The policy goes on from its state, which was stored with the alert."""
        with site.unit(prelude=DEFECT) as unit:
            until(site.arrived)
            unit.now.process.kill()
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready)
            health = len(site.collector.ids("health"))
            until(lambda: len(site.collector.ids("health")) > health + 3)
            assert len(site.arrived()) == 1
            latest = [m for m in site.collector.got if m.kind == "health"][-1]
            assert latest.body.pipelines["p"].windows > 10
            unit.stop()
        assert len(site.arrived()) == 1

    @pytest.mark.parametrize(
        ("place", "thread"),
        [
            ("edge.publisher.Publisher._drain", "publisher"),
            ("edge.publisher.Publisher.run", "publisher"),
            ("edge.watcher.Watcher._tell", "watch p"),
            ("edge.watcher.Watcher.run", "watch p"),
            ("edge.service.Service.report_health", "main"),
        ],
    )
    def test_a_thread_that_dies_ends_the_process_with_1_and_says_why(
        self, site: Site, place: str, thread: str
    ):
        """Whether it dies at its start or in its work; the next life goes on."""
        module, owner, name = place.rsplit(".", 2)
        die = (
            f"{CHATTY}\n{site.once}\nimport {module} as module\n"
            f"real = module.{owner}.{name}\n"
            "def die(*a, **k):\n"
            "    if is_first: raise ZeroDivisionError('a bug')\n"
            "    return real(*a, **k)\n"
            f"module.{owner}.{name} = die\n"
        )
        with site.unit(prelude=die) as unit:
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready)
            assert unit.lives[0].exit == 1
            assert f"thread {thread} died" in unit.lives[0].text()
            assert "ZeroDivisionError: a bug" in unit.lives[0].text()
            until(lambda: len(site.arrived()) > 10)
            assert len(unit.lives) == 2
            unit.stop()
        site.assert_nothing_lost(unit)

    def test_an_end_that_hangs_is_made_by_the_kernel(self, site: Site):
        """A dying thread leaves a lock behind that the others wait for."""
        hang = (
            f"{site.once}\nimport edge.queue, edge.watcher\n"
            "def die(self, *a):\n"
            "    if is_first:\n"
            "        self._send.__self__._queue._lock.acquire()\n"
            "        raise ZeroDivisionError('a bug')\n"
            "edge.watcher.Watcher._score = die\n"
        )
        with site.unit(prelude=hang, watchdog_s=60.0) as unit:
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready)
            assert unit.lives[0].exit == -signal.SIGALRM
            assert "a bug" in unit.lives[0].text()
