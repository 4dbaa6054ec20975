import sqlite3

import pytest
from collector_helpers import SECOND_NS, a_score, alert, health, received

from collector import fleet, queries, store
from collector.store import Rejected, Store, StoreError
from contract.messages import Status


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


@pytest.fixture
def opened(path):
    opened = Store(path, now_ns=lambda: 1_700_000_002 * SECOND_NS)
    yield opened
    opened.close()


def test_a_duplicate_gives_one_row_and_is_counted(opened, path):
    first = received(alert())
    opened.add([first, first])
    opened.add([first])
    with queries.reading(path) as db:
        summary = queries.summary(db)
    assert summary["alerts"] == 1
    assert summary["redelivered"] == 2
    assert summary["duplicates"] == 0


def test_the_same_id_from_another_source_is_another_message(opened, path):
    one = received(alert())
    other = received(alert(), device="pump-2")
    object.__setattr__(other.message, "id", one.message.id)
    opened.add([one, other])
    with queries.reading(path) as db:
        assert queries.summary(db)["alerts"] == 2


def test_the_sql_would_see_duplicates_if_there_were_any(opened, path):
    opened.add([received(alert())])
    opened.close()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE copy AS SELECT * FROM message")
    db.execute("DROP TABLE message")
    db.execute("CREATE TABLE message AS SELECT * FROM copy UNION ALL SELECT * FROM copy")
    db.commit()
    db.close()
    with queries.reading(path) as db:
        assert queries.summary(db)["duplicates"] == 1


def test_two_collectors_on_one_database_are_refused(opened, path):
    with pytest.raises(StoreError, match="another collector"):
        Store(path)
    opened.close()
    Store(path).close()


def test_a_file_that_is_no_database_is_refused(path):
    path.write_bytes(b"not a database, but long enough to be read as one" * 50)
    with pytest.raises(StoreError, match="not a database"):
        Store(path)


def test_what_was_committed_is_there_after_reopening(opened, path):
    opened.add([received(alert(label="kept"))])
    opened.close()
    again = Store(path)
    again.close()
    with queries.reading(path) as db:
        (row,) = queries.alerts(db, limit=9)
    assert row["label"] == "kept"
    assert row["stored_ns"] == 1_700_000_002 * SECOND_NS
    assert row["latency_ms"] == 2000.0


def test_one_device_is_ordered_by_boot_and_seq_whatever_its_clock_says(opened, path):
    order = [("boot-1", 5, 900), ("boot-1", 4, 950), ("boot-2", 6, 10), ("boot-2", 7, 5)]
    for boot_id, seq, second in order:
        opened.add(
            [received(alert(), boot_id=boot_id, seq=seq, ts_ns=second * SECOND_NS)],
        )
    with queries.reading(path) as db:
        rows = queries.alerts(db, limit=9, device="pump-1")
    assert [row["seq"] for row in rows] == [7, 6, 5, 4]


def test_all_devices_are_ordered_by_arrival_and_read_on_from_a_cursor(opened, path):
    opened.add([received(alert(label="a")), received(alert(label="b"), device="pump-2")])
    with queries.reading(path) as db:
        rows = queries.alerts(db, limit=9)
        assert [row["label"] for row in rows] == ["b", "a"]
        assert queries.alerts(db, limit=9, since=rows[0]["n"]) == []
        assert len(queries.alerts(db, limit=1)) == 1


def test_scores_and_healths_are_bounded_and_alerts_are_not(opened, path, monkeypatch):
    monkeypatch.setattr(store, "SLACK", 10)
    monkeypatch.setitem(store.KEEP, "score", 30)
    monkeypatch.setitem(store.KEEP, "health", 20)
    for i in range(100):
        batch = [received(alert()), received(health()), received(a_score(float(i)))]
        opened.add([*batch, received(a_score(), pipeline="other")])
    with queries.reading(path) as db:
        kept = dict(db.execute("SELECT kind, count(*) FROM message GROUP BY kind").fetchall())
        series = {each["pipeline"]: each for each in queries.scores(db, limit=10)}
        totals = queries.counters(db)
    assert kept["alert"] == 100
    assert 20 <= kept["health"] <= 32
    assert 60 <= kept["score"] <= 84
    assert [point["score"] for point in series["bearing"]["points"]] == list(range(90, 100))
    assert totals["stored_score"] == 200


