"""The collector has the device's rules for TLS, and says what a broker holds against it."""

from pathlib import Path

import pytest
from collector_helpers import Collector
from real_broker import until
from secured_site import SecuredSite

import collector.__main__ as command


@pytest.fixture
def plant(tmp_path):
    """A site with a collector's certificate; its broker is not started."""
    made = SecuredSite(tmp_path)
    made.run("add", "central", "--role", "collector")
    yield made
    made.stop()


def files_of(folder: Path) -> list[str]:
    return [f"--{name}-file={folder / name}.pem" for name in ("ca", "cert", "key")]


def refused(capsys, tmp_path, *argv) -> str:
    """The one line with which it does not start."""
    capsys.readouterr()
    db = ["--db", str(tmp_path / "no" / "folder.db"), "--http-port", "0"]
    assert command.main("collect", [*argv, *db]) == 78
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_another_machine_is_reached_by_tls_unless_said_otherwise(plant, tmp_path, capsys):
    """With `--no-tls` the next thing wrong is the database."""
    own = files_of(plant.folder / "central")
    line = refused(capsys, tmp_path, "--host", "broker.local")
    assert "TLS needs --ca-file and --cert-file and --key-file" in line
    assert "vedette site add NAME --role collector" in line
    assert "--no-tls" in line
    line = refused(capsys, tmp_path, "--host", "broker.local", "--username", "u")
    assert line.count("--ca-file") == 1
    assert "--cert-file" not in line
    for argv in (["--no-tls"], own):
        assert "folder.db" in refused(capsys, tmp_path, "--host", "broker.local", *argv)


def test_a_file_that_cannot_be_used_is_named_with_its_option(plant, tmp_path, capsys):
    """Mode and all, as on the device."""
    own = plant.folder / "central"
    for option in ("--ca-file", "--cert-file", "--key-file"):
        line = refused(capsys, tmp_path, *files_of(own), f"{option}=/no/such.pem")
        assert f"{option} /no/such.pem: No such file" in line
    (own / "key.pem").chmod(0o640)
    assert f"chmod 600 {own / 'key.pem'}" in refused(capsys, tmp_path, *files_of(own))
    password = tmp_path / "password"
    password.write_text("x")
    password.chmod(0o644)
    argv = ["--username", "u", "--password-file", str(password)]
    assert f"chmod 600 {password}" in refused(capsys, tmp_path, *argv)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda plant: plant.run("revoke", "central"), "our certificate is revoked"),
        (
            lambda plant: plant.run("renew", "broker", "--broker", "elsewhere"),
            "must be one of the names in the broker's certificate",
        ),
    ],
    ids=["by the broker", "by itself"],
)
def test_a_refusal_is_told_with_the_fix(plant, tmp_path, spoil, words):
    """Where a person looks: the log."""
    own = tmp_path / "own"
    own.mkdir()
    for file in ("ca.pem", "cert.pem", "key.pem"):
        (plant.folder / "central" / file).rename(own / file)
    spoil(plant)
    plant.start()
    argv = ["--host", "localhost", *files_of(own)]
    running = Collector(plant.port, tmp_path / "c.db", *argv)
    said = []
    try:
        assert not running.is_healthy()
        until(lambda: said.append(running.process.stderr.readline()) or words in said[-1])
        assert "fix: " in said[-1]
    finally:
        running.end()
