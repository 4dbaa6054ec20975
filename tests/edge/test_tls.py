"""Certificate, key and password: checked at the start, never told, refusals explained."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from real_broker import until
from secured_site import SecuredSite

from collector import certificates
from contract import messages
from contract.messages import Address, Alert, Command, Stamp
from contract.tls import (
    Certificate,
    Setting,
    expiry_warning,
    explain,
    is_loopback,
    read_certificate,
)
from edge import tls
from edge.clock import Clock
from edge.config import Mqtt
from edge.errors import ConfigError
from edge.outbox import Outbox
from edge.publisher import Publisher

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct-horse-battery"


@pytest.fixture
def site(tmp_path):
    """A site with two devices; its broker is not started."""
    made = SecuredSite(tmp_path)
    made.run("add", "press-1", "press-2")
    yield made
    made.stop()


# -- what is on by default -------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_to_this_very_machine_it_speaks_plain_without_a_word(host):
    mqtt = Mqtt(host=host)
    assert (mqtt.tls, mqtt.port) == (False, 1883)
    assert tls.context(mqtt, "press-1") is None


@pytest.mark.parametrize(
    "host",
    ["broker.local", "10.0.0.1", "localhost.evil.example", "127.0.0.1.example", "0.0.0.0", ""],
)
def test_to_every_other_host_tls_is_on(host):
    assert not is_loopback(host)
    mqtt = Mqtt(host=host)
    assert (mqtt.tls, mqtt.port) == (True, 8883)


def test_what_is_said_counts():
    assert Mqtt(host="broker.local", tls=False).port == 1883
    assert Mqtt(tls=True).port == 8883
    assert Mqtt(ca_file="ca.pem").tls is True, "a certificate says it, too"
    assert Mqtt(host="broker.local", port=1).port == 1


def test_old_protocols_and_unchecked_names_are_off(site):
    context = tls.context(site.mqtt("press-1"), "press-1")
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


# -- files -----------------------------------------------------------------------------------------


def refused(site, **changes) -> str:
    """The one line with which a config is refused."""
    with pytest.raises(ConfigError) as error:
        tls.context(site.mqtt("press-1", **changes), "press-1")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_cannot_be_used_is_named_with_its_key(site, tmp_path, key):
    assert refused(site, **{key: "/no/such.pem"}).startswith(
        f"mqtt.{key} = '/no/such.pem': No such"
    )
    assert f"mqtt.{key}" in refused(site, **{key: str(tmp_path)})
    junk = tmp_path / "junk.pem"
    for content in (b"", b"junk\n", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"):
        junk.write_bytes(content)
        junk.chmod(0o600)
        assert f"mqtt.{key} = '{junk}'" in refused(site, **{key: str(junk)})


def test_a_certificate_cut_in_half_is_no_certificate(site, tmp_path):
    whole = (site.folder / "press-1" / "cert.pem").read_text()
    header, *body, footer = whole.splitlines()
    for lines in range(len(body)):
        cut = tmp_path / "cut.pem"
        cut.write_text("\n".join([header, *body[:lines], footer]) + "\n")
        assert "mqtt.cert_file" in refused(site, cert_file=str(cut))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602])
def test_a_secret_that_others_may_use_is_refused(site, tmp_path, mode):
    """With the command that puts it right."""
    key = site.folder / "press-1" / "key.pem"
    key.chmod(mode)
    assert f"(mode {mode:04o}); fix: chmod 600 {key}" in refused(site)
    key.chmod(0o600)
    assert tls.context(site.mqtt("press-1"), "press-1") is not None
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(mode)
    with pytest.raises(ConfigError, match=rf"mqtt\.password_file.*chmod 600 {password}") as error:
        tls.read_password(Mqtt(password_file=str(password)))
    assert PASSWORD not in str(error.value)


def test_credentials_of_systemd_are_found_by_name_and_not_asked_for_their_mode(
    site, tmp_path, monkeypatch
):
    """It hands them over readable as it sees fit."""
    credentials = tmp_path / "credentials"
    shutil.copytree(site.folder / "press-1", credentials)
    for file in credentials.iterdir():
        file.chmod(0o444)
    (credentials / "password").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    mqtt = Mqtt(
        host="b",
        ca_file="ca.pem",
        cert_file="cert.pem",
        key_file="key.pem",
        password_file="password",
    )
    assert tls.context(mqtt, "press-1") is not None
    assert tls.read_password(mqtt) == PASSWORD
    outside = site.folder / "press-1" / "key.pem"
    outside.chmod(0o644)
    assert "chmod 600" in refused(site, key_file=str(outside))


def test_a_key_that_is_not_the_certificates_is_refused(site):
    other = str(site.folder / "press-2" / "key.pem")
    said = refused(site, key_file=other)
    assert said.startswith(f"mqtt.key_file = '{other}': is not the key of mqtt.cert_file")


def test_an_encrypted_key_is_refused_and_nobody_is_asked(site):
    """OpenSSL would ask for its password on the terminal, and a service would wait for ever."""
    path = site.folder / "press-1" / "key.pem"
    key = certificates.key_from_pem(path.read_bytes())
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    assert "is encrypted; fix: a key without a password" in refused(site)


def test_the_certificate_of_another_device_is_refused(site):
    """It would be let in, and everything it says thrown away."""
    with pytest.raises(
        ConfigError, match=r"mqtt\.cert_file.*'press-2'.*'press-1'.*site add press-1"
    ):
        tls.context(site.mqtt("press-2"), "press-1")


# -- the date --------------------------------------------------------------------------------------


def long_certificate(until: dt.datetime) -> bytes:
    """One with everything that stands before the date and the name, and an RSA key."""
    key = rsa.generate_private_key(65537, 2048)
    names = [(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "O" * 64)]
    issuer = x509.Name([x509.NameAttribute(*name) for name in names])
    names.append((NameOID.COMMON_NAME, "pumpe-ä"))
    subject = x509.Name([x509.NameAttribute(*name) for name in names])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(1999, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(until)
    )
    return made.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("year", [2000, 2026, 2049, 2050, 2120])
def test_name_and_end_are_read_without_a_library(tmp_path, year):
    """Two digits of the year until 2049, four after."""
    until = dt.datetime(year, 2, 28, 23, 59, 58, tzinfo=dt.UTC)
    path = tmp_path / "cert.pem"
    path.write_bytes(b"some text before it\n" + long_certificate(until))
    got = read_certificate(Setting("it", path))
    assert got == Certificate("pumpe-ä", until)


@pytest.mark.parametrize(
    ("left_days", "words"),
    [
        (30.5, None),
        (29.5, "expires on 2026-12-21, in 29 days"),
        (0.5, "expires on 2026-11-22, in 0 days"),
        (-0.5, "expired on 2026-11-21"),
        (-400, "expired on 2025-10-18"),
    ],
)
def test_the_end_is_told_a_month_before(left_days, words):
    now = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    own = Certificate("press-1", now + dt.timedelta(days=left_days))
    said = expiry_warning(own, now, within_days=tls.WARN_DAYS)
    if words is None:
        assert said is None
    else:
        assert words in said
        assert "fix: vedette site renew press-1" in said


# -- connecting ------------------------------------------------------------------------------------


class Device:
    """Outbox and publisher of press-1."""

    def __init__(self, folder: Path, mqtt: Mqtt) -> None:
        folder.mkdir()
        self.outbox = Outbox(folder / "outbox.db", max_bytes=8 << 20)
        self.clock = Clock(first_seq=1)
        self.publisher = Publisher(mqtt, "press-1", self.outbox, self.clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.publisher.run, args=(self._stop,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
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
        message = messages.encode(body, Address("vedette", "press-1", "p"), self.clock.stamp())
        self.outbox.put(message)
        self.publisher.wake()
        return message.id


@pytest.mark.broker
def test_a_refused_device_says_why_keeps_storing_and_never_spins(site, tmp_path, caplog):
    """Jittered, growing pauses; progress goes on, so the watchdog stays fed."""
    stolen = tmp_path / "stolen"
    shutil.copytree(site.folder / "press-1", stolen)
    site.run("revoke", "press-1")
    site.start()
    files = {f"{key}_file": str(stolen / f"{key}.pem") for key in ("ca", "cert", "key")}
    with Device(tmp_path / "d", Mqtt(host="localhost", port=site.port, **files)) as device:
        began_s = time.monotonic()
        while time.monotonic() - began_s < 6.0:
            device.alert()
            age_s = (time.monotonic_ns() - device.publisher.progress_ns) / 1e9
            assert age_s < 3.0
            time.sleep(0.1)
        assert device.outbox.health().rows >= 40
        assert not device.publisher.is_connected
    said = [record for record in caplog.records if record.name == "edge.publisher"]
    assert 2 <= len(said) <= 5
    for record in said:
        assert f"localhost:{site.port}" in record.getMessage()
        assert "certificate is revoked; fix: a new one by `vedette site add`" in record.getMessage()
    pauses_s = [b.created - a.created for a, b in itertools.pairwise(said)]
    assert pauses_s[-1] > pauses_s[0] or len(pauses_s) == 1


@pytest.mark.broker
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("another site's CA", "we do not believe the broker"),
        ("another name", "the host must be one of the names in the broker's certificate"),
        ("no certificate", "the broker asks for a certificate; fix: give one, with its key"),
    ],
)
def test_why_it_cannot_connect_is_told_with_the_fix(site, tmp_path, caplog, trouble, words):
    """Whichever side refuses the other."""
    changes = {}
    if trouble == "another site's CA":
        (tmp_path / "other").mkdir()
        changes = {"ca_file": str(SecuredSite(tmp_path / "other").folder / "ca" / "cert.pem")}
    elif trouble == "another name":
        site.run("renew", "broker", "--broker", "broker.elsewhere")
    else:
        changes = {"cert_file": None, "key_file": None, "username": "press-1"}
    site.start()
    with Device(tmp_path / "d", site.mqtt("press-1", **changes)) as device:
        until(lambda: words in caplog.text)
        assert not device.publisher.is_connected


def test_a_broker_that_is_away_is_not_taken_for_one_that_refuses(site, tmp_path, caplog):
    """What was true of the last connection is forgotten before the next."""
    device = Device(tmp_path / "d", site.mqtt("press-1"))
    device.publisher._tls.refusal = "something old"
    with device:
        until(lambda: "Connection refused" in caplog.text)
    assert "something old" not in caplog.text


@pytest.mark.broker
def test_the_end_is_told_in_the_log(site, tmp_path, caplog):
    """At every connection, because a service runs for years."""
    site.run("renew", "press-1", "--days", "12")
    site.start()
    with Device(tmp_path / "d", site.mqtt("press-1")) as device:
        until(lambda: device.publisher.is_connected)
    assert "the certificate of press-1 expires on" in caplog.text


def test_what_tls_has_already_decrypted_is_not_left_lying(site, tmp_path):
    """Many packets in one record: the socket is empty after the first, and nothing more comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.folder / "broker" / "cert.pem", site.folder / "broker" / "key.pem")
    listener = socket.create_server(("127.0.0.1", site.port))
    ids: list[str] = []
    is_over = threading.Event()

    def acknowledge(*wanted: str) -> bytes:
        stamp = Stamp(ts_ns=0, mono_ns=0, boot_id="c", seq=0, clock_synced=True)
        command = Command(name="ack", ids=list(wanted))
        sent = messages.encode(command, Address("vedette", "press-1"), stamp)
        topic = sent.topic.encode()
        body = len(topic).to_bytes(2, "big") + topic + sent.payload
        assert 128 <= len(body) < 16_384
        return b"\x30" + bytes([len(body) % 128 | 128, len(body) // 128]) + body

    def serve() -> None:
        with (
            contextlib.closing(listener.accept()[0]) as plain,
            context.wrap_socket(plain, server_side=True) as sock,
        ):
            sock.recv(4096)
            sock.send(b"\x20\x02\x00\x00")
            until(lambda: len(ids) == 3)
            time.sleep(0.5)  # so that all of it is under way
            junk = b"".join(acknowledge("none") for _ in range(20))
            sock.send(junk + acknowledge(*ids))
            is_over.wait(20)

    serving = threading.Thread(target=serve)
    serving.start()
    mqtt = site.mqtt("press-1", version="3.1.1", keepalive_s=60, resend_s=60.0)
    try:
        with listener, Device(tmp_path / "d", mqtt) as device:
            until(lambda: device.publisher.is_connected)
            ids.extend([device.alert() for _ in range(3)])
            until(lambda: device.outbox.health().rows == 0, within_s=5)
            is_over.set()
    finally:
        is_over.set()
        serving.join(20)


@pytest.mark.parametrize("error", [OSError("x"), ssl.SSLError(1, "unknown"), TimeoutError()])
def test_what_is_not_about_tls_is_left_as_it_is(error):
    assert explain(error) is None


# -- the commands ----------------------------------------------------------------------------------

CONFIG = """
[device]
name = "press-1"
state_dir = "{folder}/state"
health_interval_s = 0.2

[mqtt]
host = "localhost"
port = {port}
username = "press-1"
password_file = "{folder}/password"
ca_file = "{own}/ca.pem"
cert_file = "{own}/cert.pem"
key_file = "{own}/key.pem"

[[pipeline]]
name = "bearing"
bundle = "{folder}/no-bundle"

[pipeline.source]
type = "simulate"
"""


@pytest.fixture
def config(site, tmp_path):
    """A device's file with every secret there is."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)
    path = tmp_path / "edge.toml"
    own = site.folder / "press-1"
    path.write_text(CONFIG.format(folder=tmp_path, port=site.port, own=own))
    return path


def vedette(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "vedette.py", *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def mqtt_finding(config: Path) -> dict:
    done = vedette("check", "--config", str(config), "--json")
    return next(f for f in json.loads(done.stdout)["findings"] if f["what"] == "mqtt")


def test_check_says_until_when_and_warns(site, config):
    until_text = read_certificate(Setting("", site.folder / "press-1" / "cert.pem")).until
    found = mqtt_finding(config)
    assert found["is_ok"]
    assert f"localhost:{site.port}, TLS" in found["text"]
    assert f"until {until_text:%Y-%m-%d}" in found["text"]
    site.run("renew", "press-1", "--days", "12")
    found = mqtt_finding(config)
    assert found["is_ok"], "still good enough to run"
    assert "vedette site renew press-1" in f"{found['text']} {found['fix']}"


def test_check_finds_what_run_would(site, config):
    (site.folder / "press-1" / "key.pem").chmod(0o644)
    found = mqtt_finding(config)
    assert not found["is_ok"]
    assert "chmod 600" in found["fix"]


def test_no_secret_is_ever_told(site, config, tmp_path, caplog):
    """Neither when all is well nor when each of the files is wrong in turn."""
    caplog.set_level(logging.DEBUG)
    own = site.folder / "press-1"
    key = (own / "key.pem").read_text()
    secrets = [PASSWORD, *key.splitlines()[1:-1]]
    told = []

    def ask() -> None:
        for argv in (["check", "--json"], ["check"], ["run"]):
            done = vedette(*argv, "--config", str(config))
            assert done.returncode == 78
            told.extend([done.stdout, done.stderr])
        files = [f"--{name}-file={own / name}.pem" for name in ("ca", "cert", "key")]
        files += ["--username", "u", "--password-file", str(tmp_path / "password")]
        broken = ["--db", str(tmp_path / "no" / "folder.db"), "--http-port", "0", "--json"]
        done = vedette("collect", "--host", "localhost", *files, *broken)
        assert done.returncode == 78
        told.extend([done.stdout, done.stderr])

    ask()
    for path in (own / "key.pem", tmp_path / "password"):
        path.chmod(0o644)
        ask()
        path.chmod(0o600)
    for text in (key.replace("BEGIN PRIVATE", "BEGIN STRANGE"), key[: len(key) // 2], "\x00" + key):
        (own / "key.pem").write_text(text)
        ask()
    everything = "".join(told)
    assert "mqtt.key_file" in everything
    assert "--key-file" in everything
    for secret in secrets:
        assert secret not in everything
        assert secret not in config.read_text()
