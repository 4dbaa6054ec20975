"""The unit is verified without a word, hardened, and calls what exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from collector import site
from edge.check import EX_CONFIG

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "firmware_configs" / "systemd" / "vedette-edge@.service"


def settings() -> dict[str, list[str]]:
    """Every setting of the unit with its values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def analyze(tmp_path):
    """Runs systemd-analyze on the unit; its program is replaced by one that exists here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = shlex.split(settings()["ExecStart"][0])[0]
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(program, shutil.which("true") or "/bin/true"))

    def run(*arguments: str, change=lambda text: text) -> subprocess.CompletedProcess[str]:
        copy.write_text(change(copy.read_text()))
        return subprocess.run(
            ["systemd-analyze", *arguments, str(copy)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C", "SYSTEMD_COLORS": "0"},
        )

    return run


def test_the_unit_is_verified_without_a_word(analyze):
    """A misspelt setting gives only a warning and exit code 0, so any word is a failure."""
    done = analyze("verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")


def test_verification_would_tell_of_a_misspelt_setting(analyze):
    """Or the test above would prove nothing."""
    done = analyze(
        "verify", "--man=no", change=lambda text: text.replace("RestartSec", "RstartSec")
    )
    assert "RstartSec" in done.stderr


def test_the_unit_is_exposed_no_more_than_2_of_10(analyze):
    """As systemd scores it."""
    done = analyze("security", "--offline=true", "--no-pager")
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score is not None, done.stdout + done.stderr
    assert float(score[1]) <= 2.0


def test_the_program_takes_every_option_that_the_unit_gives_it():
    """`vedette run --help` knows them."""
    program, verb, *options = shlex.split(settings()["ExecStart"][0])
    assert Path(program).name == "vedette"
    shown = subprocess.run(
        [sys.executable, "vedette.py", verb, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    given = [option for option in options if option.startswith("-")]
    assert given
    for option in given:
        assert option in shown.stdout


def test_exactly_the_config_error_is_not_restarted():
    """Everything else is tried again."""
    assert settings()["Restart"] == ["always"]
    assert settings()["RestartPreventExitStatus"] == [str(EX_CONFIG)]


def test_a_crash_loop_comes_to_an_end():
    """Each start writes to the card; but a watchdog that bites now and then is no crash loop."""
    got = {key: int(values[0]) for key, values in settings().items() if values[0].isdigit()}
    assert got["StartLimitBurst"] * (got["RestartSec"] + 5) < got["StartLimitIntervalSec"]
    assert got["StartLimitBurst"] * got["WatchdogSec"] > got["StartLimitIntervalSec"]
    assert got["LimitCORE"] == 0


def test_a_child_that_is_killed_for_memory_does_not_take_the_service_with_it():
    """Bundles prove themselves, and cameras are read, in processes of their own."""
    assert settings()["OOMPolicy"] == ["continue"]


def test_readiness_and_watchdog_are_those_the_service_speaks():
    """From its main process."""
    got = settings()
    assert (got["Type"], got["NotifyAccess"], got["WatchdogSec"]) == (["notify"], ["main"], ["60"])


def test_a_missing_credential_does_not_keep_the_unit_from_starting():
    """One by name may be missing; one by absolute path may not. Each is of this instance alone."""
    credentials = settings()["LoadCredential"]
    assert len(credentials) == 4
    for credential in credentials:
        name, _, source = credential.partition(":")
        assert source == f"vedette-edge.%i.{name}"


def test_the_table_made_for_a_device_names_the_credentials_of_the_unit(tmp_path):
    """So that it is the same under systemd and by hand."""
    site.main("site", ["init", str(tmp_path / "p"), "--broker", "b"])
    site.main("site", ["add", "--site", str(tmp_path / "p"), "press-1"])
    table = tomllib.loads((tmp_path / "p" / "press-1" / "mqtt.toml").read_text())["mqtt"]
    named = {value for key, value in table.items() if key.endswith("_file")}
    passed_on = {credential.partition(":")[0] for credential in settings()["LoadCredential"]}
    assert len(named) == 3
    assert named < passed_on


def test_the_service_may_ask_for_its_boot_and_its_clock():
    """Both would be hidden by settings that the score asks for."""
    got = settings()
    assert "ProcSubset" not in got
    assert "ProtectClock" not in got
    assert "adjtimex clock_adjtime" in got["SystemCallFilter"]
