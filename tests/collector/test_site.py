"""`vedette site`: what it makes, that nothing is overwritten, and what a crash leaves behind."""

import datetime as dt
import itertools
import json
import shutil
import ssl
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from collector import certificates, issuing, site
from collector.site_folder import Registry, SiteError, SiteFolder
from edge.config import Mqtt

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
HOSTS = "broker.local,192.168.1.10"


@pytest.fixture
def plant(tmp_path):
    """A site with a device."""
    folder = tmp_path / "plant"
    assert run("init", str(folder), "--broker", HOSTS) == 0
    assert run("add", "--site", str(folder), "press-1") == 0
    return folder


def run(*argv):
    return site.main("site", list(argv))


def on(folder, command, *argv):
    return run(command, "--site", str(folder), *argv)


def states(folder, capsys):
    capsys.readouterr()
    assert on(folder, "list", "--json") == 0
    holders = json.loads(capsys.readouterr().out)["holders"]
    return {holder["name"]: holder["state"] for holder in holders}


def certificate(folder, name):
    return x509.load_pem_x509_certificate((folder / name / "cert.pem").read_bytes())


def revoked_serials(folder):
    crl = x509.load_pem_x509_crl((folder / "broker" / "crl.pem").read_bytes())
    return {one.serial_number for one in crl}


def public(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def everything(folder):
    """Every file with its content, but the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# -- what is made ----------------------------------------------------------------------------------


def test_secrets_are_for_their_owner_alone(plant):
    for path in plant.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() or path.name == "key.pem":
            assert not mode & 0o077, path
    assert len(list(plant.rglob("key.pem"))) == 3


def test_certificates_say_what_they_are_for(plant):
    ca, broker, press = (certificate(plant, name) for name in ("ca", "broker", "press-1"))

    def of(made, kind):
        return made.extensions.get_extension_for_class(kind).value

    assert of(ca, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=0)
    assert of(broker, x509.BasicConstraints).ca is of(press, x509.BasicConstraints).ca is False
    names = of(broker, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["broker.local"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.10"]
    assert list(of(broker, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert list(of(press, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert press.subject.rfc4514_string() == "CN=press-1"


def test_a_board_that_boots_in_1970_may_use_them(plant):
    """Neither certificates nor the revocation list begin in its future."""
    for name in ("ca", "broker", "press-1"):
        assert certificate(plant, name).not_valid_before_utc == certificates.EPOCH
    crl = x509.load_pem_x509_crl((plant / "broker" / "crl.pem").read_bytes())
    assert crl.last_update_utc < certificates.EPOCH + dt.timedelta(days=1)


def test_openssl_takes_the_whole_chain_at_its_strictest(plant):
    """As Python 3.13 checks it by default, with the revocation list."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (Debian: apt-get install openssl)")
    strict = ["openssl", "verify", "-x509_strict", "-CAfile", str(plant / "ca" / "cert.pem")]
    strict += ["-crl_check", "-CRLfile", str(plant / "broker" / "crl.pem")]
    for purpose, name in (("sslserver", "broker"), ("sslclient", "press-1")):
        command = [*strict, "-purpose", purpose, str(plant / name / "cert.pem")]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    swapped = [*strict, "-purpose", "sslserver", str(plant / "press-1" / "cert.pem")]
    assert subprocess.run(swapped, check=False, capture_output=True).returncode != 0


def test_the_table_for_a_device_is_valid_and_complete(plant):
    table = tomllib.loads((plant / "press-1" / "mqtt.toml").read_text())["mqtt"]
    mqtt = msgspec.convert(table, Mqtt)
    assert (mqtt.host, mqtt.port, mqtt.tls) == ("broker.local", 8883, True)
    for file in (mqtt.ca_file, mqtt.cert_file, mqtt.key_file):
        assert (plant / "press-1" / file).exists()
    context = ssl.create_default_context(cafile=plant / "press-1" / "ca.pem")
    context.load_cert_chain(plant / "press-1" / "cert.pem", plant / "press-1" / "key.pem")


def test_the_revocation_list_never_ends_before_the_site_does(plant):
    """With an expired one Mosquitto refuses everybody."""
    on(plant, "revoke", "press-1")
    crl = x509.load_pem_x509_crl((plant / "broker" / "crl.pem").read_bytes())
    assert crl.next_update_utc == certificate(plant, "ca").not_valid_after_utc
    assert certificate(plant, "broker").not_valid_after_utc < crl.next_update_utc


