"""The broker's generated files, in a real Mosquitto: who gets in, and what each one may do."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from paho.mqtt import publish
from real_broker import until
from secured_site import SecuredSite

from collector import certificates, mosquitto
from collector.certificates import Authority
from contract import messages
from contract.messages import MAX_PAYLOAD_BYTES, Address, Alert
from contract.tls import Setting, make_context
from edge.clock import Clock
from edge.outbox import Outbox
from edge.publisher import Publisher
from host import broker

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "firmware_configs" / "mosquitto"
EXAMPLE = CONFIGS / "example"
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


# -- who may say and hear what ---------------------------------------------------------------------


@pytest.mark.broker
@VERSIONS
def test_a_device_speaks_under_its_own_name_and_the_collector_hears_it(plant, version):
    """Also when several collectors share the work."""
    central = plant.client("central", hears="$share/all/vedette/#")
    press = plant.client("press-1", version=version)
    assert press.say("vedette/press-1/bearing/alert") == "Success"
    until(lambda: central.heard == [("vedette/press-1/bearing/alert", b"x")])


@pytest.mark.broker
def test_under_the_name_of_another_it_is_refused(plant):
    """With a reason code: MQTT 5."""
    central = plant.client("central", hears="vedette/#")
    press = plant.client("press-1")
    for topic in (
        "vedette/press-2/bearing/alert",
        "vedette/press-2/status",
        "vedette/press-2/command/ack",
        "vedette/alert",
        "other/press-1/bearing/alert",
        "$SYS/broker/version",
    ):
        assert press.say(topic) == "Not authorized", topic
    assert press.say("vedette/press-1/health") == "Success"
    until(lambda: central.heard)
    assert [topic for topic, _ in central.heard] == ["vedette/press-1/health"]


@pytest.mark.broker
def test_mqtt_3_takes_it_and_throws_it_away(plant):
    """Why a broker's word is no acknowledgement; the row of such a message stays in the outbox."""
    central = plant.client("central", hears="vedette/#")
    press = plant.client("press-1", version="3.1.1")
    assert press.say("vedette/press-2/bearing/alert") == "Success"
    assert press.say("vedette/press-1/bearing/alert") == "Success"
    until(lambda: central.heard)
    assert [topic for topic, _ in central.heard] == ["vedette/press-1/bearing/alert"]


@pytest.mark.broker
def test_a_device_hears_its_own_commands_and_nothing_else(plant):
    """Whatever it subscribes to."""
    press = plant.client("press-1", hears="#")
    central = plant.client("central")
    assert plant.client("press-2").say("vedette/press-2/bearing/alert")
    for device in ("press-2", "press-1"):
        assert central.say(f"vedette/{device}/command/ack") == "Success"
    until(lambda: press.heard)
    assert [topic for topic, _ in press.heard] == ["vedette/press-1/command/ack"]


@pytest.mark.broker
def test_a_collector_commands_and_never_speaks_as_a_device(plant):
    """Nor under its own name, which no device has."""
    central = plant.client("central")
    assert central.say("vedette/press-1/command/ack") == "Success"
    for topic in ("vedette/press-1/bearing/alert", "vedette/central/bearing/alert"):
        assert central.say(topic) == "Not authorized"


@pytest.mark.broker
def test_a_viewer_looks_on(plant):
    """All but commands, and it says nothing."""
    kitchen = plant.client("kitchen", hears="#")
    plant.client("central").say("vedette/press-1/command/ack")
    plant.client("press-1").say("vedette/press-1/bearing/alert")
    until(lambda: kitchen.heard)
    assert [topic for topic, _ in kitchen.heard] == ["vedette/press-1/bearing/alert"]
    for topic in ("vedette/press-1/command/ack", "vedette/kitchen/x/alert", "vedette/x/y/alert"):
        assert kitchen.say(topic) == "Not authorized"


@pytest.mark.broker
def test_nobody_takes_over_the_session_of_another(plant):
    """The id a client gives itself is not asked for."""
    press = plant.client("press-1")
    thief = plant.client("press-2", client_id="press-1")
    assert thief.say("vedette/press-2/health") == "Success"
    assert press.say("vedette/press-1/health") == "Success"
    assert press.events == ["connected: Success"]


