"""What `put` has taken is on disk, whatever happens to the process, the file or the disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contract.messages import MAX_PAYLOAD_BYTES, Encoded
from edge.errors import BusyError, ConfigError
from edge.outbox import Outbox, OutboxFullError, _Put

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
    box.done([1, 3, 99])
    assert [row.id for row in box.waiting(after=0, limit=10)] == ["id-2"]
    assert box.acknowledged == 2


def test_last_seq_survives_deletion_and_reopening(path):
    """A number once used is not used again, even with an empty queue."""
    box = Outbox(path, max_bytes=PLENTY)
    assert box.last_seq == 0
    for seq in (1, 2, 3):
        box.put(message(seq))
    box.done([1, 2, 3])
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


def test_a_wall_clock_that_jumps_makes_no_message_old(path, monkeypatch):
    """A board without a battery clock is set from 1970 to now while a message waits."""
    box = Outbox(path, max_bytes=PLENTY)
    box.put(message(1))
    monkeypatch.setattr(time, "time_ns", lambda: 4 * 10**18)
    assert box.health().oldest_s < 60
    box.close()


def test_a_message_from_an_earlier_boot_is_as_old_as_this_boot_at_least(path, monkeypatch):
    """More cannot be known: the clock of that boot has ended."""
    box = Outbox(path, max_bytes=PLENTY)
    monkeypatch.setattr("edge.outbox._BOOT_ID", "before")
    box.put(message(1))
    monkeypatch.setattr("edge.outbox._BOOT_ID", "now")
    assert box.health().oldest_s == pytest.approx(time.monotonic(), abs=5)
    box.close()


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
        with pytest.raises(BusyError, match=r"outbox\.db: another process.*device\.state_dir"):
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
    box.done([1])
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
def test_a_damaged_file_is_put_aside_and_no_alert_is_lost(path, damage, caplog):
    """The journal has them; what a person might still look at is kept, byte for byte."""
    box = Outbox(path, max_bytes=PLENTY)
    for seq in range(1, 200):
        box.put(message(seq))
    box.close()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    box = Outbox(path, max_bytes=PLENTY)
    first = box.last_seq + 1
    assert first > 200, "a number is never used twice"
    box.put(message(first))
    expected = [f"id-{seq}" for seq in (*range(1, 200), first)]
    assert [row.id for row in box.waiting(after=0, limit=1000)] == expected
    box.close()
    (aside,) = path.parent.glob("*.corrupt-*[0-9]")
    assert aside.read_bytes() == damaged
    assert "damaged" in caplog.text


@pytest.mark.parametrize("seed", range(12))
def test_a_page_overwritten_while_it_is_open_costs_no_alert(path, seed):
    """Whichever page, whenever it is noticed: the queue mends itself and goes on."""
    rng = random.Random(seed)
    box = Outbox(path, max_bytes=PLENTY)
    for seq in range(1, 300):
        box.put(message(seq, "health" if seq % 7 == 0 else "alert", size=rng.randint(10, 6000)))
    box._file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for _ in range(rng.randint(1, 4)):
            file.seek(rng.randrange(pages) * 4096)
            file.write(rng.randbytes(4096))
    box._file._db.execute("PRAGMA shrink_memory")  # or pages in memory hide it for a while
    for seq in range(300, 400):
        box.put(message(seq))
    box.done(range(1, 51))
    alerts = {row.seq for row in box.waiting(after=0, limit=10_000) if row.kind == "alert"}
    expected = {seq for seq in range(1, 400) if seq >= 300 or seq % 7}
    # what was acknowledged before the damage was noticed may be sent again
    assert {seq for seq in expected if seq > 50} <= alerts <= expected
    assert box.rows == len(box.waiting(after=0, limit=10_000)) == box.health().rows
    box.close()


def test_a_damaged_log_hides_no_alert(path):
    """SQLite drops everything behind a damaged frame of its log without a word."""
    child = writer(path, 400)
    assert child.stdout is not None
    for _ in range(400):
        child.stdout.readline()
    kill(child)
    log = Path(f"{path}-wal")
    raw = log.read_bytes()
    log.write_bytes(raw[: len(raw) // 3] + os.urandom(64) + raw[len(raw) // 3 + 64 :])
    box = Outbox(path, max_bytes=PLENTY)
    assert [row.id for row in box.waiting(after=0, limit=1000)] == [
        f"id-{seq}" for seq in range(1, 401)
    ]
    box.close()


def test_a_damaged_log_hides_no_alert_though_numbers_were_set_aside(path):
    """What was set aside for rows that never come must not pass for rows that have gone."""
    child = writer(path, 40)
    assert child.stdout is not None
    for _ in range(40):
        child.stdout.readline()
    kill(child)
    box = Outbox(path, max_bytes=PLENTY)
    box.set_last_seq(1040)
    box._file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for seq in range(41, 81):
        box.put(message(seq))
    damaged = path.parent / "later"
    shutil.copytree(path.parent, damaged, ignore=shutil.ignore_patterns("later"))
    box.close()
    (damaged / "outbox.db-wal").unlink()
    box = Outbox(damaged / "outbox.db", max_bytes=PLENTY)
    assert [row.seq for row in box.waiting(after=0, limit=1000)] == list(range(1, 81))
    box.close()


def test_a_file_that_is_gone_is_made_again_from_the_journal(path):
    """Somebody removed it, or a kill came while it was being replaced."""
    box = Outbox(path, max_bytes=PLENTY)
    for seq in range(1, 6):
        box.put(message(seq))
    box.close()
    path.unlink()
    box = Outbox(path, max_bytes=PLENTY)
    assert [row.seq for row in box.waiting(after=0, limit=10)] == [1, 2, 3, 4, 5]
    box.close()


def test_numbers_go_on_even_when_nothing_waited(path):
    """The journal remembers how far they had come, or within how many of it."""
    box = Outbox(path, max_bytes=PLENTY)
    for seq in (1, 250_000, 250_001):
        box.put(message(seq, "health"))
    box.done([1, 250_000, 250_001])
    box.close()
    path.unlink()
    box = Outbox(path, max_bytes=PLENTY)
    assert box.last_seq > 250_001
    box.close()


def test_a_damaged_journal_alone_costs_nothing(path):
    """It is the second copy."""
    box = Outbox(path, max_bytes=PLENTY)
    for seq in range(1, 6):
        box.put(message(seq))
    box.close()
    path.with_suffix(".journal").write_bytes(os.urandom(5000))
    box = Outbox(path, max_bytes=PLENTY)
    assert [row.seq for row in box.waiting(after=0, limit=10)] == [1, 2, 3, 4, 5]
    box.close()


def test_the_journal_stays_in_proportion_to_what_waits(path):
    """A device that never stops alerting must not fill its disk with copies of what has arrived."""
    box = Outbox(path, max_bytes=PLENTY)
    journal = path.with_suffix(".journal")
    for seq in range(1, 3001):
        box.put(message(seq))
        if seq > 100:
            box.done([seq - 100])
        assert journal.stat().st_size < 300_000
    box.close()
    path.unlink()
    box = Outbox(path, max_bytes=PLENTY)
    saved = {row.seq for row in box.waiting(after=0, limit=10_000)}
    assert saved >= set(range(2901, 3001))
    box.close()


def test_a_file_of_the_version_before_is_taken_over(path):
    """An update must not lose what waits."""
    db = sqlite3.connect(path)
    db.execute(
        "CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " kind TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, put_ns INTEGER NOT NULL)"
    )
    for seq in range(1, 11):
        values = (seq, f"id-{seq}", "alert", "v/d/alert", b"x" * 300, 1)
        db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)", values)
    db.execute("DELETE FROM outbox WHERE seq > 5")
    db.commit()
    db.close()
    box = Outbox(path, max_bytes=PLENTY)
    assert [row.id for row in box.waiting(after=0, limit=100)] == [f"id-{n}" for n in range(1, 6)]
    assert box.last_seq >= 10
    box.close()


def test_states_are_stored_with_the_messages_that_made_them(path):
    """Or a restart would raise again what is raised."""
    box = Outbox(path, max_bytes=PLENTY)
    assert box.state("p") is None
    box.put(message(1), states={"p": b"raised"})
    box.close()
    box = Outbox(path, max_bytes=PLENTY)
    assert box.state("p") == b"raised"
    box.close()


def test_a_buried_row_holds_up_nobody_and_comes_back_at_the_next_start(path):
    """Visible in health until then."""
    box = Outbox(path, max_bytes=PLENTY)
    for seq in (1, 2, 3):
        box.put(message(seq))
    box.bury(2, "refused by the broker: Packet too large; sent 10 times")
    assert [row.seq for row in box.waiting(after=0, limit=10)] == [1, 3]
    assert (box.health().rows, box.health().dead) == (2, 1)
    box.close()
    box = Outbox(path, max_bytes=PLENTY)
    assert [row.seq for row in box.waiting(after=0, limit=10)] == [1, 2, 3]
    assert box.health().dead == 0
    box.close()


def test_threads_that_put_at_once_share_commits(path):
    """Group commit: far fewer synced writes than alerts, and every alert is on disk."""
    box = Outbox(path, max_bytes=PLENTY)
    commits = []
    inner = box._file.insert
    box._file.insert = lambda *a, **k: (commits.append(1), time.sleep(0.005), inner(*a, **k))
    numbers = iter(range(1, 1_000_000))
    lock = threading.Lock()

    def put_many() -> None:
        for _ in range(20):
            with lock:
                seq = next(numbers)
            box.put(message(seq))

    threads = [threading.Thread(target=put_many) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.seq for row in box.waiting(after=0, limit=1000)] == list(range(1, 321))
    assert len(commits) < 160
    box.close()


def test_one_bad_put_does_not_spoil_those_it_shares_a_commit_with(path):
    """The error goes to whom it concerns."""
    box = Outbox(path, max_bytes=PLENTY)
    box.put(message(1))
    same_number, fine = _Put((message(1),), {}), _Put((message(2),), {})
    box._puts = [same_number, fine]
    box.put(message(3))
    assert isinstance(same_number.error, sqlite3.IntegrityError)
    assert [row.seq for row in box.waiting(after=0, limit=10)] == [1, 2, 3]
    box.close()


class TestFull:
    """The queue has reached `max_bytes`."""

    SIZE = 1900

    @pytest.fixture
    def small(self, path):
        box = Outbox(path, max_bytes=3 * 262_144)
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
        small.done([row.seq for row in stored[:10]])
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
    """A real file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
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
        box.done(row.seq for row in box.waiting(after=0, limit=1000) if "alert" in row.topic)
        assert box.health().rows <= 34
        box.close()

    def test_acknowledged_rows_leave_a_full_disk(self, small_disk):
        """Deleting needs the reserve; the second acknowledgement at the latest succeeds."""
        box = Outbox(small_disk / "outbox.db", max_bytes=PLENTY)
        for seq in range(1, 51):
            box.put(message(seq, size=2000))
        fill_disk(small_disk)
        box.done(range(1, 51))
        box.done(range(1, 51))
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
    box._file._db.execute("DROP TABLE outbox")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        box.put(message(1))
