"""Drop-ins and udev rules let the service read its sensors, and nothing else."""

from __future__ import annotations

import grp
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "firmware_configs"
UNIT = CONFIGS / "systemd" / "vedette-edge@.service"
DROP_INS = sorted((CONFIGS / "systemd" / "sensors").glob("*.conf"))
RULES = (CONFIGS / "udev" / "70-vedette.rules").read_text()
DOCS = (ROOT / "docs" / "device.md").read_text()


def settings(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("#", "["))]
    return dict(line.split("=", 1) for line in lines if line)


@pytest.fixture
def analyze(tmp_path):
    """Runs systemd-analyze on the unit with one drop-in."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/vedette/bin/vedette", "/bin/true"))
    folder = tmp_path / f"{UNIT.name}.d"
    folder.mkdir()

    def run(drop_in: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (folder / "sensor.conf").write_text(drop_in.replace("/opt/vedette/bin/python", "/bin/true"))
        return subprocess.run(
            ["systemd-analyze", *arguments, str(copy)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C", "SYSTEMD_COLORS": "0"},
        )

    return run


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_the_unit_with_a_drop_in_is_verified_without_a_word(analyze, drop_in):
    """And a misspelt one would be told, or this would prove nothing."""
    text = drop_in.read_text()
    done = analyze(text, "verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")
    assert "DeviceAlow" in analyze(text.replace("Allow", "Alow"), "verify", "--man=no").stderr


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_the_unit_stays_closed_but_for_that_sensor(analyze, drop_in):
    """As systemd scores it: below 2 of 10, like the unit itself."""
    done = analyze(drop_in.read_text(), "security", "--offline=true", "--no-pager")
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score is not None, done.stdout + done.stderr
    assert float(score[1]) <= 2.0
    # a private /dev has no sensors in it, whatever DeviceAllow= says
    got = settings(drop_in)
    assert got["PrivateDevices"] == "no"
    allowed = re.findall(r"^DeviceAllow=(.*)$", drop_in.read_text(), flags=re.MULTILINE)
    assert allowed
    assert all(re.fullmatch(r"char-\w+\*? (r|rw)", one) for one in allowed)
    assert "DevicePolicy=closed" in UNIT.read_text()


def test_groups_of_the_rules_are_those_of_the_drop_ins_and_are_made_by_the_docs():
    """A group that does not exist keeps the unit from starting."""
    in_rules = set(re.findall(r'GROUP="(\w+)"', RULES))
    in_drop_ins = {settings(path)["SupplementaryGroups"] for path in DROP_INS}
    made = set(re.findall(r"groupadd --system --force (\w+)", DOCS))
    everywhere = {"audio", "video"}  # of Debian's base-passwd
    assert in_rules - everywhere == made == in_drop_ins - everywhere


def test_every_drop_in_is_named_in_the_docs():
    """Whoever has a sensor must find its file."""
    assert DROP_INS
    for path in DROP_INS:
        assert f"`{path.name}`" in DOCS


def test_every_rule_is_one_that_udev_can_read():
    """Matches with ==, assignments with = or +=, all values in quotes."""
    rules = [line for line in RULES.splitlines() if line and not line.startswith("#")]
    part = r'(?:SUBSYSTEM|KERNEL|ACTION)=="[^"]+"|(?:GROUP|MODE)="[^"]+"|RUN\+="[^"]+"'
    for rule in rules:
        assert re.fullmatch(rf"(?:{part})(?:, (?:{part}))*", rule), rule


def test_the_group_may_write_what_root_may_and_no_more(tmp_path):
    """The rule's own command on a tree like that of a device."""
    (command,) = re.findall(r'RUN\+="(.*)"', RULES)
    writable, readable = tmp_path / "buffer" / "enable", tmp_path / "name"
    writable.parent.mkdir()
    for path, mode in ((writable, 0o644), (readable, 0o444)):
        path.touch()
        path.chmod(mode)
    own = grp.getgrgid(os.getgid()).gr_name
    words = shlex.split(command.replace("/sys%p", str(tmp_path)).replace(" iio ", f" {own} "))
    subprocess.run(words, check=True)
    assert [path.stat().st_mode & 0o777 for path in (writable, readable)] == [0o664, 0o444]
