"""Databases of earlier versions go on; what is in them stays."""

import sqlite3
import threading
from pathlib import Path

import pytest
from collector_helpers import SECOND_NS, alert, health, received

from collector import fleet, queries, schema, store
from collector.store import Store, StoreError

BOOTED_NS = 1_700_000_000 * SECOND_NS
# Made by the version before sensors, replays and dates by boot, with what it stored.
BEFORE = Path(__file__).with_name("before_sensors.sql").read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


@pytest.fixture
def before(path):
    db = sqlite3.connect(path)
    db.executescript(BEFORE)
    db.close()
    return path


def table(path, name, columns="*"):
    with queries.reading(path) as db:
        return [tuple(row) for row in db.execute(f"SELECT {columns} FROM {name} ORDER BY 1")]


def dump(path):
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return list(db.iterdump())
    finally:
        db.close()


OLD = "n, kind, source, id, device, pipeline, boot, seq, window, ts_ns, mono_ns, clock_synced, body"


def test_a_database_of_the_version_before_keeps_its_rows_and_learns_the_new(before):
    kept = {name: table(before, name) for name in ("device", "rejected")}
    messages = table(before, "message", OLD)
    Store(before).close()
    assert table(before, "message", OLD) == messages
    assert {name: table(before, name) for name in kept} == kept
    assert table(before, "message", "DISTINCT replayed, era") == [(0, 0)]
    assert table(before, "boot", "boot_id, offset_ns, first_seq, last_seq, last_mono_ns") == [
        ("boot-1", BOOTED_NS, 1, 4, 80 * SECOND_NS),
        ("boot-2", None, 5, 5, 9),
        ("boot-3", None, 7, 7, 9),  # it claims a synchronized clock in the year 2262
    ]
    with queries.reading(before) as db:
        rows = queries.alerts(db, limit=9, device="pump-1")
        summary = queries.summary(db)
        first, second = fleet.devices(db, now_ns=0)
    assert [row["dated_by"] for row in rows] == ["collector", "device", "boot"]
    assert rows[-1]["at_ns"] == BOOTED_NS + 3 * SECOND_NS
    assert [row["replayed"] for row in rows] == [False] * 3
    assert (summary["alerts"], summary["alerts_raised"], summary["alerts_cleared"]) == (4, 3, 1)
    assert first["pipelines"][0]["alarm"]["state"] == "raised"
    assert first["pipelines"][0]["notice"] is None
    assert {(row["level"], row["text"], row["severity"], row["evidence"]) for row in rows} == {
        ("alarm", "", None, None)
    }
    assert second["pipelines"][0]["sensor"] is None


def test_after_that_it_goes_on(before):
    opened = Store(before)
    opened.add([received(alert("cleared"), seq=6), received(alert("raised"), seq=2, replayed=True)])
    opened.close()
    with queries.reading(before) as db:
        assert queries.summary(db)["alerts_cleared"] == 2
        (pipeline,) = fleet.devices(db, now_ns=0)[0]["pipelines"]
    assert pipeline["alarm"]["state"] == "cleared"


def test_a_row_of_an_older_version_is_still_recognised(path):
    """It had fewer fields; the message that comes again has them all."""
    opened = Store(path)
    message = received(health())
    opened.add([message])
    db = sqlite3.connect(path)
    db.execute("UPDATE message SET body = json_remove(body, '$.outbox.dead', '$.memory_bytes')")
    db.commit()
    db.close()
    assert opened.add([message]).refused == []
    opened.close()
    with queries.reading(path) as db:
        assert queries.counters(db)["redelivered"] == 1


def test_migrations_run_twice_change_nothing(path):
    Store(path).close()
    opened = Store(path)
    opened.add([received(alert())])
    opened.close()
    before = dump(path)
    db = sqlite3.connect(path, isolation_level=None)
    schema.migrate(db)
    schema.migrate(db)
    db.close()
    assert dump(path) == before
    Store(path).close()
    assert dump(path) == before


def test_collectors_that_start_at_once_migrate_once(before):
    """As they may when they share a database."""
    opened, errors = [], []

    def start():
        try:
            opened.append(Store(before, is_shared=True))
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in opened:
        each.close()
    assert errors == []
    applied = [name for name, _ in table(before, "migration")]
    assert sorted(applied) == sorted(step.__name__ for step in schema.MIGRATIONS)


def test_a_failed_migration_leaves_no_trace(path, monkeypatch):
    def _half(db):
        db.execute("CREATE TABLE half (x)")
        db.execute("not SQL")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, _half))
    with pytest.raises(StoreError, match="syntax error"):
        Store(path)
    monkeypatch.undo()
    Store(path).close()
    names = {name for (name,) in table(path, "sqlite_master", "name")}
    assert "message" in names
    assert "half" not in names


def test_a_database_of_a_newer_version_is_refused(path, monkeypatch):
    def _later(db):
        db.execute("CREATE TABLE later (x)")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, _later))
    Store(path).close()
    monkeypatch.undo()
    with pytest.raises(StoreError, match="newer version"):
        Store(path)


def test_every_earlier_migration_is_still_there():
    """Their names are written in the databases out there."""
    names = [step.__name__ for step in schema.MIGRATIONS]
    assert names[:6] == [
        "_create_tables",
        "_mark_replays",
        "_date_by_boot",
        "_order_by_era",
        "_count_states",
        "_index_levels",
    ]


def test_series_are_still_cut_back(before, monkeypatch):
    monkeypatch.setattr(store, "SLACK", 1)
    monkeypatch.setitem(store.KEEP, "health", 3)
    opened = Store(before)
    for seq in range(10, 20):
        opened.add([received(health(), seq=seq)])
    opened.close()
    assert 3 <= table(before, "message WHERE kind = 'health'", "count(*)")[0][0] <= 5