def test_the_rejected_table_is_bounded_and_truncated(opened, path, monkeypatch):
    monkeypatch.setattr(store, "KEEP_REJECTED", 5)
    for i in range(12):
        opened.add([], [Rejected("t" * 999, f"reason {i}", b"\xff" * 9999, 9999, 1)])
    with queries.reading(path) as db:
        rows = queries.rejected(db, limit=99)
        assert queries.summary(db)["rejected"] == 12
    assert [row["reason"] for row in rows] == [f"reason {i}" for i in range(11, 6, -1)]
    assert rows[0]["size_bytes"] == 9999
    assert len(rows[0]["payload"]) == store.REJECTED_PAYLOAD_BYTES
    assert len(rows[0]["topic"]) == 256


def test_a_full_database_stores_nothing_of_the_batch_and_works_again_later(opened, path):
    (pages,) = opened._db.execute("PRAGMA page_count").fetchone()
    opened._db.execute(f"PRAGMA max_page_count = {pages}")
    batch = [received(alert(label="x" * 250)) for _ in range(200)]
    with pytest.raises(StoreError, match="full"):
        opened.add(batch)
    with queries.reading(path) as db:
        assert queries.summary(db)["alerts"] == 0
    opened._db.execute("PRAGMA max_page_count = 100000")
    opened.add(batch)
    with queries.reading(path) as db:
        assert queries.summary(db)["alerts"] == 200


@pytest.mark.parametrize("text", ["'; DROP TABLE message;--", "<script>alert(1)</script>", "\0x"])
def test_text_from_a_device_is_data(opened, path, text):
    opened.add([received(alert(label=text))])
    with queries.reading(path) as db:
        (row,) = queries.alerts(db, limit=9)
    assert row["label"] == text


def test_readers_cannot_write(opened, path):
    with (
        queries.reading(path) as db,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        db.execute("DELETE FROM message")


# -- devices ----------------------------------------------------------------------------------


def _only_device(path, now_ns):
    with queries.reading(path) as db:
        (device,) = fleet.devices(db, now_ns=now_ns)
    return device


@pytest.mark.parametrize(
    ("status", "health_s", "now_s", "state"),
    [
        ("online", 10, 20, "online"),
        ("online", 10, 41, "silent"),
        ("online", None, 29, "online"),
        ("online", None, 31, "silent"),
        ("stopped", 10, 99, "stopped"),
        ("offline", 10, 11, "offline"),
        (None, 10, 11, "unknown"),
    ],
)
def test_the_state_of_a_device(opened, path, status, health_s, now_s, state):
    if status:
        opened.add([received(Status(state=status), at_ns=0)])
    if health_s is not None:
        opened.add([received(health(), at_ns=health_s * SECOND_NS)])
    assert _only_device(path, now_s * SECOND_NS)["state"] == state


def test_a_retained_status_delivered_again_is_no_sign_of_life(opened, path):
    status = received(Status(state="offline"), at_ns=SECOND_NS)
    opened.add([status])
    again = store.Received(status.message, 500 * SECOND_NS)
    opened.add([again])
    device = _only_device(path, 501 * SECOND_NS)
    assert device["status_ns"] == SECOND_NS
    assert device["seen_ns"] is None
    with queries.reading(path) as db:
        assert queries.summary(db)["redelivered"] == 0


def test_the_last_status_to_arrive_counts_because_a_will_is_stamped_at_connect(opened, path):
    opened.add([received(Status(state="online"), seq=2)])
    opened.add([received(Status(state="offline"), seq=1)])
    assert _only_device(path, 0)["status"] == "offline"


def test_the_last_health_is_that_of_the_last_boot_and_seq(opened, path):
    for boot_id, seq, uptime_s in (("b1", 9, 1.0), ("b2", 11, 3.0), ("b2", 10, 2.0)):
        opened.add([received(health(uptime_s=uptime_s), boot_id=boot_id, seq=seq)])
    assert _only_device(path, 0)["uptime_s"] == 3.0


def test_a_pipeline_in_alarm_shows_its_last_alert(opened, path):
    opened.add([received(alert("raised")), received(alert("cleared"), pipeline="other")])
    device = _only_device(path, 0)
    alarms = {each["pipeline"]: each["alarm"]["state"] for each in device["pipelines"]}
    assert alarms == {"bearing": "raised", "other": "cleared"}