# -- who gets in -----------------------------------------------------------------------------------


def refusal(plant: SecuredSite, context, host="localhost") -> str:
    """Why a connection does not come about; empty if the broker answers to CONNECT."""
    connect = bytes.fromhex("101000044d51545404020005000474657374")  # MQTT 3.1.1, id `test`
    try:
        with (
            socket.create_connection(("localhost", plant.port), 5) as plain,
            context.wrap_socket(plain, server_hostname=host) as sock,
        ):
            sock.settimeout(5)
            sock.send(connect)
            assert sock.recv(4)[:2] == b"\x20\x02"
            return ""
    except OSError as error:
        return context.refusal or repr(error)


def foreign(folder: Path, authority: Authority, name: str, **until: float):
    """A context with a certificate of somebody else's making."""
    key = certificates.new_key()
    end = dt.datetime.now(dt.UTC) + dt.timedelta(**(until or {"days": 9}))
    files = {
        "cert.pem": certificates.to_pem(authority.for_client(key.public_key(), name, until=end)),
        "key.pem": certificates.key_to_pem(key),
    }
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)
    return {file: Setting(file, folder / file) for file in files}


@pytest.mark.broker
def test_only_a_valid_client_of_this_site_gets_in(plant, tmp_path):
    """Everybody else is refused in the handshake, and told why."""
    ca = Setting("ca", plant.folder / "ca" / "cert.pem")
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=9)
    rogue_key = certificates.new_key()
    rogue = Authority(
        certificates.make_authority(rogue_key, "vedette site plant", until=end), rogue_key
    )
    own_key = certificates.key_from_pem((plant.folder / "ca" / "key.pem").read_bytes())
    own = Authority(x509.load_pem_x509_certificate(ca.path.read_bytes()), own_key)
    stolen = foreign(tmp_path / "rogue", rogue, "press-1")
    ended = foreign(tmp_path / "ended", own, "press-1", days=-1)
    server = plant.context("broker")
    assert refusal(plant, plant.context("press-1")) == ""
    assert "asks for a certificate" in refusal(plant, plant.context(None))
    assert "does not trust who issued" in refusal(
        plant, make_context(ca, stolen["cert.pem"], stolen["key.pem"])
    )
    assert "has expired" in refusal(plant, make_context(ca, ended["cert.pem"], ended["key.pem"]))
    assert "not a client's" in refusal(plant, server)


@pytest.mark.broker
def test_without_tls_there_is_no_answer(plant):
    """No plain listener beside the encrypted one."""
    with socket.create_connection(("localhost", plant.port), 5) as sock:
        sock.send(bytes.fromhex("101000044d51545404020005000474657374"))
        sock.settimeout(5)
        try:
            got = sock.recv(4)
        except ConnectionResetError:
            got = b""
    assert got[:1] != b"\x20"
    listeners = [
        line
        for line in (plant.folder / "broker" / "mosquitto.conf").read_text().splitlines()
        if line.startswith("listener")
    ]
    assert listeners == [f"listener {plant.port}"]


@pytest.mark.broker
def test_a_client_believes_only_the_broker_under_its_own_name(plant):
    """Neither under a name it does not have, nor a device that plays the broker."""
    context = plant.context("press-1")
    assert "must be one of the names" in refusal(plant, context, host="broker.elsewhere")
    assert "must be one of the addresses" in refusal(plant, context, host="10.9.9.9")
    assert refusal(plant, context, host="127.0.0.1") == ""
    for file in ("cert.pem", "key.pem"):
        shutil.copy(plant.folder / "press-2" / file, plant.folder / "broker" / file)
    plant.reload()
    assert "we do not believe the broker" in refusal(plant, context)


