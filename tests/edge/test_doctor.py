"""`vedette doctor` names what is wrong, with one fix each, and changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import tiny_bundle
from real_broker import until

from contract.messages import Encoded
from edge import doctor, outbox_view
from edge.outbox import Outbox
from host import broker, ports

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[device]
name = "d1"
state_dir = "state"
health_interval_s = 0.5

[mqtt]
host = "127.0.0.1"
port = {port}
version = "{version}"
resend_s = 0.5

[[pipeline]]
name = "p"
bundle = "bundle"

[pipeline.source]
type = "simulate"
windows = 100000
hop_s = 1.0
speed = 5.0
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("doctor") / "bundle")


@pytest.fixture
def config(tmp_path: Path, bundle: Path, free_port: int) -> Path:
    """A good config; no broker, no service."""
    (tmp_path / "bundle").symlink_to(bundle)
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(port=free_port, version="5"))
    return path


class Patient:
    """A config, and what the doctor says about it."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = config
        self.state_dir = config.parent / "state"
        self._capsys = capsys

    def examined(self, *, code: int) -> dict[str, dict]:
        """Findings by what was looked at, after the exit code has been compared."""
        self._capsys.readouterr()
        assert doctor.main(self.config, as_json=True) == code
        report = json.loads(self._capsys.readouterr().out)
        assert report["ok"] == (code == 0)
        for finding in report["findings"]:
            assert (finding["level"] == "ok") == (finding["fix"] is None), finding
            assert "fix:" not in finding["text"], finding
        return {finding["what"]: finding for finding in report["findings"]}

    def outbox(self) -> Outbox:
        return Outbox(self.state_dir / "outbox.db", max_bytes=8 << 20)


@pytest.fixture
def patient(config: Path, capsys) -> Patient:
    return Patient(config, capsys)


