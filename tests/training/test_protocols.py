import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from contract.policy import Latch
from contract.spec import Detection, OperatingPoint, SignalSpec, Stage, Workload
from training import surrogates, trade_page
from training.datasets.synthetic.run_to_failure import simulate
from training.protocols import SURROGATE_HOURS, early_and_silent
from training.trade_off import MARGINS
from training.watch import Seen, judge


def never(_window, found):
    raise AssertionError("nothing is run here")


def clock(found, profile):
    """A message so many windows after learning, whatever was measured; then an alarm."""
    number, after = found[0].vector.tolist()
    return (
        Detection("clock", score=float(number >= profile.windows + after), level="notice"),
        Detection("clock", score=float(number >= profile.windows + after + 5), level="alarm"),
    )


CLOCK = Workload(
    name="clock",
    revision=1,
    input=SignalSpec(1.0, 1, 1.0, 1, 1),
    stages=(Stage("none", never, never),),
    judge=clock,
    policy=partial(Latch, workload="clock", calm_s=1e9, cooldown_s=0.0),
    tolerances={},
    labels=("clock",),
    learn=lambda _rows: {},
)
POINT = OperatingPoint(1.0, 0.8, "", {})


@pytest.fixture
def surrogates_asked(monkeypatch):
    """What surrogate lives were asked for; each raises three notices and an alarm."""
    asked = []

    def alerts(_workload, seen, points, *, hours, seed):
        asked.append((seen.recording.name, hours, seed))
        return [{"notice": 3, "alarm": 1} for _ in points]

    monkeypatch.setattr(surrogates, "alerts", alerts)
    return asked


class FakeBench:
    """Raises the alarm so many windows after learning; keeps what it was asked to run."""

    workload = CLOCK

    def __init__(self, raised_after):
        self.raised_after, self.ran, self.shown = raised_after, [], []

    def see(self, recording):
        self.ran.append(recording.name)
        after = self.raised_after[recording.name]
        found = tuple(
            (Detection("row", vector=np.array([i, after])),) for i in range(len(recording))
        )
        return Seen(recording, tuple(range(len(recording))), found, {})

    def watch(self, recording):
        return judge(CLOCK, self.see(recording), POINT)

    def point(self, recording):
        assert recording.name in self.ran, "it is chosen when the recording is seen"
        return POINT

    def split_of(self, recording):
        return "unseen" if recording.name == "machine000" else "training"

    def each(self, things, named):
        for thing in things:
            self.shown.append(named(thing))
            yield thing


def test_lives_are_run_once_each_and_told_apart():
    bench = FakeBench({"machine000": 120, "machine001": 200})
    found = simulate(2, seed=1).measure(bench)
    assert bench.ran == bench.shown == ["machine000", "machine001"]
    assert found.metrics["bearings"] == 2
    assert found.metrics["found"] == 1
    first, second = found.rows
    assert (first["name"], first["split"]) == ("machine000", "unseen")
    assert np.isclose(first["first_alarm_fraction"], 151 / 200)
    assert (second["split"], second["first_alarm_fraction"]) == ("training", None)
    assert first.keys() == second.keys()


def shares_of(recordings):
    """The same lives, learned from on more and more."""
    return {
        share: tuple(replace(r, learn_windows=int(share * len(r))) for r in recordings)
        for share in (0.15, 0.10, 0.20)
    }


def test_what_is_early_must_be_so_on_every_learning_period(surrogates_asked):
    """Clocks that speak so many windows after learning: a longer one pushes them past 30 %."""
    bench = FakeBench({"machine000": 25, "machine001": 60, "machine002": 100})
    lives = shares_of(simulate(3, seed=1).recordings)
    found = early_and_silent(lives, bench)
    assert bench.ran == bench.shown == ["machine000", "machine001", "machine002"]
    metrics = found.metrics
    assert metrics["bearings"] == 3
    # 0.15 of 200 are 30; machine000 speaks at window 55, within 30 %: a false start
    assert metrics["median_first_alarm_fraction"] == pytest.approx(131 / 200)
    assert metrics["bearings_with_false_alarm"] == 1
    for name in ("median_first_alarm_fraction", "bearings_with_false_alarm", "found"):
        assert metrics[f"{name}_at_15"] == metrics[name]
    assert metrics["bearings_with_false_alarm_at_10"] == 1
    assert metrics["bearings_with_false_alarm_at_20"] == 0
    assert metrics["median_first_alarm_fraction_at_10"] == pytest.approx(121 / 200)
    assert metrics["median_first_alarm_fraction_at_20"] == pytest.approx(101 / 200)
    assert [row["learn_windows"] for row in found.rows] == [30, 30, 30]


def test_surrogate_hours_are_shared_out_and_episodes_told_per_hundred(surrogates_asked):
    bench = FakeBench({"machine000": 150, "machine001": 200})
    found = early_and_silent(shares_of(simulate(2, seed=1).recordings), bench)
    assert surrogates_asked == [
        ("machine000", SURROGATE_HOURS / 2, 0),
        ("machine001", SURROGATE_HOURS / 2, 1),
    ]
    assert found.metrics["surrogate_hours"] == SURROGATE_HOURS
    assert found.metrics["surrogate_episodes_per_100h"] == pytest.approx(800 / SURROGATE_HOURS)


def test_other_thresholds_trade_lead_for_silence(surrogates_asked):
    """Above the clocks' only score nothing is ever told."""
    bench = FakeBench({"machine000": 25, "machine001": 60, "machine002": 100})
    found = early_and_silent(shares_of(simulate(3, seed=1).recordings), bench)
    trades = {(one.margin, one.level): one for one in found.trades}
    assert set(trades) == {(m, level) for m in MARGINS for level in ("notice", "alarm")}
    shipped, above = trades[1.0, "notice"], trades[1.1, "notice"]
    # machine000 starts falsely; the others speak at 91 and 131 of 200
    assert shipped.lead == pytest.approx(1 - 131 / 200)
    assert (shipped.found, shipped.false_starts) == (3, 1)
    assert (above.found, above.lead, above.false_starts) == (0, 0.0, 0)
    assert trades[1.0, "alarm"].false_starts == 0, "it comes at 30.5 % of life"
    # three messages and one alarm are raised on each surrogate at any threshold
    per_month = 730 / SURROGATE_HOURS
    assert shipped.per_machine_month == pytest.approx(3 * 4 * per_month)
    assert trades[1.0, "alarm"].per_machine_month == pytest.approx(3 * per_month)


def test_the_page_shows_every_threshold(surrogates_asked, tmp_path):
    bench = FakeBench({"machine000": 120, "machine001": 60})
    found = early_and_silent(shares_of(simulate(2, seed=1).recordings), bench)
    page = trade_page.write(
        tmp_path / "trade.html",
        found.trades,
        dataset="<made>",
        judged_by="a clock",
        recordings=2,
        hours=SURROGATE_HOURS,
        command="vedette evaluate",
        seconds=1.0,
    ).read_text()
    assert "&lt;made&gt;" in page
    assert page.count("2 of 2") == 2 * len([m for m in MARGINS if m <= 1.0])
    assert "<svg" in page
    assert not re.search(r"(src|href)=.(https?:)?//", page)