@pytest.mark.broker
def test_revocation_works_while_connected_and_for_good(plant):
    """SIGHUP is enough. A connection that stands is not cut, but is worth nothing any more."""
    central = plant.client("central", hears="vedette/#")
    press = plant.client("press-1", hears="vedette/press-1/command/#")
    stolen = plant.context("press-1")
    assert plant.run("revoke", "press-1") == 0
    plant.reload()
    assert press.say("vedette/press-1/bearing/alert") == "Not authorized"
    assert central.say("vedette/press-1/command/ack") == "Success"
    plant.client("press-2").say("vedette/press-2/health")
    until(lambda: ("vedette/press-2/health", b"x") in central.heard)
    assert press.heard == []
    assert press.events == ["connected: Success"]
    assert "is revoked" in refusal(plant, stolen)
    assert refusal(plant, plant.context("press-2")) == ""

    assert plant.run("add", "press-1") == 0
    plant.reload()
    assert refusal(plant, plant.context("press-1")) == ""
    assert "is revoked" in refusal(plant, stolen)


@pytest.mark.broker
def test_a_renewed_certificate_of_the_broker_is_taken_over_by_sighup(plant):
    """And clients need nothing new."""

    def serial() -> str:
        context = plant.context("press-1")
        with (
            socket.create_connection(("localhost", plant.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            return sock.getpeercert()["serialNumber"]

    before = serial()
    press = plant.client("press-2")
    assert plant.run("renew", "broker", "--new-key") == 0
    plant.reload()
    assert serial() != before
    assert press.say("vedette/press-2/health") == "Success"


@pytest.mark.broker
def test_a_board_that_boots_in_1970_gets_in(plant):
    """It has no battery clock and learns the time later; until then it must be heard."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed (Debian: apt-get install faketime)")
    own = plant.folder / "press-1"
    program = (
        "import socket, sys, time\n"
        "from pathlib import Path\n"
        "from contract.tls import Setting, make_context\n"
        "files = [Path(sys.argv[1]) / name for name in ('ca.pem', 'cert.pem', 'key.pem')]\n"
        "context = make_context(*[Setting(path.name, path) for path in files])\n"
        "plain = socket.create_connection(('localhost', int(sys.argv[2])), 5)\n"
        "sock = context.wrap_socket(plain, server_hostname='localhost')\n"
        "sock.send(bytes.fromhex('101000044d51545404020005000474657374'))\n"
        "print(time.gmtime().tm_year, sock.recv(4).hex())\n"
    )
    command = ["faketime", "-f", "@1970-01-02 00:00:00", sys.executable, "-c", program]
    done = subprocess.run(
        [*command, str(own), str(plant.port)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1970", "20020000"]


# -- too much --------------------------------------------------------------------------------------


def most_memory_kb(pid: int) -> int:
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1])


@pytest.mark.broker
@VERSIONS
def test_what_is_too_large_is_refused_without_reading_it_and_nobody_waits(plant, version):
    """The largest message there may be still goes through."""
    central = plant.client("central", hears="vedette/#")
    press = plant.client("press-1")
    largest = b"z" * MAX_PAYLOAD_BYTES
    assert plant.client("press-2", version=version).say("vedette/press-2/a/alert", largest)
    until(lambda: central.heard)
    context = plant.context("press-2")
    # a PUBLISH that claims 256 MB, of which 32 MB are sent if the broker lets us
    header = bytes.fromhex("32ffffff7f") + b"\x00\x17vedette/press-2/a/alert\x00\x01"
    level = "05" if version == "5" else "04"
    connect = bytes.fromhex(f"10{'11' if version == '5' else '10'}00044d515454{level}020005")
    connect += (b"\x00" if version == "5" else b"") + b"\x00\x04test"
    slowest_s = 0.0
    is_over = threading.Event()

    def flood() -> None:
        with (
            socket.create_connection(("localhost", plant.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.send(connect)
            assert sock.recv(100)
            try:
                sock.send(header)
                for _ in range(512):
                    sock.send(bytes(65_536))
            except OSError:
                return
            finally:
                is_over.set()

    flooding = threading.Thread(target=flood)
    flooding.start()
    said = 0
    while not is_over.is_set() or said < 20:
        began_s = time.monotonic()
        assert press.say("vedette/press-1/health") == "Success"
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        said += 1
    flooding.join()
    until(lambda: "oversize packet" in (plant.folder / "broker.log").read_text())
    assert slowest_s < 1.0
    assert most_memory_kb(plant.broker.pid) < 32_000
    assert press.events == ["connected: Success"]


# -- the whole way ---------------------------------------------------------------------------------


class Device:
    """Outbox and publisher with the certificate of a site."""

    def __init__(self, plant: SecuredSite, folder: Path, name: str, **changes: object) -> None:
        folder.mkdir()
        self.outbox = Outbox(folder / "outbox.db", max_bytes=8 << 20)
        self.clock = Clock(first_seq=1)
        self.address = Address("vedette", name, "bearing")
        self.publisher = Publisher(plant.mqtt(name, **changes), name, self.outbox, self.clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.publisher.run, args=(self._stop,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.publisher.wake()
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.outbox.close()
        self.publisher.close()

    def alert(self) -> str:
        body = Alert(
            workload="w", state="raised", label="l", score=2.0, threshold=1.0, hits=1, of=1
        )
        message = messages.encode(body, self.address, self.clock.stamp())
        self.outbox.put(message)
        self.publisher.wake()
        return message.id

    @property
    def rows(self) -> int:
        return self.outbox.health().rows


@pytest.mark.broker
@VERSIONS
def test_device_broker_collector_and_back_over_mutual_tls(plant, tmp_path, version):
    """Stored, acknowledged, deleted; hundreds of acknowledgements in few records of TLS."""
    own = plant.folder / "central"
    command = [sys.executable, "-m", "vedette", "collect", "--host", "localhost", "--json"]
    command += [f"--{key}-file={own / key}.pem" for key in ("ca", "cert", "key")]
    command += ["--port", str(plant.port), "--db", str(tmp_path / "c.db"), "--http-port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as collector:
        try:
            page = json.loads(collector.stdout.readline())["url"]
            with Device(plant, tmp_path / "d", "press-1", version=version) as device:
                sent = [device.alert() for _ in range(300)]
                until(lambda: device.rows == 0, within_s=40)
            with urllib.request.urlopen(f"{page}api/alerts?limit=1000", timeout=10) as answer:
                stored = json.load(answer)["alerts"]
        finally:
            collector.terminate()
    assert sorted(alert["id"] for alert in stored) == sorted(sent)
    assert {alert["device"] for alert in stored} == {"press-1"}
    assert collector.returncode == 0


@pytest.mark.broker
@VERSIONS
def test_what_the_broker_throws_away_stays_on_the_device(plant, tmp_path, version):
    """Also where it says that all is well (MQTT 3.1.1): here to a device that was just revoked."""
    central = plant.client("central", hears="vedette/#")
    with Device(plant, tmp_path / "d", "press-1", version=version) as device:
        until(lambda: device.publisher.is_connected)
        plant.run("revoke", "press-1")
        plant.reload()
        device.alert()
        time.sleep(1.5)
        assert device.rows == 1
        assert device.outbox.sent > 1
    alerts = [topic for topic, _ in central.heard if topic.endswith("alert")]
    assert alerts == []


# -- the files around it ---------------------------------------------------------------------------


def test_the_example_is_what_the_tool_writes():
    """So that whoever reads it reads the truth."""
    values = {"port": 8883, "folder": mosquitto.INSTALLED_FOLDER, "data": mosquitto.INSTALLED_DATA}
    written = {file: mosquitto.text_of(file, **values) for file in mosquitto.FILES}
    written["acl"] = mosquitto.access_list(
        "vedette", collectors=["central"], viewers=["kitchen"], revoked=["press-13"]
    )
    assert {path.name: path.read_text() for path in EXAMPLE.iterdir()} == written


def test_the_drop_in_is_verified_without_a_word(tmp_path):
    """On Debian's own unit."""
    unit = Path("/lib/systemd/system/mosquitto.service")
    if shutil.which("systemd-analyze") is None or not unit.exists():
        pytest.skip("systemd-analyze or Debian's mosquitto is not installed")
    drop_in = tmp_path / "mosquitto.service.d" / "vedette.conf"
    drop_in.parent.mkdir()

    def verify(text: str) -> str:
        shutil.copy(unit, tmp_path)
        drop_in.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C", "SYSTEMD_COLORS": "0"},
        )
        return done.stderr

    text = (EXAMPLE / "vedette.conf").read_text()
    assert verify(text) == ""
    assert "RstartSec" in verify(text.replace("RestartSec", "RstartSec"))


@pytest.mark.parametrize("script", mosquitto.SCRIPTS)
def test_the_scripts_are_clean(script):
    """As shellcheck sees them."""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (Debian: apt-get install shellcheck)")
    done = subprocess.run(
        ["shellcheck", str(EXAMPLE / script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def database(tmp_path):
    """A folder with a database of a real Mosquitto that holds queued and retained messages."""
    running = broker.start(tmp_path)
    if running.name != "mosquitto":
        running.stop()
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    queued = [
        {"topic": f"a/{number}", "payload": "x" * 200, "qos": 1, "retain": True}
        for number in range(50)
    ]
    publish.multiple(queued, hostname="127.0.0.1", port=running.port)
    running.stop()
    assert (tmp_path / "mosquitto.db").stat().st_size > 10_000
    return tmp_path / "mosquitto.db"


def check_database(folder: Path) -> str:
    done = subprocess.run(
        ["sh", str(EXAMPLE / "check-database.sh"), str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin", "TMPDIR": "/tmp"},
        timeout=60,
    )
    return done.stderr


@pytest.mark.broker
@pytest.mark.parametrize("lost", [1, 5_000, 13_000])
def test_a_truncated_database_is_put_aside_and_the_broker_starts(database, lost):
    """As a full disk leaves it; without this Mosquitto refuses to start."""
    cut = database.read_bytes()[:-lost]
    database.write_bytes(cut)
    with pytest.raises(broker.BrokerError, match="Couldn't open database"):
        broker.start(database.parent)
    assert "put aside" in check_database(database.parent)
    assert database.with_name("mosquitto.db.bad").read_bytes() == cut
    broker.start(database.parent).stop()


@pytest.mark.broker
def test_a_good_database_and_a_missing_one_are_left_alone(database):
    """To the byte."""
    whole = database.read_bytes()
    assert check_database(database.parent) == ""
    assert database.read_bytes() == whole
    database.unlink()
    assert check_database(database.parent) == ""
    assert not list(database.parent.glob("mosquitto.db*"))


def test_installing_copies_everything_and_restarts_only_when_it_must(tmp_path):
    """Files for the broker's user alone; a reload is enough for certificates and access."""
    made = SecuredSite(tmp_path)  # in place, for its certificates
    source = made.folder / "broker"
    values = {"port": 8883, "folder": mosquitto.INSTALLED_FOLDER, "data": mosquitto.INSTALLED_DATA}
    for file in mosquitto.FILES:
        (source / file).write_text(mosquitto.text_of(file, **values))
    calls = tmp_path / "calls"
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$*" >>{calls}\n')
    # there may be no user mosquitto here
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    root = tmp_path / "root"

    def install() -> list[str]:
        calls.unlink(missing_ok=True)
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "DESTDIR": str(root)}
        subprocess.run(["sh", str(source / "install.sh")], check=True, env=environment)
        return calls.read_text().splitlines()

    assert install() == ["daemon-reload", "enable mosquitto", "restart mosquitto"]
    to = root / mosquitto.INSTALLED_FOLDER[1:]
    assert stat.S_IMODE(to.stat().st_mode) == 0o750
    for file in ("mosquitto.conf", "acl", "ca.pem", "cert.pem", "key.pem", "crl.pem"):
        assert (to / file).read_bytes() == (source / file).read_bytes()
        assert stat.S_IMODE((to / file).stat().st_mode) == 0o600
    assert os.access(to / "check-database.sh", os.X_OK)
    named = re.findall(r"^\w+ (/etc/\S+)$", (to / "mosquitto.conf").read_text(), re.MULTILINE)
    assert len(named) == 5
    assert all((root / path[1:]).exists() for path in named)
    drop_in = root / "etc/systemd/system/mosquitto.service.d/vedette.conf"
    assert drop_in.read_bytes() == (source / "vedette.conf").read_bytes()

    made.run("add", "press-1")
    made.run("revoke", "press-1")
    assert install() == ["reload-or-restart mosquitto"]
    assert (to / "crl.pem").read_bytes() == (source / "crl.pem").read_bytes()
    with (source / "mosquitto.conf").open("a") as file:
        file.write("max_connections 100\n")
    assert install() == ["daemon-reload", "enable mosquitto", "restart mosquitto"]