def test_each_revocation_list_is_later_than_the_one_before(plant):
    """Of two OpenSSL believes the later; the clock of this machine plays no part."""

    def date():
        return x509.load_pem_x509_crl((plant / "broker" / "crl.pem").read_bytes()).last_update_utc

    dates = [date()]
    for _ in range(3):
        on(plant, "revoke", "press-1")
        dates.append(date())
        on(plant, "add", "press-1")
    assert dates == sorted(set(dates))


def test_no_certificate_outlives_the_site(plant):
    on(plant, "add", "press-2", "--days", "7300")
    on(plant, "renew", "press-2", "--days", "7300")
    end = certificate(plant, "ca").not_valid_after_utc
    assert certificate(plant, "press-2").not_valid_after_utc <= end


# -- nothing by accident ---------------------------------------------------------------------------


def test_saying_it_twice_changes_nothing(plant):
    before = everything(plant)
    assert run("init", str(plant), "--broker", HOSTS) == 0
    assert on(plant, "add", "press-1") == 0
    assert on(plant, "list") == 0
    assert everything(plant) == before


def test_a_configuration_changed_by_a_person_stays(plant):
    config = plant / "broker" / "mosquitto.conf"
    config.write_text(config.read_text() + "max_connections 100\n")
    before = config.read_bytes()
    on(plant, "add", "central", "--role", "collector")
    on(plant, "revoke", "press-1")
    assert config.read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["add", "press-1", "--role", "viewer"], ["press-1 is a device", "another name"]),
        (["renew", "press-9"], ["nobody here is called press-9", "press-1"]),
        (["revoke", "nobody"], ["nobody here is called nobody", "list"]),
        (["revoke", "broker"], ["broker", "no revocation list"]),
        (["renew", "press-1", "--broker", "b"], ["--broker is for `renew broker`"]),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_fix(plant, capsys, argv, words):
    before = everything(plant)
    capsys.readouterr()
    assert on(plant, *argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for word in words:
        assert word in captured.err
    assert everything(plant) == before


@pytest.mark.parametrize(
    "name", ["Press", "press/1", "..", "press_1", "health", "ca", "broker", ""]
)
def test_a_bad_name_is_refused(plant, name):
    """A name is a part of topics, a user in the access list and a folder here."""
    before = everything(plant)
    with pytest.raises(SystemExit) as ended:
        on(plant, "add", "press-2", name)
    assert ended.value.code == 2
    assert everything(plant) == before


@pytest.mark.parametrize("hosts", ["", "a,", "bad host", "a/b", "-a", "x" * 64, "[::1]", "a:1883"])
def test_a_bad_host_is_refused(tmp_path, hosts):
    with pytest.raises(SystemExit) as ended:
        run("init", str(tmp_path / "x"), "--broker", hosts)
    assert ended.value.code == 2
    assert not (tmp_path / "x").exists()


def test_a_second_init_must_ask_for_the_same(plant, capsys):
    assert run("init", str(plant), "--broker", "other.local") == 1
    assert "fix: `vedette site renew broker --broker other.local`" in capsys.readouterr().err
    assert run("init", str(plant), "--broker", HOSTS, "--port", "1") == 1
    assert "port 8883" in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("all of it")
    assert run("init", str(tmp_path), "--broker", "b") == 1
    assert "thesis.txt" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {"thesis.txt", ".lock"}


def test_a_folder_that_is_no_site_is_named_and_nothing_is_left_in_it(tmp_path, capsys):
    assert on(tmp_path, "list") == 1
    assert "no site here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_files_that_were_carried_away_are_not_made_again_unasked(plant, capsys):
    shutil.rmtree(plant / "press-1")
    assert on(plant, "add", "press-1") == 1
    assert "renew press-1 --new-key" in capsys.readouterr().err
    assert on(plant, "renew", "press-1") == 1
    assert "fix: --new-key" in capsys.readouterr().err
    assert on(plant, "renew", "press-1", "--new-key") == 0
    assert (plant / "press-1" / "key.pem").exists()


def test_an_authority_whose_key_others_can_read_is_not_used(plant, capsys):
    (plant / "ca" / "key.pem").chmod(0o644)
    assert on(plant, "add", "press-2") == 1
    assert "chmod 600" in capsys.readouterr().err


def test_two_commands_at_once_do_not_mix(plant):
    with (
        SiteFolder(plant).locked(),
        pytest.raises(SiteError, match="another"),
        SiteFolder(plant).locked(),
    ):
        pass


# -- renew, revoke, list ---------------------------------------------------------------------------


def test_renewing_is_for_the_same_key_and_needs_no_secret(plant):
    before = certificate(plant, "press-1")
    key = (plant / "press-1" / "key.pem").read_bytes()
    (plant / "press-1" / "key.pem").unlink()  # carried to the device and nowhere else
    assert on(plant, "renew", "press-1", "--days", "3000") == 0
    after = certificate(plant, "press-1")
    assert public(after.public_key()) == public(before.public_key())
    assert public(after.public_key()) == public(certificates.key_from_pem(key).public_key())
    assert after.not_valid_after_utc > before.not_valid_after_utc
    assert revoked_serials(plant) == set(), "the old one works until the new one is in place"


def test_a_new_key_replaces_the_old_one_and_leaves_other_files_alone(plant):
    (plant / "press-1" / "press-1.toml").write_text("# mine")
    before = certificate(plant, "press-1").public_key()
    assert on(plant, "renew", "press-1", "--new-key") == 0
    after = certificate(plant, "press-1").public_key()
    assert public(after) != public(before)
    key = certificates.key_from_pem((plant / "press-1" / "key.pem").read_bytes())
    assert public(key.public_key()) == public(after)
    assert (plant / "press-1" / "press-1.toml").read_text() == "# mine"


def test_the_broker_can_get_another_name(plant):
    assert on(plant, "renew", "broker", "--broker", "new.local") == 0
    made = certificate(plant, "broker")
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["new.local"]
    on(plant, "add", "press-2")
    assert 'host = "new.local"' in (plant / "press-2" / "mqtt.toml").read_text()


def test_revoking_shuts_out_every_certificate_a_name_ever_had(plant, capsys):
    serials = {certificate(plant, "press-1").serial_number}
    on(plant, "renew", "press-1")
    serials.add(certificate(plant, "press-1").serial_number)
    assert on(plant, "revoke", "press-1") == 0
    assert "sudo sh install.sh" in capsys.readouterr().out
    assert revoked_serials(plant) == serials
    assert not (plant / "press-1" / "key.pem").exists()
    assert "user press-1\ntopic deny #" in (plant / "broker" / "acl").read_text()
    assert on(plant, "revoke", "press-1") == 0, "twice is no mistake"

    assert on(plant, "add", "press-1") == 0
    assert revoked_serials(plant) == serials, "the old ones stay out"
    assert certificate(plant, "press-1").serial_number not in serials
    assert "press-1" not in (plant / "broker" / "acl").read_text()


def test_only_what_changes_the_broker_asks_for_it(plant, capsys):
    """A new device needs nothing there."""
    capsys.readouterr()
    for argv, is_asked in [
        (["add", "press-2"], False),
        (["renew", "press-2"], False),
        (["add", "kitchen", "--role", "viewer"], True),
        (["revoke", "press-2"], True),
        (["add", "press-2"], True),
        (["renew", "broker"], True),
    ]:
        on(plant, *argv)
        assert ("install.sh" in capsys.readouterr().out) == is_asked, argv


def test_the_list_warns_before_the_end(plant, capsys):
    on(plant, "add", "soon", "--days", "59")
    on(plant, "add", "later", "--days", "70")
    assert states(plant, capsys) == {
        "broker": "valid",
        "press-1": "valid",
        "soon": "expiring",
        "later": "valid",
    }
    on(plant, "revoke", "press-1")
    captured = capsys.readouterr()
    assert "warning: soon is expiring" in captured.err
    assert "fix: vedette site renew soon" in captured.err
    assert captured.err.count("warning") == 1
    assert states(plant, capsys)["press-1"] == "revoked"


def test_an_expired_name_is_listed_as_such(plant, capsys):
    folder = SiteFolder(plant)
    long_ago = NOW - dt.timedelta(days=400)
    issuing.add(folder, ["old"], "device", days=365, now=long_ago)
    assert states(plant, capsys)["old"] == "expired"
    assert on(plant, "renew", "old") == 0
    assert states(plant, capsys)["old"] == "valid"


def test_no_command_prints_a_secret(plant, capsys):
    for argv in (["add", "press-2"], ["list", "--json"], ["renew", "press-2", "--new-key"]):
        on(plant, *argv)
    captured = capsys.readouterr()
    for path in plant.rglob("key.pem"):
        for line in path.read_text().splitlines()[1:-1]:
            assert line not in captured.out + captured.err


def test_it_runs_as_a_command(tmp_path):
    """From the one program there is."""
    command = [sys.executable, "vedette.py", "site", "init", str(tmp_path / "p"), "--broker", "b"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "broker  broker" in done.stdout


# -- a crash at every step -------------------------------------------------------------------------


class CrashError(Exception):
    """The power was cut."""


class DyingFolder(SiteFolder):
    """Dies before the n-th file is written or moved."""

    def __init__(self, path, steps):
        super().__init__(path)
        self._steps = itertools.count(1)
        self._most = steps

    def _step(self):
        if next(self._steps) > self._most:
            raise CrashError

    def write(self, path, content, *, mode=0o644):
        self._step()
        super().write(path, content, mode=mode)
        self._step()

    def hand_out(self, name):
        self._step()
        waiting = self._waiting(name)
        # as far as the first file, then dead
        if next(self._steps) > self._most:
            (self.path / name).mkdir(exist_ok=True)
            first = min(waiting.iterdir(), key=lambda path: path.name == "cert.pem")
            first.replace(self.path / name / first.name)
            raise CrashError
        super().hand_out(name)
        self._step()


def handed_out(path):
    """Certificates that somebody may have carried away already."""
    return [made for made in path.glob("[!.]*/cert.pem") if made.parent.name != "ca"]


def check_that_all_can_be_revoked(path):
    """What is handed out is known, at every moment."""
    folder = SiteFolder(path)
    holders = folder.registry().holders if folder.is_made else {}
    known = {issued.serial for held in holders.values() for issued in held.issued}
    assert {
        f"{certificate(path, m.parent.name).serial_number:x}" for m in handed_out(path)
    } <= known


def check_consistency(path):
    """Every key fits, everything issued is known, the broker's files say what the registry says."""
    check_that_all_can_be_revoked(path)
    registry = SiteFolder(path).registry()
    for made in handed_out(path):
        own = certificate(path, made.parent.name)
        key = certificates.key_from_pem(made.with_name("key.pem").read_bytes())
        assert public(key.public_key()) == public(own.public_key()), made
    revoked = {
        int(issued.serial, 16)
        for held in registry.holders.values()
        for issued in held.issued
        if issued.revoked
    }
    assert revoked_serials(path) == revoked
    assert not list(path.glob(".new-*"))
    assert not list(path.rglob("*.new"))


WANTED = {"hosts": ["broker.local"], "port": 8883, "prefix": "vedette", "is_in_place": False}
COMMANDS = {
    "init": lambda folder: issuing.found(folder, Registry(**WANTED), now=NOW),
    "add": lambda folder: issuing.add(folder, ["a", "b"], "device", days=9, now=NOW),
    "renew": lambda folder: issuing.renew(folder, "a", has_new_key=True, days=9, now=NOW),
    "revoke": lambda folder: issuing.revoke(folder, ["a"], now=NOW),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_after_a_crash_at_any_step_the_same_command_finishes_the_work(tmp_path, command):
    """And whatever was there before is still usable."""
    died = 0
    for steps in itertools.count():
        path = tmp_path / str(steps)
        path.mkdir()
        for before in itertools.takewhile(lambda name: name != command, COMMANDS):
            COMMANDS[before](SiteFolder(path))
        dying = DyingFolder(path, steps)
        try:
            with dying.locked():
                COMMANDS[command](dying)
        except CrashError:
            died += 1
        else:
            break
        check_that_all_can_be_revoked(path)
        again = SiteFolder(path)
        with again.locked():
            COMMANDS[command](again)
        check_consistency(path)
    assert died >= 4
    holders = SiteFolder(path).registry().holders
    assert set(holders) == ({"broker"} if command == "init" else {"broker", "a", "b"})
