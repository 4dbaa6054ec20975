"""The device service under what a supervisor, a disk and the memory can do to it.

Real processes, a real broker, and a supervisor that does what systemd does with the unit.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_collector import Collector
from fakes import tiny_bundle
from real_broker import Mosquitto, until
from systemd import Unit

from edge.errors import BusyError
from edge.outbox import Outbox

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

SECOND = """
[[pipeline]]
name = "camera"
bundle = "bundle"
engine = "onnx"

[pipeline.source]
type = "camera"
url = "{url}"
"""

# every judged window is an alert, raised and cleared in turn
CHATTY = """
import contract.policy, contract.messages
def update(self, found, t_ns):
    if not found:
        return ()
    self.resume(b"" if self.state() else b"alarm")
    return (contract.messages.Alert(
        workload="w", state="raised" if self.state() else "cleared", label="x", score=2.0,
        threshold=1.0, hits=1, of=1),)
contract.policy.Latch.update = update
"""
# every judged window is far from normal; the policy is the real one
DEFECT = """
import edge.pipeline
from contract.spec import Detection
judge = edge.pipeline.Pipeline.__call__
edge.pipeline.Pipeline.__call__ = lambda self, window: tuple(
    Detection(d.label, score=99.0, level=d.level) for d in judge(self, window))
"""
# a disk is tried again ten times a second
QUICK = "import edge.service; edge.service._DISK_S = 0.1"
CALM = "import edge.queue; edge.queue._CALM_S = 1.0"
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
        return Unit(self.write_config(speed=speed), **options)

    def write_config(self, *, speed: float = 20.0) -> Path:
        path = self.folder / "edge.toml"
        state_dir = json.dumps(str(self.state_dir))
        path.write_text(CONFIG.format(port=self.mosquitto.port, speed=speed, state_dir=state_dir))
        return path

    def arrived(self) -> set[str]:
        return set(self.collector.ids("alert"))

    def assert_nothing_lost(self, unit: Unit) -> None:
        """Every alert that the service has said to have arrives; twice is the same to the store.

        Or waits on the disk, where the service has been stopped in the middle of it.
        """
        said = set(re.findall(r"alert (\w+) (?:stored|held) as", unit.log()))
        assert said
        with contextlib.suppress(BusyError):  # a service is running that will send them
            outbox = Outbox(self.state_dir / "outbox.db", max_bytes=64 << 20)
            said -= {row.id for row in outbox.waiting(after=0, limit=100_000)}
            outbox.close()
        until(lambda: said <= self.arrived())


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can be filled."""
    yield from _mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs")


@pytest.fixture
def sd_card(tmp_path: Path) -> Iterator[Path]:
    """ext4 on a block device of its own, which becomes read-only at an error, as on a board."""
    image = tmp_path / "card.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    yield from _mounted(tmp_path / "card", "-o", "loop,errors=remount-ro", str(image))


