"""What `test_outbox_model` has found, by example: each ended the service at every start."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from contract.messages import Encoded
from edge.outbox import Outbox, OutboxFullError

_LEAST, _PLENTY = 1 << 20, 8 << 20
RENAME = (
    "UPDATE sqlite_schema SET sql = replace(sql, 'outbox', 'outbax'), name = 'outbax',"
    " tbl_name = 'outbax' WHERE name = 'outbox'"
)


def message(seq: int, size: int = 300) -> Encoded:
    return Encoded("v/d/alert", b"x" * size, f"id-{seq}", seq, "alert")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "outbox.db"
    box = Outbox(path, max_bytes=_PLENTY)
    for seq in range(1, 6):
        box.put(message(seq))
    box.done([1])
    box.close()
    return path


def seqs(path: Path, *, max_bytes: int = _PLENTY) -> list[int]:
    with contextlib.closing(Outbox(path, max_bytes=max_bytes)) as box:
        assert box.last_seq >= 5
        assert box.last_seq < 2**52, "the collector would take no number from here on"
        return [row.seq for row in box.waiting(after=0, limit=10_000)]


def edit(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema=ON")
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM high",
        "UPDATE high SET seq = seq + (1 << 60)",
        "UPDATE high SET seq = -1, aside = 'x'",
        "UPDATE high SET aside = x'00'",
        "UPDATE outbox SET record = CAST(x'ff00' AS TEXT) WHERE seq = 3",
        "UPDATE outbox SET record = 17 WHERE seq = 3",
        "UPDATE outbox SET kind = CAST(x'ff' AS TEXT) WHERE seq = 3",
        "UPDATE outbox SET size = 1 << 40 WHERE seq = 3",
        "UPDATE outbox SET kind = 'reading' WHERE seq = 3",
        RENAME,
        "UPDATE sqlite_schema SET sql = replace(sql, 'record', 'recard')",
    ],
)
def test_what_sqlite_holds_for_whole_but_is_not_ours_is_mended(path, statement):
    """Bits that flip where no structure tells."""
    edit(path, statement)
    assert seqs(path) in ([2, 3, 4, 5], [1, 2, 3, 4, 5])


def test_an_error_in_words_that_are_none_is_damage_like_any_other(path):
    """SQLite quotes the damaged schema, and Python cannot read that."""
    raw = path.read_bytes()
    assert b"CREATE TABLE outbox" in raw
    path.write_bytes(raw.replace(b"CREATE TABLE outbox", b"CREATE TABLE\xce\xff\xfeutbox"))
    assert seqs(path) == [1, 2, 3, 4, 5]


def fill(box: Outbox, seq: int) -> int:
    """Put alerts until no more are taken; the first of those."""
    while True:
        try:
            box.put(message(seq, size=2000))
        except OutboxFullError:
            return seq
        seq += 1


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_full_queue_that_is_damaged_is_mended_beyond_its_limit(tmp_path, is_removed):
    """What was acknowledged comes back with the rest, and there is no room for both."""
    path = tmp_path / "outbox.db"
    box = Outbox(path, max_bytes=_LEAST)
    full = fill(box, 1)
    box.done(range(1, 50))
    full = fill(box, full)
    box.close()
    if is_removed:
        path.unlink()
    else:
        path.write_bytes(bytes(1024) + path.read_bytes()[1024:])
    assert set(seqs(path, max_bytes=_LEAST)) >= set(range(50, full))


def test_a_second_copy_that_has_gone_is_made_again_before_the_first_goes(path):
    """One after the other both may be lost."""
    path.with_suffix(".journal").unlink()
    assert seqs(path) == [2, 3, 4, 5]
    path.unlink()
    assert seqs(path) == [2, 3, 4, 5]


def test_numbers_do_not_fall_with_health_that_was_only_in_the_log(tmp_path):
    """Nor when all that was ever put is gone."""
    path = tmp_path / "outbox.db"
    box = Outbox(path, max_bytes=_PLENTY)
    for seq in range(1, 51):
        box.put(Encoded("v/d/health", b"x", f"id-{seq}", seq, "health"))
    box.done(range(1, 51))
    box.close()
    path.unlink()
    with contextlib.closing(Outbox(path, max_bytes=_PLENTY)) as box:
        assert box.last_seq >= 50
