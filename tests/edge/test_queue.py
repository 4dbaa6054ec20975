"""The memory before the outbox: young health, and alerts that the disk did not take."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from contract.messages import Encoded
from edge import queue as queue_module
from edge.outbox import Outbox, OutboxFullError
from edge.queue import Queue


def message(seq: int, kind: str = "alert", *, size: int = 300) -> Encoded:
    return Encoded(f"v/d/{kind}", b"x" * size, f"id-{seq}", seq, kind)


class Disk:
    """A real outbox on a disk that can be made to take nothing."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.takes = True
        self.puts = 0
        self.outbox = Outbox(path, max_bytes=8 << 20)
        put = self.outbox.put

        def may_put(*messages, states=None):
            self.puts += 1
            if not self.takes:
                kinds = (m.kind for m in messages if m.kind in {"health", "reading"})
                self.outbox.dropped.update(kinds)
                raise OutboxFullError("no space")
            put(*messages, states=states)

        done = self.outbox.done
        monkeypatch.setattr(self.outbox, "put", may_put)
        monkeypatch.setattr(self.outbox, "done", lambda seqs: self.takes and done(seqs))

    def stored(self) -> list[int]:
        return [row.seq for row in self.outbox.waiting(after=0, limit=10_000)]


@pytest.fixture
def disk(tmp_path, monkeypatch):
    monkeypatch.setattr(queue_module, "_TRY_EVERY_S", 0.0)
    return Disk(tmp_path / "outbox.db", monkeypatch)


@pytest.fixture
def queue(disk):
    queue = Queue(disk.outbox)
    yield queue
    disk.takes = True
    queue.close()


def waiting(queue: Queue) -> list[int]:
    return [row.seq for row in queue.waiting(after=0, limit=10_000)]


def test_health_that_is_acknowledged_in_time_is_never_written(disk, queue):
    """As on every good day; it would be most of what wears the disk out."""
    for seq in range(1, 101):
        assert not queue.put(message(seq, "health"))
        assert waiting(queue) == [seq]
        queue.done([seq])
        queue.tick()
    assert disk.puts == 0
    assert (queue.rows, queue.acknowledged, queue.last_seq) == (0, 100, 100)


def test_health_that_waits_for_long_is_written(disk, queue, monkeypatch):
    """The collector is away; then a restart must not lose it."""
    monkeypatch.setattr(queue_module, "_YOUNG_S", -1.0)
    queue.put(message(1, "health"))
    queue.put(message(2, "health"))
    queue.tick()
    assert (disk.stored(), disk.puts, waiting(queue)) == ([1, 2], 1, [1, 2])
    queue.done([1])
    assert disk.stored() == [2]


def test_much_young_health_is_written_before_its_time(disk, queue):
    """At short intervals it would fill the memory."""
    for seq in range(1, 100):
        queue.put(message(seq, "health"))
        queue.tick()
    assert len(disk.stored()) >= 64
    assert waiting(queue) == list(range(1, 100))


def test_the_order_is_that_of_the_numbers_wherever_a_row_is(queue):
    """The limit counts both."""
    for seq, kind in enumerate(("health", "alert", "health", "reading", "health"), start=1):
        queue.put(message(seq, kind))
    assert waiting(queue) == [1, 2, 3, 4, 5]
    assert [row.seq for row in queue.waiting(after=1, limit=3)] == [2, 3, 4]
    assert [row.kind for row in queue.waiting(after=0, limit=2)] == ["health", "alert"]


def test_alerts_the_disk_does_not_take_are_held_sent_and_stored_later(disk, queue):
    """All of them, with the state of the last."""
    disk.takes = False
    for seq in range(1, 201):
        assert not queue.put(message(seq), states={"p": b"%d" % seq})
        queue.tick()
    assert queue.health().held == 200
    assert waiting(queue) == list(range(1, 201))
    queue.done(range(1, 101))  # sent from memory and acknowledged
    assert (queue.rows, queue.acknowledged) == (100, 100)
    disk.takes = True
    queue.tick()
    assert disk.stored() == list(range(101, 201))
    assert queue.state("p") == b"200"
    assert (queue.health().held, queue.rows, queue.is_failing) == (0, 100, False)
    assert queue.put(message(201))