def _mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(["mount", *arguments, str(folder)], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"mounting needs root: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Somebody else takes all the space there is, also what is given back for a while."""
    hog = folder / "hog"
    with hog.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return hog


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
            until(lambda: unit.now.words)
            assert unit.now.status == "the bundle of p proves itself"
            until(lambda: "READY=1" in unit.now.words)
            assert "proved" in unit.log()
            assert unit.now.ready_s > 1.0
            until(lambda: unit.now.fed > 2)
            until(lambda: unit.now.status == "pipelines: 1 watching; broker connected")

    @pytest.mark.parametrize(
        "place",
        [
            "edge.pipeline.run_rows",
            "contract.policy.Latch.update",
        ],
    )
    def test_a_pipeline_stuck_in_its_model_or_policy_is_restarted(self, site: Site, place: str):
        """The log says which one, and where it hung; the next life goes on."""
        module, _, name = place.rpartition(".")
        module, _, owner = module.rpartition(".") if "Latch" in place else (module, "", "")
        hang = (
            f"{site.once}\n"
            "import edge.watcher, edge.service, time, itertools\n"
            "edge.watcher._STALL_S = edge.watcher._PATIENCE_S = 0.5\n"
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

    def test_a_sensor_that_hangs_stops_neither_the_feeding_nor_the_others(self, site: Site):
        """A camera that takes the connection and never says a word."""
        impatient = (
            f"{CHATTY}\nimport edge.capture, edge.watcher\n"
            "edge.capture.OPEN_S = 1.0\nedge.watcher._PATIENCE_S = 6.0\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as camera:
            url = f"http://127.0.0.1:{camera.getsockname()[1]}/"
            path = site.write_config()
            path.write_text(path.read_text() + SECOND.format(url=url))
            with Unit(path, prelude=impatient) as unit:
                until(lambda: "trying again" in unit.log())
                until(lambda: healths(site)[-1].pipelines["camera"].state == "waiting")
                time.sleep(10.0)  # longer than a pipeline may be without progress
                assert len(unit.lives) == 1
                assert "no progress" not in unit.log()
                assert "1 waiting" in unit.now.status
                alerts(site, 10)

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
            until(lambda: len(site.arrived()) == 2)  # a notice and an alarm
            unit.now.process.kill()
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready)
            health = len(site.collector.ids("health"))
            until(lambda: len(site.collector.ids("health")) > health + 3)
            assert len(site.arrived()) == 2
            latest = [m for m in site.collector.got if m.kind == "health"][-1]
            assert latest.body.pipelines["p"].windows > 10
            unit.stop()
        assert len(site.arrived()) == 2

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


class TestMemory:
    """When an allocation fails, nobody goes on half dead."""

    @pytest.mark.parametrize(
        "leak",
        [
            pytest.param("np.ones(8 << 20)", id="large"),
            pytest.param("[bytes(100) for _ in range(100_000)]", id="small"),
        ],
    )
    def test_out_of_memory_ends_in_a_restart_with_nothing_lost(self, site: Site, leak: str):
        """As when the kernel kills at `MemoryMax=`, but with a chance to do it wrong."""
        bloat = (
            f"{CHATTY}\n{site.once}\nimport resource, itertools, numpy as np, edge.watcher\n"
            "kept, turns = [], itertools.count()\n"
            "score = edge.watcher.Watcher._score\n"
            "def leak(*a):\n"
            "    if is_first and next(turns) == 20:\n"
            "        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
            "    if len(kept) or is_first and next(turns) > 20:\n"
            f"        while True: kept.append({leak})\n"
            "    score(*a)\n"
            "edge.watcher.Watcher._score = leak\n"
        )
        with site.unit(prelude=bloat, watchdog_s=30.0) as unit:
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready, within_s=60.0)
            assert unit.lives[0].exit in {1, -signal.SIGALRM, -signal.SIGABRT}
            assert not unit.lives[0].killed_by_watchdog
            assert "MemoryError" in unit.lives[0].text()
            before = len(site.arrived())
            until(lambda: len(site.arrived()) > before + 10)
            assert "damaged" not in unit.log()
            unit.stop()
        site.assert_nothing_lost(unit)

    def test_an_idle_service_fits_into_the_memory_of_its_unit_three_times(self, site: Site):
        """ONNX Runtime, one pipeline."""
        with site.unit():
            until(lambda: len(site.collector.ids("health")) > 5)
            latest = [m for m in site.collector.got if m.kind == "health"][-1]
            assert 10e6 < latest.body.memory_bytes < 512 * 2**20 / 3


def alerts(site: Site, more: int) -> None:
    """Wait for so many more alerts at the collector."""
    before = len(site.arrived())
    until(lambda: len(site.arrived()) > before + more)


def healths(site: Site) -> list:
    return [message.body for message in site.collector.got if message.kind == "health"]


class TestFullDisk:
    """`state_dir` has no byte left; inference goes on."""

    def test_alerts_are_held_sent_from_memory_and_stored_when_there_is_space(
        self, site: Site, small_disk: Path
    ):
        """The collector hears all of it; the log does not grow with every window."""
        with site.unit(prelude=f"{CHATTY}{CALM}", state_dir=small_disk / "s", speed=50.0) as unit:
            alerts(site, 10)
            site.collector.acknowledges = False  # so that the outbox grows
            until(lambda: fill(small_disk) and unit.log().count("held as") > 20)
            alerts(site, 50)
            assert healths(site)[-1].outbox.held > 10
            assert healths(site)[-1].disk_free_bytes == 0
            (small_disk / "hog").unlink()
            site.collector.acknowledges = True
            until(lambda: "takes all messages again" in unit.log())
            alerts(site, 10)
            until(lambda: healths(site)[-1].outbox.held == 0)
            code, _ = unit.stop()
        assert code == 0
        assert len(unit.lives) == 1
        assert json.loads(unit.log().splitlines()[-1])["dropped_messages"].get("alert", 0) == 0
        troubles = [line for line in unit.log().splitlines() if line.startswith(("ERR", "WARN"))]
        assert len(troubles) < 10, troubles[:50]
        site.assert_nothing_lost(unit)

    def test_nothing_is_lost_while_disk_and_collector_are_both_away(
        self, site: Site, small_disk: Path
    ):
        """Alerts wait in memory, and go to the disk as soon as it takes them."""
        with site.unit(prelude=f"{CHATTY}{CALM}", state_dir=small_disk / "s", speed=50.0) as unit:
            alerts(site, 10)
            site.collector.acknowledges = False
            until(lambda: fill(small_disk) and unit.log().count("held as") > 100)
            (small_disk / "hog").unlink()
            until(lambda: "takes all messages again" in unit.log())
            unit.now.process.kill()  # what is stored by now survives even this
            said = re.findall(r"alert (\w+) held as", unit.log())
            site.collector.acknowledges = True
            until(lambda: set(said) <= site.arrived())
            unit.stop()
        site.assert_nothing_lost(unit)

    def test_a_profile_is_learned_though_it_cannot_be_saved(self, site: Site, small_disk: Path):
        """It serves from memory."""
        hogging = (
            "import edge.profile, pathlib\nfrom contextlib import suppress\n"
            f"disk = pathlib.Path({str(small_disk)!r})\n"
            "add = edge.profile.ProfileMemory.add\n"
            "def full(self, found):\n"
            "    if self._path:  # not while the bundle proves itself\n"
            "        with (disk / 'hog').open('ab', buffering=0) as hog, suppress(OSError):\n"
            "            while True: hog.write(bytes(4096))\n"
            "    add(self, found)\n"
            "edge.profile.ProfileMemory.add = full\n"
        )
        with site.unit(prelude=hogging, state_dir=small_disk / "s") as unit:
            until(lambda: "cannot be saved" in unit.log())
            until(lambda: "1 watching" in unit.now.status)
            assert len(unit.lives) == 1
            assert not (small_disk / "s" / "p.profile.npz").exists()

    def test_a_start_on_a_full_disk_is_no_configuration_error(self, site: Site, small_disk: Path):
        """With what was there before it starts at once; without anything it waits for space."""
        state_dir = small_disk / "s"
        with site.unit(prelude=CHATTY, state_dir=state_dir) as unit:
            alerts(site, 10)
            unit.now.process.kill()
            fill(small_disk)
            until(lambda: len(unit.lives) == 2 and unit.now.is_ready)
            alerts(site, 10)
            unit.stop()
        site.assert_nothing_lost(unit)
        fill(small_disk)
        shutil.rmtree(state_dir)
        state_dir.mkdir()
        fill(small_disk)
        with site.unit(prelude=QUICK, state_dir=state_dir, start_s=3.0) as unit:
            until(lambda: "waiting for the disk" in unit.now.status)
            assert "fix: free space there" in unit.now.status
            time.sleep(4.0)  # longer than a start may take: it says that it is still waiting
            assert (len(unit.lives), unit.now.is_ready) == (1, False)
            assert unit.log().count("waiting for it") == 1
            (small_disk / "hog").unlink()
            until(lambda: unit.now.is_ready)
            assert len(unit.lives) == 1


class TestReadOnly:
    """The file system has been mounted, or has become, read-only."""

    def test_a_start_waits_until_it_can_be_written(self, site: Site, small_disk: Path):
        """No exit, no restart, no write; one line in the log."""
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        with site.unit(prelude=QUICK, state_dir=small_disk / "s") as unit:
            until(lambda: "waiting for the disk" in unit.now.status)
            assert "Read-only file system; fix: " in unit.now.status
            subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
            until(lambda: unit.now.is_ready)
            assert len(unit.lives) == 1
            assert unit.log().count("waiting for it") == 1

    @pytest.mark.parametrize("fails", ["becomes read-only", "fails every access"])
    def test_a_running_service_goes_on_and_sends_from_memory(
        self, site: Site, sd_card: Path, fails: str
    ):
        """ext4 does this to a board whose card is worn out, or pulled out."""
        with site.unit(prelude=CHATTY, state_dir=sd_card / "s") as unit:
            alerts(site, 10)
            site.collector.acknowledges = False
            alerts(site, 40)  # which wait on the disk
            if fails == "becomes read-only":
                device = Path(_source_of(sd_card)).name
                Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("test")
            else:
                _shut_down(sd_card)
            until(lambda: "held as" in unit.log())
            site.collector.acknowledges = True
            alerts(site, 50)
            until(lambda: "the disk takes nothing" in unit.now.status)
            assert healths(site)[-1].pipelines["p"].state == "watching"
            # what is acknowledged and cannot be deleted is not sent again and again
            sent = healths(site)[-1].outbox.sent
            alerts(site, 50)
            assert healths(site)[-1].outbox.sent < sent + 400
            fed = unit.now.fed
            until(lambda: unit.now.fed > fed + 3)
            assert len(unit.lives) == 1
            troubles = [s for s in unit.log().splitlines() if s.startswith(("ERR", "WARN"))]
            assert len(troubles) < 20, troubles
            site.collector.acknowledges = True
            code, took_s = unit.stop()
            assert code == 0
            assert took_s < 2.5
        # what is on it in another card: this one may be in use by somebody who copied our mounts
        subprocess.run(["umount", "-l", str(sd_card)], check=True)
        mended = shutil.copy(f"{sd_card}.img", f"{sd_card}-mended.img")
        subprocess.run(["mount", "-o", "loop", mended, str(sd_card)], check=True)
        held = re.findall(r"alert (\w+) held as", unit.log())
        late = set(held[-20:]) - site.arrived()  # those of the last moment died with the process
        with site.unit(state_dir=sd_card / "s") as again:
            until(lambda: again.now.is_ready)
            said = set(re.findall(r"alert (\w+) (?:stored|held) as", unit.log()))
            until(lambda: said - late <= site.arrived())


class TestPermissions:
    """What a person must mend ends with 78 and one line; it is not tried again."""

    # no longer the one whom permissions do not concern
    HUMBLE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")

    def test_it_needs_no_such_rights(self, site: Site):
        """Or the tests below would prove nothing."""
        with site.unit(under=self.HUMBLE) as unit:
            until(lambda: unit.now.is_ready)
            assert unit.stop()[0] == 0

    @pytest.mark.parametrize(
        ("whose", "mode", "line"),
        [
            ("state", 0o700, r"state.*: Permission denied; fix: chown -R"),
            ("state/outbox.db", 0o600, r"outbox\.db: .*; fix: chown -R"),
            ("state/outbox.db", 0o644, r"outbox\.db: .*; fix: chown -R"),
            ("state/outbox.lock", 0o644, r"outbox\.lock: .*; fix: chown -R"),
            ("state/outbox.journal", 0o644, r"outbox\.journal: .*; fix: chown -R"),
            ("edge.toml", 0o600, r"edge\.toml: Permission denied; fix: "),
            ("bundle", 0o700, r"bundle.*: .*ermission denied.*; fix: "),
            ("bundle/spectrum.onnx", 0o600, r"spectrum\.onnx: .*; fix: "),
        ],
    )
    def test_what_belongs_to_somebody_else_ends_it_with_78_and_the_fix(
        self, site: Site, bundle: Path, whose: str, mode: int, line: str
    ):
        """The folder of the state or a file in it, the config, the bundle or a file in it."""
        (site.folder / "bundle").unlink()
        shutil.copytree(bundle, site.folder / "bundle")
        with site.unit() as unit:
            until(lambda: unit.now.is_ready)
            unit.stop()
        (site.folder / whose).chmod(mode)
        os.chown(site.folder / whose, 65534, 65534)
        with site.unit(under=self.HUMBLE) as unit:
            until(lambda: unit.now.exit is not None)
            assert unit.now.exit == 78
            time.sleep(0.5)
            assert len(unit.lives) == 1
            (said,) = unit.log().splitlines()
            assert re.search(line, said), said


def _source_of(mount: Path) -> str:
    found = subprocess.run(
        ["findmnt", "-no", "SOURCE", str(mount)], check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


def _shut_down(mount: Path) -> None:
    """From now on the file system answers everything with EIO, as when a card is pulled out."""
    fd = os.open(mount, os.O_RDONLY)
    fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))  # EXT4_IOC_SHUTDOWN, without flushing its log
    os.close(fd)
