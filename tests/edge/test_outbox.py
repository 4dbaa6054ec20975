"""What `put` has taken is on disk, whatever happens to the process, the file or the disk."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.messages import MAX_PAYLOAD_BYTES, Encoded
from edge.errors import ConfigError
from edge.outbox import Outbox, OutboxFullError

ROOT = Path(__file__).resolve().parents[2]
PLENTY = 8 * 1024 * 1024

# Puts alerts without end and says the number of each once `put` has returned.
WRITER = """
import sys
from pathlib import Path
from contract.messages import Encoded
from edge.outbox import Outbox
box = Outbox(Path(sys.argv[1]), max_bytes=8 << 20)
first = box.last_seq + 1
for seq in range(first, first + int(sys.argv[2])):
    box.put(Encoded("t/alert", b"x" * 300, f"id-{seq}", seq, "alert"))
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
input()
"""


def message(seq: int, kind: str = "alert", *, size: int = 300) -> Encoded:
    return Encoded(f"v/d/{kind}", b"x" * size, f"id-{seq}", seq, kind)


def writer(path: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(count)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> str:
    """SIGKILL; what it had said until then."""
    process.send_signal(signal.SIGKILL)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        said = process.stdout.read()
    process.wait()
    return said


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def box(path):
    box = Outbox(path, max_bytes=PLENTY)
    yield box
    box.close()


def kinds_of(box: Outbox) -> list[str]:
    return [row.topic.rpartition("/")[2] for row in box.waiting(after=0, limit=100_000)]


def test_rows_come_back_in_the_order_of_their_seq_with_topic_and_bytes(box):
    """Oldest first, byte for byte."""
    for seq in (1, 2, 3):
        box.put(message(seq))
    rows = box.waiting(after=1, limit=10)
    assert [row.seq for row in rows] == [2, 3]
    assert (rows[0].topic, rows[0].payload, rows[0].id) == ("v/d/alert", b"x" * 300, "id-2")
    assert [row.seq for row in box.waiting(after=0, limit=1)] == [1]


def test_done_deletes_what_was_stored_and_passes_over_unknown_ids(box):
    """Only the named rows go, and only they are counted."""
    for seq in (1, 2, 3):
        box.put(message(seq))
    box.done(["id-1", "id-3", "never-seen"])
    assert [row.id for row in box.waiting(after=0, limit=10)] == ["id-2"]
    assert box.acknowledged == 2


def test_last_seq_survives_deletion_and_reopening(path):
    """A number once used is not used again, even with an empty queue."""
    box = Outbox(path, max_bytes=PLENTY)
    assert box.last_seq == 0
    for seq in (1, 2, 3):
        box.put(message(seq))
    box.done(["id-1", "id-2", "id-3"])
    assert box.last_seq == 3
    box.close()
    box = Outbox(path, max_bytes=PLENTY)
    assert (box.last_seq, box.health().rows) == (3, 0)
    box.close()


def test_health_says_what_waits(box):
    """Rows, bytes and the age of the oldest."""
    box.put(message(1, size=100))
    box.put(message(2, "health", size=50))
    report = box.health()
    assert (report.rows, report.bytes, report.dropped) == (2, 150, {})
    assert 0 <= report.oldest_s < 60
    assert report.max_bytes <= PLENTY


def test_an_oversize_message_is_refused_and_not_stored(box):
    """No collector would take it, so it would be sent for ever."""
    with pytest.raises(ValueError, match=str(MAX_PAYLOAD_BYTES)):
        box.put(message(1, size=MAX_PAYLOAD_BYTES + 1))
    assert box.health().rows == 0


def test_a_second_process_is_refused_with_a_clear_error(path):
    """Two writers on one queue would number messages twice."""
    child = writer(path, 1)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        with pytest.raises(ConfigError, match=r"outbox\.db: another process.*device\.state_dir"):
            Outbox(path, max_bytes=PLENTY)
    finally:
        kill(child)
    Outbox(path, max_bytes=PLENTY).close()  # the lock died with its owner


def test_an_unwritable_place_is_a_config_error_naming_it(tmp_path):
    """A file where the folder should be."""
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(ConfigError, match="state"):
        Outbox(tmp_path / "state" / "outbox.db", max_bytes=PLENTY)


def test_a_row_is_there_after_sigkill_right_after_put_returned(path):
    """The promise of `put`."""
    child = writer(path, 5)
    assert child.stdout is not None
    for seq in range(1, 6):
        assert child.stdout.readline() == f"{seq}\n"
    kill(child)
    box = Outbox(path, max_bytes=PLENTY)
    assert [row.id for row in box.waiting(after=0, limit=10)] == [f"id-{n}" for n in range(1, 6)]
    box.close()


@pytest.mark.slow
def test_no_row_is_lost_over_sigkills_at_random_moments(path):
    """Everything that was said to be stored is there, once, in order; at most one more."""
    moments = random.Random(7)
    said: list[str] = []
    for _ in range(12):
        child = writer(path, 100_000)
        assert child.stdout is not None
        said.append(child.stdout.readline().strip())  # it has begun
        time.sleep(moments.uniform(0.0, 0.15))
        said += [line for line in kill(child).split("\n")[:-1] if line]
    box = Outbox(path, max_bytes=PLENTY)
    stored = [row.id for row in box.waiting(after=0, limit=1_000_000)]
    box.close()
    assert {f"id-{seq}" for seq in said} <= set(stored)
    assert stored == [f"id-{n}" for n in range(1, len(stored) + 1)]
    assert len(stored) - len(said) <= 12


def test_done_survives_sigkill_or_the_row_comes_again(path):
    """Deleting is not promised, but the file must open and hold nothing new."""
    box = Outbox(path, max_bytes=PLENTY)
    box.put(message(1))
    box.done(["id-1"])
    box.close()
    box = Outbox(path, max_bytes=PLENTY)
    assert box.waiting(after=0, limit=10) == []
    box.close()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: b"junk" * (len(raw) // 4), id="junk"),
        pytest.param(lambda raw: b"\xff" * 100 + raw[100:], id="header"),
        pytest.param(lambda raw: raw[:4096] + os.urandom(len(raw) - 4096), id="pages"),
        pytest.param(lambda raw: raw[: len(raw) // 2 + 77], id="truncated"),
    ],
)
def test_a_damaged_file_is_put_aside_and_the_queue_begins_anew(path, damage, caplog):
    """The device goes on; what a person might still save is kept, byte for byte."""
    box = Outbox(path, max_bytes=PLENTY)
    for seq in range(1, 200):
        box.put(message(seq))
    box.close()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    box = Outbox(path, max_bytes=PLENTY)
    box.put(message(1000))
    assert [row.id for row in box.waiting(after=0, limit=10)] == ["id-1000"]
    box.close()
    (aside,) = path.parent.glob("*.corrupt-*[0-9]")
    assert aside.read_bytes() == damaged
    assert "damaged" in caplog.text


def test_rows_that_had_not_left_the_log_are_put_aside_too(path):
    """The newest rows of a damaged queue may exist in its write-ahead log alone."""
    child = writer(path, 400)
    assert child.stdout is not None
    for _ in range(400):
        child.stdout.readline()
    kill(child)
    assert b"id-400" in Path(f"{path}-wal").read_bytes()
    path.write_bytes(b"junk" * (path.stat().st_size // 4))
    Outbox(path, max_bytes=PLENTY).close()
    assert any(b"id-400" in aside.read_bytes() for aside in path.parent.glob("*.corrupt-*"))


class TestFull:
    """The queue has reached `max_bytes`."""

    SIZE = 2000

    @pytest.fixture
    def small(self, path):
        box = Outbox(path, max_bytes=262_144)
        yield box
        box.close()

    def fill(self, box: Outbox, kind: str, first: int, count: int) -> int:
        for seq in range(first, first + count):
            box.put(message(seq, kind, size=self.SIZE))
        return first + count

    def test_the_oldest_health_goes_first_and_is_counted(self, small):
        """Newer health pushes out older health; readings and alerts stay."""
        seq = self.fill(small, "alert", 1, 10)
        seq = self.fill(small, "reading", seq, 10)
        self.fill(small, "health", seq, 300)
        kinds = kinds_of(small)
        assert (kinds.count("alert"), kinds.count("reading")) == (10, 10)
        assert small.dropped.keys() == {"health"}
        assert small.dropped["health"] + kinds.count("health") == 300
        newest = small.waiting(after=0, limit=1000)[-1]
        assert newest.id == f"id-{seq + 299}"

    def test_readings_go_when_no_health_is_left_and_no_alert_is_lost(self, small):
        """Alerts take the room of both."""
        seq = self.fill(small, "reading", 1, 50)
        seq = self.fill(small, "health", seq, 50)
        self.fill(small, "alert", seq, 100)
        kinds = kinds_of(small)
        assert kinds.count("alert") == 100
        assert "health" not in kinds
        assert small.dropped["health"] == 50
        assert small.dropped["reading"] + kinds.count("reading") == 50
        assert small.dropped["reading"] > 0

    def test_an_alert_is_refused_only_when_nothing_but_alerts_is_left(self, small):
        """The caller keeps it; after an acknowledgement there is room again."""
        with pytest.raises(OutboxFullError):
            self.fill(small, "alert", 1, 1000)
        assert "alert" not in small.dropped
        stored = small.waiting(after=0, limit=1000)
        assert [row.seq for row in stored] == list(range(1, len(stored) + 1))
        small.done([row.id for row in stored[:10]])
        self.fill(small, "alert", len(stored) + 1, 5)
        assert small.health().rows == len(stored) - 5

    def test_health_is_given_up_when_the_queue_is_full_of_alerts(self, small):
        """It is counted, and no alert makes room for it."""
        with pytest.raises(OutboxFullError):
            self.fill(small, "alert", 1, 1000)
        alerts = small.health().rows
        with pytest.raises(OutboxFullError):
            small.put(message(5000, "health", size=self.SIZE))
        assert small.dropped == {"health": 1}
        assert small.health().rows == alerts


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root and a kernel that lets it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Somebody else takes all the space there is."""
    hog = folder / "hog"
    with hog.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return hog


