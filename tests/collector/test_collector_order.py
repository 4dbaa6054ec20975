"""A device's state is that of what it said last, in whatever order that arrives."""

import itertools
import random

import pytest
from collector_helpers import (
    SECOND_NS,
    a_score,
    alert,
    arrived,
    effort,
    encode,
    health,
    pipeline_health,
    received,
    sensor,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import fleet, queries
from collector.store import Store

PIPELINES = ("bearing", "fan")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


@pytest.fixture
def opened(path):
    opened = Store(path)
    yield opened
    opened.close()


def shown(path):
    """Alarm and sensor of each pipeline, as the fleet shows them."""
    with queries.reading(path) as db:
        (device,) = fleet.devices(db, now_ns=0)
    return {
        each["pipeline"]: (each["alarm"] and each["alarm"]["state"], each["sensor"])
        for each in device["pipelines"]
    }


def listed(path):
    """Of the device's own list: its numbers, newest first."""
    with queries.reading(path) as db:
        return [row["seq"] for row in queries.alerts(db, limit=999, device="pump-1")]


def eras(path):
    with queries.reading(path) as db:
        return {row["boot_id"]: row["era"] for row in db.execute("SELECT * FROM boot")}


def test_an_old_alarm_that_arrives_after_its_end_is_no_alarm(opened, path):
    opened.add([received(alert("cleared"), seq=9)])
    opened.add([received(alert("raised"), seq=8, replayed=True)])
    assert shown(path) == {"bearing": ("cleared", None)}


def test_a_boot_heard_of_late_still_comes_before_a_later_one(opened, path):
    opened.add([received(alert("cleared"), boot_id="later", seq=20)])
    opened.add([received(alert("raised"), boot_id="earlier", seq=10, replayed=True)])
    opened.add([received(alert("raised"), boot_id="earliest", seq=3)])  # held up, but not marked
    assert shown(path) == {"bearing": ("cleared", None)}
    assert listed(path) == [20, 10, 3]
    assert set(eras(path).values()) == {0}


def test_sensors_do_not_touch_an_alarm_nor_alarms_a_sensor(opened, path):
    opened.add([received(alert("raised"), seq=1), received(sensor("raised"), seq=2)])
    assert shown(path) == {"bearing": ("raised", "stuck")}
    opened.add([received(sensor("cleared"), seq=3)])
    assert shown(path) == {"bearing": ("raised", None)}
    opened.add([received(sensor("raised", label="gap"), seq=4), received(alert("cleared"), seq=5)])
    assert shown(path) == {"bearing": ("cleared", "gap")}


def test_of_health_and_sensor_message_the_later_counts(opened, path):
    def say(trouble, seq):
        about = {"bearing": pipeline_health(sensor=trouble)}
        opened.add([received(health(pipelines=about), seq=seq)])

    say("gap", 5)
    assert shown(path)["bearing"] == (None, "gap")
    opened.add([received(sensor("raised"), seq=4)])
    assert shown(path)["bearing"] == (None, "gap")
    opened.add([received(sensor("cleared"), seq=6)])
    assert shown(path)["bearing"] == (None, None)
    opened.add([received(sensor("raised"), seq=7)])
    assert shown(path)["bearing"] == (None, "stuck")
    say(None, 8)
    assert shown(path)["bearing"] == (None, None)


@st.composite
def lives(draw):
    """What a device says over some boots, in order, and an order in which it might arrive."""
    said, seq = [], draw(st.integers(0, 3))
    for boot in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(1, 6))):
            seq += draw(st.integers(1, 3))
            body = draw(
                st.sampled_from([alert("raised"), alert("cleared"), sensor("raised"), health()])
            )
            said.append(
                encode(
                    body,
                    pipeline=draw(st.sampled_from(PIPELINES)),
                    boot_id=f"boot-{boot}",
                    seq=seq,
                    replayed=draw(st.booleans()),
                )
            )
    delivered = draw(st.permutations(said + draw(st.lists(st.sampled_from(said), max_size=9))))
    cuts = draw(st.lists(st.integers(0, len(delivered)), max_size=6))
    edges = sorted({0, *cuts, len(delivered)})
    return said, [delivered[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=60, deadline=None)
@given(lives())
def test_any_delivery_ends_in_the_same_state(tmp_path_factory, life):
    said, batches = life
    path = tmp_path_factory.mktemp("order") / "collector.db"
    store = Store(path)
    for batch in batches:
        store.add([arrived(each) for each in batch])
    store.close()
    news = [arrived(each).message for each in said if each.kind != "health"]
    assert listed(path) == [each.stamp.seq for each in reversed(news)]
    for pipeline, (state, trouble) in shown(path).items():
        own = [each for each in news if each.address.pipeline == pipeline]
        alarms = [each.body.state for each in own if each.kind == "alert"]
        assert state == (alarms[-1] if alarms else None)
        assert trouble == ("stuck" if any(each.kind == "sensor" for each in own) else None)
    assert set(eras(path).values()) == {0}
    with queries.reading(path) as db:
        ids = [id_ for (id_,) in db.execute("SELECT id FROM message")]
    assert sorted(ids) == sorted(each.id for each in said)


# -- a device that counts from the start again --------------------------------------------------


def say(opened, boot_id, *seqs, state="raised", replayed=False):
    opened.add(
        [received(alert(state), boot_id=boot_id, seq=seq, replayed=replayed) for seq in seqs]
    )


def test_a_new_card_in_the_same_device_is_believed_at_once(opened, path):
    say(opened, "old", *range(1, 40))
    say(opened, "new", 1, state="cleared")
    assert shown(path) == {"bearing": ("cleared", None)}
    assert listed(path)[:2] == [1, 39]
    say(opened, "old", 41, replayed=True)  # from the broker's queue, say
    say(opened, "newer", 2, state="cleared")
    assert shown(path) == {"bearing": ("cleared", None)}
    assert eras(path) == {"old": 0, "new": 1, "newer": 1}


def test_a_new_card_that_first_sends_its_backlog_moves_with_the_first_live_message(opened, path):
    say(opened, "old", *range(1, 40), state="raised")
    say(opened, "new", 1, 2, 3, state="cleared", replayed=True)
    say(opened, "new", 4, state="cleared")
    assert listed(path)[:5] == [4, 3, 2, 1, 39]
    assert shown(path) == {"bearing": ("cleared", None)}


def test_health_that_counts_again_moves_the_whole_boot(opened, path):
    say(opened, "old", *range(1, 40))
    opened.add([received(health(uptime_s=7.0), boot_id="new", seq=5)])
    with queries.reading(path) as db:
        (device,) = fleet.devices(db, now_ns=0)
    assert (device["boot_id"], device["uptime_s"]) == ("new", 7.0)


def test_a_device_that_forgets_while_its_machine_runs_is_believed_too(opened, path):
    """A container without a volume is made anew: the kernel's boot is the same."""

    def at(second, seq, state):
        opened.add([received(alert(state), seq=seq, mono_ns=second * SECOND_NS)])

    for seq in range(1, 40):
        at(seq, seq, "raised")
    at(20, 41, "raised")  # a window that took long to judge
    at(45, 40, "raised")  # held up on the way
    assert set(eras(path).values()) == {0}
    opened.add([received(alert("cleared"), seq=1, mono_ns=200 * SECOND_NS, replayed=True)])
    assert shown(path) == {"bearing": ("cleared", None)}
    at(210, 2, "raised")
    at(220, 3, "cleared")
    assert shown(path) == {"bearing": ("cleared", None)}
    assert listed(path)[:4] == [3, 2, 1, 41]
    assert set(eras(path).values()) == {1}


def test_one_absurd_number_is_not_believed_for_long(opened, path):
    for second, seq, state in ((1, 5, "raised"), (2, 2**53, "raised"), (90, 6, "cleared")):
        opened.add([received(alert(state), seq=seq, mono_ns=second * SECOND_NS)])
    assert shown(path) == {"bearing": ("cleared", None)}


def test_numbers_lost_with_the_power_are_used_again(opened, path):
    """Health is committed lazily: a power cut may take the last ones, and their numbers."""
    say(opened, "first", 1, 2)
    opened.add([received(health(), boot_id="first", seq=seq) for seq in (3, 4)])
    say(opened, "second", 3, state="cleared")
    assert shown(path) == {"bearing": ("cleared", None)}
    opened.add([received(health(), boot_id="first", seq=3)])  # and what the broker brings late
    say(opened, "first", 2, replayed=True)
    assert shown(path) == {"bearing": ("cleared", None)}


def test_scores_have_no_number_of_their_own_and_begin_no_era(opened, path):
    say(opened, "first", 1, 2)
    opened.add([received(a_score(), boot_id="first", seq=3)])
    say(opened, "second", 3)
    assert set(eras(path).values()) == {0}


def test_many_boots_of_one_device_stay_quick(opened, path):
    """A publisher that invents boots makes neither storing nor asking slow."""
    rng = random.Random(5)
    batch = [
        received(alert(), boot_id=f"boot-{i}", seq=rng.randrange(99), at_ns=i * SECOND_NS)
        for i in range(4000)
    ]
    for start in range(0, len(batch), 500):
        opened.add(batch[start : start + 500])
    one_more = received(alert("cleared"), boot_id="one-more", seq=50)
    assert effort(opened._db, lambda _: opened.add([one_more])) < 1000
    assert len(listed(path)) == 999
