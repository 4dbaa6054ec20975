"""Every target runs, and a bug would be found, kept, and shown again by the printed command."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from fuzz import __main__ as fuzz
from fuzz import fuzz_decode

from contract import messages
from contract.messages import MessageError

BROKEN = """
def seeds():
    return [b"harmless"]

def mutate(data, rng):
    return None

def one(data):
    if data[:1] == b"b":
        if data[1:2] == b"u":
            if data[2:3] == b"g":
                raise KeyError("the bug")
"""


@pytest.fixture
def possible():
    if why := fuzz.why_not():
        pytest.skip(why)


@pytest.mark.slow
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_second_of_every_target_finds_nothing(possible, tmp_path, name):
    found = fuzz.fuzz(f"fuzz.fuzz_{name}", tmp_path, seconds=1.0)
    assert not found.failure
    assert found.inputs > 10


@pytest.mark.slow
def test_a_bug_is_found_kept_and_shown_again(possible, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = fuzz.fuzz("broken", tmp_path / "run", seconds=30.0, seed=1)
    assert "KeyError: 'the bug'" in found.failure
    (kept,) = (tmp_path / "run").glob("crash-*")
    assert kept.read_bytes()[:3] == b"bug"
    again = subprocess.run(
        f"PYTHONPATH={tmp_path}:{found.again.removeprefix('PYTHONPATH=')}",
        shell=True,
        cwd=Path(fuzz.ROOT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode != 0
    assert "KeyError: 'the bug'" in again.stderr


def test_changed_messages_are_refused_for_many_reasons_and_some_are_taken():
    """Else all the fuzzing would never get past the first check."""
    rng, said = Random(1), Counter()
    seeds = fuzz_decode.seeds()
    for _ in range(3000):
        topic, _, payload = (fuzz_decode.mutate(rng.choice(seeds), rng) or b"\n").partition(b"\n")
        try:
            messages.decode(topic.decode("utf-8", "replace"), payload, prefix=fuzz_decode.PREFIX)
        except MessageError as error:
            said[str(error)] += 1
        else:
            said["taken"] += 1
    assert said["taken"] > 100
    assert len(said) > 100
