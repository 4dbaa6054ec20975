"""The whole service as systemd starts it: ready, alive, stopped, failed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeSource, recorder, tiny_bundle, window

from edge import notify as systemd
from edge.bundle import Bundle
from edge.config import PipelineConfig
from edge.outbox import Outbox
from edge.serving import Serving
from edge.sources import simulate
from edge.watcher import Watcher

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[device]
name = "d1"
state_dir = "state"
health_interval_s = {health_s}

[mqtt]
host = "127.0.0.1"
port = {port}
resend_s = 0.5

[[pipeline]]
name = "p"
bundle = "bundle"
learn_windows = 40

[pipeline.source]
type = "simulate"
seed = 1
windows = {windows}
hop_s = 1.0
speed = {speed}
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("service") / "bundle")


class Running:
    """The service as a process, with systemd's socket."""

    def __init__(self, folder: Path, *, port: int, watchdog_s: float = 0.6, prelude="", **options):
        options = {"windows": 240, "speed": 0.0, "health_s": 0.5, **options}
        self.folder = folder
        self.statuses: list[str] = []
        (folder / "edge.toml").write_text(CONFIG.format(port=port, **options))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._log = (folder / "log").open("w+")
        program = f"{prelude}\nimport vedette; vedette.main(sys.argv[1:])"
        start = ["vedette.py"] if not prelude else ["-c", program]
        self.process = subprocess.Popen(
            [sys.executable, *start, "run", "--config", str(folder / "edge.toml"), "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(folder / "notify"),
                "WATCHDOG_USEC": str(int(watchdog_s * 1e6)),
            },
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self._socket.close()
        self._log.close()

    def said(self, *, within_s: float) -> str | None:
        """The next word to systemd but its status; None if there is none in time."""
        self._socket.settimeout(within_s)
        try:
            while (word := self._socket.recv(1000).decode()).startswith("STATUS="):
                self.statuses.append(word)
        except TimeoutError:
            return None
        return word

    def wait_for(self, word: str, *, within_s: float = 30.0) -> list[str]:
        """Everything said up to and with `word`."""
        words, deadline_s = [], time.monotonic() + within_s
        while word not in words:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"no {word} in {words}: {self.log()}"
            words += filter(None, [self.said(within_s=left_s)])
        return words

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stopped(self) -> tuple[int, dict]:
        """Exit code and summary after SIGTERM."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, json.loads(out)

    def stored(self) -> list[str]:
        """Topics of what waits in the outbox of an ended service."""
        box = Outbox(self.folder / "state" / "outbox.db", max_bytes=8 << 20)
        topics = [row.topic for row in box.waiting(after=0, limit=100_000)]
        box.close()
        return topics


@pytest.fixture
def start(tmp_path, bundle, free_port):
    """Starts a service without a broker; ended at the latest with the test."""
    running = []

    def begin(**options) -> Running:
        (tmp_path / "bundle").symlink_to(bundle)
        running.append(Running(tmp_path, **{"port": free_port, **options}))
        return running[0]

    yield begin
    for one in running:
        one.__exit__()


def test_it_is_ready_then_alive_and_says_when_it_stops(start):
    """As `Type=notify` and `WatchdogSec=` want it."""
    service = start(speed=2.0)
    assert service.wait_for("READY=1") == ["READY=1"]
    assert set(service.wait_for("WATCHDOG=1")) == {"WATCHDOG=1"}
    service.wait_for("WATCHDOG=1")
    service.process.terminate()
    assert "STOPPING=1" in service.wait_for("STOPPING=1")


def test_sigterm_ends_it_within_two_seconds_with_nothing_lost(start):
    """Alerts found while no broker was there wait in the outbox."""
    service = start(speed=500.0, windows=100_000)
    service.wait_for("READY=1")
    deadline_s = time.monotonic() + 20
    profile = service.folder / "state" / "p.profile.npz"
    while not profile.exists():
        assert time.monotonic() < deadline_s, service.log()
        time.sleep(0.05)
    begun_s = time.monotonic()
    code, summary = service.stopped()
    assert time.monotonic() - begun_s < 2.5  # two seconds, and Python ending on a busy machine
    assert code == 0
    topics = service.stored()
    assert topics.count("vedette/d1/p/alert") == summary["alerts"]
    assert "vedette/d1/health" in topics


def test_a_life_to_its_end_leaves_its_alert_in_the_outbox(start):
    """Learned, judged, raised, stored, all in one process."""
    service = start()
    service.wait_for("READY=1")
    deadline_s = time.monotonic() + 30
    while "sources ended" not in service.log():
        assert time.monotonic() < deadline_s, service.log()
        time.sleep(0.05)
    code, summary = service.stopped()
    assert (code, summary["windows"], summary["dropped_windows"]) == (0, 240, 0)
    assert summary["alerts"] >= 1
    assert service.stored().count("vedette/d1/p/alert") == summary["alerts"]


@pytest.mark.slow
def test_the_watchdog_is_not_fed_while_a_source_hangs(start):
    """By progress only; the stall limit is shortened for this test."""
    service = start(
        prelude="import sys, edge.watcher as w; w._STALL_S = w._PATIENCE_S = 0.5\n"
        "import edge.sources.simulate as s; real = s.SimulateSource.windows\n"
        "def hang(self):\n"
        "    yield from (w for w, _ in zip(real(self), range(3)))\n"
        "    import time; time.sleep(1000)\n"
        "s.SimulateSource.windows = hang",
        speed=10.0,
    )
    service.wait_for("WATCHDOG=1")
    deadline_s = time.monotonic() + 20
    while service.said(within_s=1.5) is not None:  # more than twice the watchdog's time
        assert time.monotonic() < deadline_s
    assert service.process.poll() is None
    assert "no progress in p" in service.log()


def test_a_dying_thread_ends_the_process_with_1(start):
    """Instead of going unseen; systemd restarts it."""
    service = start(
        prelude="import sys, edge.sources.simulate as s\n"
        "def die(self):\n"
        "    raise ZeroDivisionError('a bug')\n"
        "s.SimulateSource.windows = die"
    )
    out, _ = service.process.communicate(timeout=30)
    assert service.process.returncode == 1
    assert json.loads(out)["windows"] == 0
    assert "thread watch p died" in service.log()
    assert "a bug" in service.log()


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "vedette.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def config(tmp_path, bundle):
    """A good config beside its bundle."""
    (tmp_path / "bundle").symlink_to(bundle)
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(port=1883, windows=10, speed=0.0, health_s=10.0))
    return path


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('name = "d1"', 'name = "D 1"', "device.name"),
        ("seed = 1", "sead = 1", "seed"),
        ('bundle = "bundle"', 'bundle = "nothing"', "no bundle here"),
        ('host = "127.0.0.1"', 'password_file = "nothing"', "mqtt.password_file"),
    ],
)
def test_a_wrong_config_or_bundle_exits_with_78_and_one_line(config, old, new, word):
    """A person must act, so nobody restarts it."""
    config.write_text(config.read_text().replace(old, new))
    done = cli("run", "--config", str(config))
    assert done.returncode == 78
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_check_says_in_json_what_it_looked_at(config):
    """All well, then a missing bundle and a missing recording."""
    done = cli("check", "--config", str(config), "--json")
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert report["ok"]
    assert {f["what"] for f in report["findings"]} >= {"config", "bundle of p", "source of p"}
    text = config.read_text().replace('bundle = "bundle"', 'bundle = "nothing"')
    source = text.index('type = "simulate"')
    config.write_text(
        text[:source] + 'type = "replay"\npath = "x.npz"\nwindow_s = 0.1\nhop_s = 1.0\n'
    )
    done = cli("check", "--config", str(config), "--json")
    failed = [f for f in json.loads(done.stdout)["findings"] if not f["is_ok"]]
    assert done.returncode == 78
    assert [f["what"] for f in failed] == ["bundle of p", "source of p"]
    assert "x.npz" in failed[1]["text"]


def test_check_finds_a_missing_password_as_run_would(config):
    """It promises whatever would stop `vedette run`."""
    config.write_text(config.read_text().replace('host = "127.0.0.1"', 'password_file = "nothing"'))
    done = cli("check", "--config", str(config), "--json")
    assert done.returncode == 78
    assert "mqtt.password_file" in done.stdout


@pytest.mark.slow
def test_bench_measures_in_json(bundle):
    """Every stage, the whole pipeline and the bare engine."""
    done = cli("bench", "--bundle", str(bundle), "--seconds", "0.3", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["us"].keys() == {"pipeline", "bare engine", "levels", "spectrum", "judge"}
    assert report["pipeline_over_engine"] > 0
    assert report["us"]["pipeline"]["p50"] <= report["us"]["pipeline"]["p99"]


class TestWatcher:
    """One pipeline's thread, without the rest."""

    @pytest.fixture
    def watcher(self, tmp_path, bundle):
        config = PipelineConfig("p", "bundle", simulate.Config(hop_s=1.0))
        opened = Bundle.open(bundle, "onnx")
        return Watcher(
            config,
            Serving(config, opened, None, state_dir=tmp_path, base=tmp_path),
            recorder(tmp_path),
            address=None,
            clock=None,
            send=pytest.fail,
            send_score=pytest.fail,
            base=tmp_path,
        )

    def test_windows_that_cannot_be_judged_are_counted_by_reason(self, watcher, monkeypatch):
        """And the rest is learned from."""
        noise = np.random.default_rng(0).normal(size=(2560, 2)).astype(np.float32)
        spoilt = noise.copy()
        spoilt[3] = np.nan
        seen = [window(x, seq=i) for i, x in enumerate((noise, spoilt, noise[:9], 0 * noise))]
        monkeypatch.setattr("edge.sources.open_source", lambda *_, **__: FakeSource(seen))
        watcher.run()
        assert watcher.dropped == {"not_finite": 1, "too_short": 1, "stuck": 1}
        assert (watcher.windows, watcher.state) == (1, "ended")
        assert watcher.health().learned_windows == 1

    def test_windows_lost_in_a_gap_are_counted(self, watcher, monkeypatch):
        """By the jump in their numbers; a source that begins anew lost none."""
        noise = np.random.default_rng(0)
        seen = [
            window(noise.normal(size=(2560, 2)).astype(np.float32), seq=i) for i in (0, 1, 5, 6)
        ]
        monkeypatch.setattr("edge.sources.open_source", lambda *_, **__: FakeSource(seen))
        watcher.run()
        watcher.run()
        assert watcher.dropped == {"gap": 6}

    def test_it_is_stalled_when_no_window_came_for_too_long(self, watcher):
        """Not before the longest pause it takes itself."""
        watcher._progress_s = time.monotonic() - 60
        assert not watcher.is_stalled()
        watcher._progress_s = time.monotonic() - 71
        assert watcher.is_stalled()
        watcher.state = "ended"
        assert not watcher.is_stalled()


def test_outside_systemd_nothing_is_said(monkeypatch):
    """No socket, no watchdog."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    systemd.notify("READY=1")
    assert systemd.watchdog_s() is None


def test_a_supervisor_that_is_gone_or_deaf_stops_nobody(monkeypatch, tmp_path):
    """Without a sign of life we are restarted; to wait for it here would be worse."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "deaf"))
        for _ in range(5000):  # far more than its queue takes
            systemd.notify("WATCHDOG=1")
        assert deaf.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("is_journal", [True, False])
def test_only_the_journal_gets_priorities(config, tmp_path, is_journal):
    """Every line of a traceback, too, or `journalctl -p err` would show the first one alone."""
    config.write_text(config.read_text().replace("windows = 10", "windows = 0"))
    program = (
        "import logging, vedette, edge.check\n"
        "def fail(*_, **__):\n"
        "    logging.getLogger('x').critical('died', exc_info=ZeroDivisionError('a bug'))\n"
        "    logging.getLogger('x').info('well')\n"
        "edge.check.main = fail\n"
        f"vedette.main(['check', '--config', {str(config)!r}])\n"
        f"vedette.main(['run', '--config', {str(config)!r}])"
    )
    with (tmp_path / "log").open("w+") as log:
        stat = os.fstat(log.fileno())
        other = 0 if is_journal else 1
        env = {**os.environ, "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino + other}"}
        subprocess.run([sys.executable, "-c", program], cwd=ROOT, stderr=log, env=env, check=False)
        log.seek(0)
        lines = log.read().splitlines()
    starts = ["<2>CRITICAL x: died", "<2>ZeroDivisionError: a bug", "<6>INFO x: well"]
    starts += ["<3>vedette run: "]
    if not is_journal:
        starts = [start[3:] for start in starts]
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True)), lines


def test_a_watchdog_meant_for_another_process_is_not_ours(monkeypatch):
    """A child inherits the environment."""
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.watchdog_s() == 5.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_s() is None


def test_signals_that_stop_are_those_of_systemd_and_of_a_keyboard(start):
    """Control-C is a clean stop too."""
    service = start(speed=2.0)
    service.wait_for("WATCHDOG=1")
    service.process.send_signal(signal.SIGINT)
    service.process.communicate(timeout=20)
    assert service.process.returncode == 0