def test_the_log_tells_when_it_begins_and_when_it_is_over(disk, queue, caplog, monkeypatch):
    """Not with every alert: a disk that is all but full takes one now and then."""
    for seq in range(1, 101):
        disk.takes = seq % 3 == 0
        queue.put(message(seq))
        queue.tick()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    disk.takes = True
    queue.tick()
    monkeypatch.setattr(queue_module, "_CALM_S", -1.0)
    queue.tick()
    queue.tick()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_what_is_acknowledged_is_not_sent_again_though_it_cannot_be_deleted(disk, queue):
    """Or a read-only disk would have it sent again with every acknowledgement, without end."""
    for seq in range(1, 401):
        queue.put(message(seq))
    disk.takes = False
    queue.done(range(1, 301))
    assert [row.seq for row in queue.waiting(after=0, limit=50)] == list(range(301, 351))
    assert (queue.rows, queue.health().rows) == (100, 100)
    queue.tick()
    assert len(disk.stored()) == 400
    disk.takes = True
    queue.tick()
    assert disk.stored() == list(range(301, 401))
    assert (queue.rows, queue.acknowledged) == (100, 300)


def test_a_state_is_stored_even_when_its_alert_was_acknowledged_from_memory(disk, queue):
    """Or a restart would raise it again."""
    disk.takes = False
    queue.put(message(1), states={"p": b"raised"})
    queue.done([1])
    disk.takes = True
    queue.tick()
    assert queue.state("p") == b"raised"
    assert not queue.is_failing


def test_an_old_state_never_wins_over_a_new_one(disk, queue):
    """What comes while something is held lines up behind it."""
    disk.takes = False
    queue.put(message(1), states={"p": b"raised"})
    disk.takes = True
    assert queue.put(message(2), states={"p": b"cleared"})
    queue.tick()
    assert queue.state("p") == b"cleared"
    assert disk.stored() == [1, 2]


def test_readings_and_health_are_dropped_and_counted_on_a_full_disk(disk, queue, monkeypatch):
    """Never an alert."""
    monkeypatch.setattr(queue_module, "_YOUNG_S", -1.0)
    disk.takes = False
    queue.put(message(1), message(2, "reading"))
    queue.put(message(3), message(4, "reading"))
    queue.put(message(5, "health"))
    queue.tick()
    assert waiting(queue) == [1, 3]
    assert queue.dropped == {"reading": 2, "health": 1}


def test_beyond_the_most_that_is_held_the_oldest_is_dropped_and_counted(disk, queue, monkeypatch):
    """Memory is bounded; the count says that an alert was lost."""
    monkeypatch.setattr(queue_module, "_MOST_HELD", 10)
    disk.takes = False
    for seq in range(1, 13):
        queue.put(message(seq))
    assert waiting(queue) == list(range(3, 13))
    assert queue.dropped == {"alert": 2}


def test_poison_is_put_aside_from_memory_too(disk, queue):
    """As soon as there is a disk to put it on."""
    disk.takes = False
    queue.put(message(1))
    queue.bury(1, "refused")
    assert waiting(queue) == [1]
    disk.takes = True
    queue.bury(1, "refused")
    assert (waiting(queue), queue.health().dead) == ([], 1)


def test_numbers_of_health_that_was_never_written_are_not_used_again(disk, queue):
    """A kill leaves a gap, a clean stop none."""
    queue.put(message(1))
    for seq in range(2, 50):
        queue.put(message(seq, "health"))
        queue.done([seq])
    assert queue.last_seq == 49
    assert disk.outbox.last_seq > 49  # what a start after a kill goes by
    queue.close()
    again = Outbox(disk.path, max_bytes=8 << 20)
    assert again.last_seq == 49
    disk.outbox = again
    queue._outbox = again


def test_a_clean_stop_leaves_nothing_in_memory(disk, queue):
    """Young health and held alerts are there after the next start."""
    queue.put(message(1, "health"))
    disk.takes = False
    queue.put(message(2), states={"p": b"raised"})
    disk.takes = True
    queue.close()
    again = Outbox(disk.path, max_bytes=8 << 20)
    assert [row.seq for row in again.waiting(after=0, limit=10)] == [1, 2]
    assert again.state("p") == b"raised"
    queue._outbox = again


def test_many_threads_and_a_disk_that_comes_and_goes_lose_nothing(disk, queue):
    """Every alert is on disk in the end, once, with the last state of its thread."""
    numbers = iter(range(1, 100_000))
    taking = threading.Lock()

    def put_many(name: str) -> None:
        for turn in range(100):
            with taking:
                one = message(next(numbers))
            queue.put(one, states={name: b"%d" % turn})

    threads = [threading.Thread(target=put_many, args=(f"p{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        disk.takes = not disk.takes
        queue.tick()
    for thread in threads:
        thread.join()
    disk.takes = True
    queue.tick()
    assert disk.stored() == list(range(1, 601))
    assert [queue.state(f"p{n}") for n in range(6)] == [b"99"] * 6
    assert queue.rows == 600
