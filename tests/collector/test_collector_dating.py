"""A board without a battery clock boots in 1970; one synchronized message dates the whole boot."""

import time

import pytest
from collector_helpers import SECOND_NS, a_score, alert, health, received, stamp

from collector import dating, queries
from collector.store import Store

BOOTED_NS = 1_700_000_000 * SECOND_NS
NOW_NS = BOOTED_NS + 500 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
MOST = 2**63 - 1


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


@pytest.fixture
def opened(path):
    opened = Store(path, now_ns=lambda: NOW_NS + SECOND_NS)
    yield opened
    opened.close()


def unsynced(second, body=None, **where):
    """Made `second` s after a boot in 1970."""
    ns = second * SECOND_NS
    return received(
        body or alert(), at_ns=NOW_NS, ts_ns=ns, mono_ns=ns, clock_synced=False, **where
    )


def synced(second, body=None, *, booted_ns=BOOTED_NS, **where):
    """Made `second` s after a boot, by a clock that is right."""
    ns = second * SECOND_NS
    return received(body or health(), at_ns=NOW_NS, ts_ns=booted_ns + ns, mono_ns=ns, **where)


def alerts(path):
    with queries.reading(path) as db:
        return queries.alerts(db, limit=99)


def raw(path):
    """The first row as it lies in the table."""
    with queries.reading(path) as db:
        return tuple(db.execute("SELECT * FROM message WHERE n = 1").fetchone())


def test_rows_are_dated_anew_by_the_first_synchronized_message_of_their_boot(opened, path):
    opened.add([unsynced(3)])
    (row,) = alerts(path)
    assert (row["dated_by"], row["at_ns"], row["latency_ms"]) == ("collector", NOW_NS, None)
    before = raw(path)
    opened.add([synced(60)])
    (row,) = alerts(path)
    assert (row["dated_by"], row["at_ns"]) == ("boot", BOOTED_NS + 3 * SECOND_NS)
    assert row["latency_ms"] == 498_000
    assert row["clock_synced"] is False  # as the device has said it
    assert raw(path) == before
    opened.add([unsynced(5)])
    assert alerts(path)[0]["at_ns"] == BOOTED_NS + 5 * SECOND_NS


def test_a_score_will_do_but_not_one_of_another_boot_or_device(opened, path):
    opened.add([unsynced(3), synced(9, boot_id="boot-2"), synced(9, device="pump-2")])
    assert alerts(path)[0]["dated_by"] == "collector"
    opened.add([synced(9, a_score())])
    assert alerts(path)[0]["dated_by"] == "boot"


def test_the_first_synchronized_message_stays_the_measure(opened, path):
    opened.add([unsynced(3), synced(60)])
    opened.add([synced(70, booted_ns=BOOTED_NS + SECOND_NS)])  # its clock is being slewed
    assert alerts(path)[0]["at_ns"] == BOOTED_NS + 3 * SECOND_NS


def test_a_message_already_stored_does_not_count_again(opened, path):
    late = synced(60)
    opened.add([late])
    opened.add([unsynced(3), late])
    assert alerts(path)[0]["at_ns"] == BOOTED_NS + 3 * SECOND_NS


@pytest.mark.parametrize(
    "ts_ns", [0, 5 * SECOND_NS, BOOTED_NS + 2 * HOUR_NS, MOST], ids=["0", "1970", "ahead", "most"]
)
def test_a_clock_that_claims_to_be_synchronized_and_cannot_be_is_not_believed(opened, path, ts_ns):
    """Neither for its own message nor for those of its boot."""
    opened.add([unsynced(3), received(alert(), at_ns=NOW_NS, ts_ns=ts_ns, mono_ns=9)])
    assert [row["dated_by"] for row in alerts(path)] == ["collector", "collector"]
    assert {row["at_ns"] for row in alerts(path)} == {NOW_NS}
    opened.add([synced(60)])
    assert [row["dated_by"] for row in alerts(path)] == ["boot", "boot"]


def test_a_clock_a_little_ahead_of_ours_is_a_clock(opened, path):
    opened.add([received(alert(), at_ns=NOW_NS, ts_ns=NOW_NS + HOUR_NS)])
    assert alerts(path)[0]["dated_by"] == "device"


def test_a_monotonic_clock_that_cannot_be_is_not_believed(opened, path):
    opened.add([synced(60), received(alert(), at_ns=NOW_NS, mono_ns=MOST, clock_synced=False)])
    assert alerts(path)[0]["dated_by"] == "collector"


def test_a_device_on_the_collectors_own_machine_needs_no_synchronized_clock(opened, path):
    """Both read the same monotonic clock."""
    made = stamp(
        mono_ns=time.monotonic_ns(), ts_ns=5, clock_synced=False, boot_id=dating.our_boot_id()
    )
    at_ns, dated_by = dating.date(made, time.time_ns(), None)
    assert dated_by == "boot"
    assert at_ns == pytest.approx(time.time_ns(), abs=SECOND_NS)
    # what such a device says of its clock comes first all the same
    assert dating.date(made, NOW_NS, NOW_NS - made.mono_ns - 7) == (NOW_NS - 7, "boot")


def test_latency_is_counted_where_it_means_something(opened, path):
    late = unsynced(3)
    added = opened.add([late])
    assert added.latencies_ns == []
    added = opened.add([synced(400), synced(490, a_score()), late])
    assert added.latencies_ns == [("health", 101 * SECOND_NS), ("score", 11 * SECOND_NS)]
    added = opened.add([synced(5, alert(), replayed=True), synced(450, alert()), unsynced(480)])
    assert added.latencies_ns == [("alert", 51 * SECOND_NS), ("alert", 21 * SECOND_NS)]
    with queries.reading(path) as db:
        latency_ms = queries.summary(db)["latency_ms"]
    # the first alert is dated by now
    assert latency_ms["alert"] == {"count": 3, "p50": 51_000, "p99": 498_000}
    assert latency_ms["all"]["count"] == 4


def test_points_of_a_plot_are_in_order_of_their_dates(opened, path):
    """Two collectors may store them out of order."""
    opened.add([synced(second, a_score(float(second))) for second in (11, 13, 12)])
    with queries.reading(path) as db:
        (series,) = queries.scores(db, limit=9)
    assert [point["score"] for point in series["points"]] == [11, 12, 13]
