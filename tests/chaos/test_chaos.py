"""The short schedule, whole; and that the harness would see a loss, a double and an idle fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chaos import oracle, report, sandbox, schedule
from chaos.faults import KINDS
from chaos.oracle import Oracle, Raised, Stored
from chaos.run import Fault, Outcome
from real_broker import until

from collector.store import Received, Store
from contract import messages
from contract.messages import Address, Alert, Stamp

ROOT = Path(__file__).parents[2]


@pytest.mark.broker
@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_doubled_whatever_happens():
    """Thirty faults on real parts; `make chaos` has more and longer ones."""
    if why := sandbox.no_broker():
        pytest.skip(why)
    options = ["--short", "--faults", "30", "--minutes", "2", "--seed", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "chaos", *options],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    found = json.loads(done.stdout)
    assert found["raised"] > 1000
    assert found["lost"] == found["doubled"] == found["failures"] == []
    if os.environ.get("CI"):
        assert found["left_out"] == []
    if not found["left_out"]:
        assert {fault["kind"] for fault in found["faults"]} == {kind.name for kind in KINDS}


def test_a_seed_stands_for_one_schedule_with_every_kind_in_it():
    """Whoever sees a loss can see it again."""
    steps = schedule.draw(KINDS, seed=7, count=60, seconds=900, is_short=False)
    assert steps == schedule.draw(KINDS, seed=7, count=60, seconds=900, is_short=False)
    assert steps != schedule.draw(KINDS, seed=8, count=60, seconds=900, is_short=False)
    faults = [fault for step in steps for fault in step.faults]
    assert len(faults) == 60
    assert {fault.kind for fault in faults} == set(KINDS)
    together = [step.faults for step in steps if len(step.faults) > 1]
    assert together
    assert all(one.target != other.target for one, other in together)


def test_only_whole_lines_of_a_log_count_as_raised(tmp_path: Path):
    """A device killed in the middle of a line has not said anything."""
    log = tmp_path / "device.log"
    log.write_text(
        f"INFO edge.service: alert {'a' * 32} stored as 7\n"
        f"INFO edge.service: alert {'e' * 32} held as 7\n"
        f"INFO edge.service: health {'b' * 32} stored as 8\n"
        f"{'c' * 32} 9\n{'d' * 32} 1"
    )
    watched = Oracle({"device": log})
    try:
        until(lambda: len(watched.raised()) == 3)
    finally:
        watched.close()
    said = [(each.id[0], each.is_held) for each in watched.raised()]
    assert said == [("a", False), ("e", True), ("c", False)]


def _alert(seq: int) -> messages.Encoded:
    body = Alert(workload="w", state="raised", label="x", score=2, threshold=1, hits=1, of=1)
    stamp = Stamp(ts_ns=5, mono_ns=1, boot_id="b", seq=seq, clock_synced=False)
    return messages.encode(body, Address("vedette", "device", "p"), stamp)


def test_the_store_is_read_as_it_is(tmp_path: Path):
    """A copy is counted, a place taken twice is named, a clock is found."""
    first, second = _alert(1), _alert(1)
    store = Store(tmp_path / "collector.db")
    for each in (first, first, second):
        message = messages.decode(each.topic, each.payload, prefix="vedette")
        store.add([Received(message, 10)])
    found = oracle.stored(store.path)
    assert set(found.at_ns) == {first.id, second.id}
    assert found.redelivered == 1
    assert found.doubled == []
    assert found.reused == ["device:1"]
    assert oracle.has_message(store.path, "device", (0, 5))
    assert not oracle.has_message(store.path, "device", (6, 9))
    assert oracle.shorten_log(store.path)
    store.close()


def test_the_table_says_what_a_fault_has_cost():
    """Lost by the fault nearest, copies by the fault before, delay by the faults that lasted."""
    (step, *_) = schedule.draw(KINDS[:1], seed=1, count=1, seconds=1, is_short=True)
    faults = [
        Fault(number, step.faults[0], began_s=at, began_ns=at * 10**9, ended_s=at + 1, ended_ns=0)
        for number, at in ((1, 10), (2, 20))
    ]
    for fault in faults:
        fault.ended_ns = round(fault.ended_s * 1e9)
    raised = [Raised(name, "device", at * 10**9, at) for name, at in (("in", 9), ("out", 19))]
    stored = Stored(at_ns={"in": 12 * 10**9}, redelivered=5)
    outcome = Outcome(faults, raised, stored, lost=raised[1:], copies=[(11.0, 2), (21.0, 5)])
    assert outcome.nearest(19.0).number == 2
    line, total = report.lines(outcome)
    assert line.cells() == ("SIGKILL device", "2", "1", "5", "3.0")
    assert total.cells() == ("all", "2", "1", "5", "3.0")
    assert report.as_text([line]).splitlines()[2].split(" | ")[1].strip() == "2"
    assert json.loads(json.dumps(report.as_json(outcome, seed=1)))["lost"] == ["out"]