@contextlib.contextmanager
def service(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (config.parent / "log").open("wb") as log:
        command = [sys.executable, "vedette.py", "run", "--config", str(config)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        until(lambda: outbox_view.holder(config.parent / "state" / "outbox.db"))
        yield process
    finally:
        process.kill()
        process.wait()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_without_a_broker_that_is_what_fails(patient):
    """Everything else is fine, but for what this very machine may lack."""
    found = patient.examined(code=1)
    assert [what for what, one in found.items() if one["level"] == "fail"] == ["broker"]
    assert "refused" in found["broker"]["text"]
    assert found["vedette"]["level"] == found["boot id"]["level"] == "ok"
    assert {"config", "bundle of p", "source of p", "mqtt", "state_dir"} <= found.keys()
    assert "systemctl start vedette-edge@edge" in found["service"]["fix"]


def test_text_is_one_line_each_and_what_is_wrong_has_one_fix(config, capsys):
    """To be read by people; what failed goes to stderr."""
    assert doctor.main(config, as_json=False) == 1
    said = capsys.readouterr()
    for line in (said.out + said.err).splitlines():
        assert line[:5] in {"ok   ", "warn ", "FAIL "}, line
        assert line.count("; fix: ") == (0 if line.startswith("ok") else 1), line
    assert all(line.startswith("FAIL") for line in said.err.splitlines())


def test_a_wrong_config_is_78_and_the_machine_is_looked_at_all_the_same(config, capsys):
    """As far as it can be without one."""
    config.write_text(config.read_text().replace("[device]", "[devise]"))
    found = Patient(config, capsys).examined(code=78)
    assert "devise" in found["config"]["text"]
    assert "memory" in found


@pytest.mark.broker
def test_a_running_service_is_seen_and_left_alone(config, capsys, mosquitto, collector):
    """No session is taken over, no file appears, nobody is told that the device is offline."""
    config.write_text(CONFIG.format(port=mosquitto.port, version="5"))
    patient = Patient(config, capsys)
    with service(config) as process:
        until(lambda: len(collector.ids("health")) > 2)
        names = set(snapshot(patient.state_dir))
        found = patient.examined(code=0)
        assert found["service"]["text"] == f"runs as process {process.pid}"
        assert "is connected" in found["mqtt session"]["text"]
        assert found["outbox"] == {
            "what": "outbox", "text": "nothing waits", "level": "ok", "fix": None, "is_ok": True
        }  # fmt: skip
        # it learns meanwhile
        learned = {"p.profile.npz", "p.profile.tmp"}
        assert set(snapshot(patient.state_dir)) - names <= learned
        count = len(collector.ids("health"))
        until(lambda: len(collector.ids("health")) > count + 1)
        assert collector.states() == ["online"]
        assert process.poll() is None


@pytest.mark.broker
def test_a_service_that_nobody_acknowledges_is_told_with_the_fix(
    config, capsys, mosquitto, monkeypatch
):
    """The broker is there, the collector is not."""
    monkeypatch.setattr(doctor, "_QUIET_S", 1.0)
    config.write_text(CONFIG.format(port=mosquitto.port, version="5"))
    patient = Patient(config, capsys)
    box = patient.outbox()
    box.put(Encoded("v/d/alert", b"x", "id", 1, "alert"))
    box.close()
    with service(config):
        time.sleep(1.5)
        found = patient.examined(code=0)
    assert found["outbox"]["level"] == "warn"
    assert "1 alert" in found["outbox"]["text"]
    assert "nobody acknowledges" in found["outbox"]["text"]
    assert "collector" in found["outbox"]["fix"]


@pytest.mark.broker
def test_a_service_without_a_broker_is_not_connected(config, capsys, mosquitto):
    """The broker can be reached from here, but the service has another config."""
    patient = Patient(config, capsys)
    with service(config):
        config.write_text(CONFIG.format(port=mosquitto.port, version="5"))
        found = patient.examined(code=1)
    assert "is not connected" in found["mqtt session"]["text"]
    assert "journalctl" in found["mqtt session"]["fix"]


@pytest.mark.broker
def test_after_sigkill_the_outbox_is_read_without_touching_it(config, capsys, mosquitto):
    """Not even SQLite's own files may appear: they would be ours, and the service's to write."""
    config.write_text(CONFIG.format(port=mosquitto.port, version="5"))
    patient = Patient(config, capsys)
    with service(config) as process:
        until(lambda: outbox_view.holder(patient.state_dir / "outbox.db"))
        until((patient.state_dir / "outbox.db-wal").exists)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = snapshot(patient.state_dir)
    assert "outbox.db-wal" in before
    found = patient.examined(code=0)
    assert snapshot(patient.state_dir) == before
    assert found["service"]["text"] == "does not run"
    assert "may write below vedette/d1/" in found["mqtt session"]["text"]


@pytest.mark.broker
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_it_publishes_reaches_no_collector(config, capsys, mosquitto, collector, version):
    """One empty message of a kind that nobody stores."""
    config.write_text(CONFIG.format(port=mosquitto.port, version=version))
    found = Patient(config, capsys).examined(code=0)
    assert found["mqtt session"]["level"] == "ok"
    assert ("would not tell" in found["mqtt session"]["text"]) == (version == "3.1.1")
    time.sleep(0.3)
    assert collector.got == []


@pytest.mark.broker
def test_a_topic_that_is_not_ours_is_told_with_the_fix(tmp_path, config, capsys):
    """The broker takes the connection and refuses the message."""
    program = broker.find_mosquitto()
    if program is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    port = ports.free_port()
    (tmp_path / "acl").write_text("topic read vedette/d1/command/#\ntopic write vedette/d2/#\n")
    (tmp_path / "acl").chmod(0o600)
    user = "user root\n" if os.geteuid() == 0 else ""
    (tmp_path / "m.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {tmp_path}/acl\n{user}"
    )
    config.write_text(CONFIG.format(port=port, version="5"))
    running = subprocess.Popen([program, "-c", str(tmp_path / "m.conf")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port))
        found = Patient(config, capsys).examined(code=1)
    finally:
        running.kill()
        running.wait()
    assert found["mqtt session"]["text"] == "publish: Not authorized"
    assert "write PREFIX/DEVICE/#" in found["mqtt session"]["fix"]


def _listens(port: int) -> bool:
    return f"0100007F:{port:04X}" in Path("/proc/net/tcp").read_text()


def test_dead_letters_are_shown_with_their_reasons(patient):
    """The first few, and how many more."""
    box = patient.outbox()
    for seq in range(1, 9):
        box.put(Encoded("v/d/alert", b"x", f"id-{seq}", seq, "alert"))
        box.bury(seq, "refused by the broker: Packet too large")
    box.close()
    found = patient.examined(code=1)  # of the broker
    assert "refused by the broker: Packet too large" in found["dead letter"]["text"]
    assert found["dead letters"]["text"] == "3 more"


def test_a_damaged_outbox_is_told_and_left_to_the_service(patient):
    """Which mends it; and it says how often that has happened."""
    box = patient.outbox()
    box.put(Encoded("v/d/alert", b"x", "id", 1, "alert"))
    box.close()
    path = patient.state_dir / "outbox.db"
    path.write_bytes(os.urandom(path.stat().st_size))
    found = patient.examined(code=1)
    assert "cannot be read" in found["outbox"]["text"]
    patient.outbox().close()
    found = patient.examined(code=1)
    assert found["outbox"]["text"].startswith("1 alert waiting")
    assert "1 damaged files kept" in found["damage"]["text"]


def test_an_engine_that_is_missing_comes_with_its_pip_line(patient, monkeypatch):
    """The one that the config wants."""
    patient.config.write_text(
        patient.config.read_text().replace('name = "p"', 'name = "p"\nengine = "tflite"')
    )
    monkeypatch.setattr("edge.engines.version", lambda name: "x" if name == "onnx" else None)
    found = patient.examined(code=78)  # the tiny bundle has no such model, so `check` fails too
    assert found["engine tflite"]["fix"] == "pip install 'vedette[edge]'"


def test_heat_and_a_weak_supply_are_told_with_their_fixes(patient, monkeypatch):
    """Where the board says so."""
    monkeypatch.setattr("edge.health.cpu_temperature_c", lambda: 85.0)
    monkeypatch.setattr("edge.health.throttled", lambda: ["under_voltage"])
    found = patient.examined(code=1)
    assert found["temperature"]["level"] == "warn"
    assert "power supply" in found["throttling"]["fix"]


def test_a_clock_that_is_not_set_is_told(patient, monkeypatch):
    """Alerts would carry a wrong time."""
    monkeypatch.setattr("edge.clock.kernel_synced", lambda: False)
    assert "set-ntp" in patient.examined(code=1)["clock"]["fix"]


@pytest.fixture
def disk(patient: Patient) -> Iterator[Path]:
    """`state_dir` is a file system of its own."""
    patient.state_dir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(patient.state_dir)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield patient.state_dir
    subprocess.run(["umount", "-l", str(patient.state_dir)], check=True)


def test_a_disk_in_memory_a_full_one_and_a_read_only_one(patient, disk):
    """Each with its fix."""
    found = patient.examined(code=1)
    assert "lost with the power" in found["disk"]["text"]
    assert "synced writes/s" in found["writing"]["text"]
    with (disk / "hog").open("wb") as hog, contextlib.suppress(OSError):
        while True:
            hog.write(bytes(65536))
    found = patient.examined(code=1)
    assert (found["writing"]["level"], "free space" in found["writing"]["fix"]) == ("fail", True)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    found = patient.examined(code=78)  # `vedette run` would wait for it
    assert "read-only" in found["state_dir"]["text"]
    assert found["disk"]["text"] == "tmpfs, mounted read-only"
    assert "remount,rw" in found["disk"]["fix"]


def test_a_slow_disk_is_told(patient, monkeypatch):
    """Each alert waits for one synced write."""
    patient.state_dir.mkdir()
    monkeypatch.setattr(doctor, "_FSYNC_S", 0.2)
    monkeypatch.setattr(os, "fsync", lambda _fd: time.sleep(0.15))
    found = patient.examined(code=1)
    assert found["writing"]["level"] == "warn"


def test_a_folder_of_somebody_else_is_told_with_sudo(config):
    """An ordinary user may ask all the same."""
    if os.geteuid() != 0:
        pytest.skip("giving a folder away needs root")
    state = config.parent / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 65534, 65534)
    humble = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    done = subprocess.run(
        [*humble, sys.executable, "vedette.py", "doctor", "--config", str(config), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78, done.stderr  # `vedette run` could not write there either
    found = {one["what"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["state_dir"]["level"] == "fail"
    assert "sudo" in found["outbox"]["fix"]


def test_the_holder_is_the_process_that_has_the_lock(tmp_path):
    """And nobody once it is gone."""
    path = tmp_path / "outbox.db"
    assert outbox_view.holder(path) is None
    box = Outbox(path, max_bytes=8 << 20)
    assert outbox_view.holder(path) == os.getpid()
    box.close()
    assert outbox_view.holder(path) is None