class TestFullDisk:
    """The disk itself has no space; SQLite cannot even delete without some."""

    def test_health_makes_room_for_alerts_and_none_is_lost(self, small_disk):
        """With the reserve given back there is enough to delete and to store."""
        box = Outbox(small_disk / "outbox.db", max_bytes=PLENTY)
        for seq in range(1, 101):
            box.put(message(seq, "health", size=2000))
        for seq in range(101, 111):
            box.put(message(seq, size=2000))
        hog = fill_disk(small_disk)
        for seq in range(111, 151):
            box.put(message(seq, size=2000))
        kinds = kinds_of(box)
        assert kinds.count("alert") == 50
        assert box.dropped["health"] + kinds.count("health") == 100
        hog.unlink()
        box.put(message(151, "health"))
        assert box.waiting(after=150, limit=1)[0].id == "id-151"
        box.close()

    def test_only_outbox_full_is_raised_until_there_is_space_again(self, small_disk):
        """No other error ends the thread that found something; later it works again."""
        box = Outbox(small_disk / "outbox.db", max_bytes=PLENTY)
        for seq in range(1, 51):
            box.put(message(seq, ("health", "reading", "alert")[seq % 3], size=2000))
        before = [row.id for row in box.waiting(after=0, limit=1000) if "alert" in row.topic]
        stored, refused = [], []
        hog = fill_disk(small_disk)
        for seq in range(51, 251):
            with hog.open("ab", buffering=0) as file:  # takes what was given back, at once
                try:
                    while True:
                        file.write(b"\0" * 4096)
                except OSError:
                    pass
            try:
                box.put(message(seq, size=2000))
                stored.append(f"id-{seq}")
            except OutboxFullError:
                refused.append(seq)
        assert refused
        alerts = [row.id for row in box.waiting(after=0, limit=1000) if "alert" in row.topic]
        assert alerts == before + stored
        hog.unlink()
        for seq in refused:
            box.put(message(seq, size=200))
        alerts = [row.id for row in box.waiting(after=0, limit=1000) if "alert" in row.topic]
        assert sorted(alerts) == sorted([*before, *stored, *(f"id-{seq}" for seq in refused)])
        box.done(alerts)
        assert box.health().rows <= 34
        box.close()

    def test_acknowledged_rows_leave_a_full_disk(self, small_disk):
        """Deleting needs the reserve; the second acknowledgement at the latest succeeds."""
        box = Outbox(small_disk / "outbox.db", max_bytes=PLENTY)
        for seq in range(1, 51):
            box.put(message(seq, size=2000))
        fill_disk(small_disk)
        ids = [f"id-{seq}" for seq in range(1, 51)]
        box.done(ids)
        box.done(ids)
        assert box.health().rows == 0
        box.close()

    def test_the_queue_opens_on_a_full_disk(self, small_disk):
        """A restart there must not end in a config error, which nobody restarts."""
        box = Outbox(small_disk / "outbox.db", max_bytes=PLENTY)
        box.put(message(1))
        box.close()
        fill_disk(small_disk)
        box = Outbox(small_disk / "outbox.db", max_bytes=PLENTY)
        assert box.waiting(after=0, limit=10)[0].id == "id-1"
        box.close()

    def test_the_queue_opens_on_a_full_disk_after_sigkill(self, small_disk):
        """Neither when the log has yet to be read back."""
        path = small_disk / "outbox.db"
        child = writer(path, 20)
        assert child.stdout is not None
        for _ in range(20):
            child.stdout.readline()
        kill(child)
        fill_disk(small_disk)
        box = Outbox(path, max_bytes=PLENTY)
        assert box.health().rows == 20
        box.close()


def test_a_full_disk_error_that_is_none_is_not_swallowed(box):
    """A bug in the statements must crash, not look like a full disk."""
    box._db.execute("DROP TABLE outbox")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        box.put(message(1))
