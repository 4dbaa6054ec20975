"""How much the device writes, with room to spare: `benchmarks/writes.py` has the figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import tiny_bundle

from benchmarks import writes
from edge import doctor

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder on a disk: what is written into memory is not counted."""
    assert doctor.mount(tmp_path)[0] != "tmpfs", "fix: TMPDIR=/var/tmp"
    return tmp_path


def test_an_alert_of_a_burst_costs_little_more_than_a_page(disk: Path):
    """Eight pipelines at once share commits; one by one none can be shared."""
    case = "threads={}, at_once=1, commit_s=0.005, count=1600"
    shared = writes.apart(f"bursts(FOLDER, {case.format(8)})", disk)
    alone = writes.apart(f"bursts(FOLDER, {case.format(1)})", disk)
    plain = writes.apart("plain(FOLDER, count=400)", disk)
    assert 600 < shared < 1.25 * writes.GOAL_ALERT_BYTES
    assert shared < 0.7 * alone
    assert alone < 0.5 * plain


@pytest.mark.broker
def test_an_idle_day_writes_next_to_nothing(disk: Path):
    """Health that is acknowledged never goes to the disk."""
    day = writes.idle(disk, tiny_bundle(disk / "bundle"), writes.acknowledging, seconds=30.0)
    assert day["bytes_per_day"] < writes.GOAL_DAY_BYTES
    assert 10e6 < day["memory_bytes"] < 200e6
