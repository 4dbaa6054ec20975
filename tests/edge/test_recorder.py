"""An alert with words and evidence; and without, when they cannot be had, but never later."""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fakes import POINT, FakeEngine, FakeSource, plain_manifest, toy_workload

from contract import evidence
from contract.machine import Explanation, Machine
from contract.messages import Address, Alert
from contract.shelf import Shelf
from contract.spec import Detection, Window
from edge.bundle import Bundle
from edge.clock import Clock
from edge.config import PipelineConfig
from edge.recorder import Recorder
from edge.serving import Serving
from edge.sources import simulate
from edge.watcher import Watcher

ADDRESS = Address("vedette", "d1", "p")
MACHINE = Machine(speed_rpm=1797.0)
LEARN = 40


class OnTheSpot:
    """A policy that raises, with these levels, on the first window over the threshold."""

    def __init__(self, *levels: str) -> None:
        self._levels = levels
        self._is_raised = False

    def update(self, found, _t_ns):
        over = bool(found) and found[0].score >= POINT.threshold
        if over == self._is_raised or not found:
            return ()
        self._is_raised = over
        state = "raised" if over else "cleared"
        return tuple(
            Alert(
                workload="toy",
                state=state,
                label="far",
                score=found[0].score,
                threshold=POINT.threshold,
                hits=1,
                of=1,
                level=level,
            )
            for level in self._levels
        )

    def state(self) -> bytes:
        return b""

    def resume(self, state: bytes) -> None:
        pass


class Explains:
    """Says how many windows it was given, and remembers them."""

    def __init__(self, answer: Explanation | Exception | None = None) -> None:
        self.asked = []
        self._answer = answer

    def __call__(self, window, healthy, machine):
        self.asked.append((window, healthy, machine))
        if isinstance(self._answer, Exception):
            raise self._answer
        if self._answer:
            return self._answer
        spectra = {"now": np.abs(np.fft.rfft(window.data[:, 0])).astype(np.float32)}
        return Explanation(f"Compared with {len(healthy)} healthy windows.", "C", spectra)


def bundle(explains, *levels: str, model_id: str = "m1") -> Bundle:
    workload = replace(
        toy_workload(), policy=lambda _: OnTheSpot(*(levels or ("alarm",))), explain=explains
    )
    engines = {"second": FakeEngine()}
    return Bundle(Path(), plain_manifest("toy", ["far"]), workload, "onnx", engines, model_id)


def windows(levels, *, start=0, rate_hz=100.0):
    """A window a second; each is noise around a level."""
    rng = np.random.default_rng(7)
    for seq, level in enumerate(levels, start):
        data = (level + 0.1 * rng.normal(size=(20, 1))).astype(np.float32)
        yield Window("s", seq, seq * 10**9, 1_800_000_000 * 10**9 + seq * 10**9, data, rate_hz)


class Run:
    """A watcher over given windows; what was sent, and whether the evidence was there by then."""

    def __init__(self, folder: Path, opened: Bundle, *, shelf: Shelf | None = None) -> None:
        self.shelf = shelf or Shelf(folder / "evidence", max_bytes=1 << 20)
        config = PipelineConfig("p", "b", simulate.Config(hop_s=1.0), learn_windows=LEARN)
        self.serving = Serving(config, opened, None, state_dir=folder, base=folder)
        self.alerts: list[dict] = []
        self.watcher = Watcher(
            config,
            self.serving,
            Recorder(MACHINE, ADDRESS, self.shelf),
            address=ADDRESS,
            clock=Clock(first_seq=1),
            send=self._send,
            send_score=lambda _: None,
            base=folder,
        )

    def _send(self, *encoded, states):
        for each in encoded:
            data = json.loads(each.payload)["data"]
            msgspec.convert(data, Alert)  # as the collector would take it
            data["was_there"] = bool(data["evidence"]) and bool(self.shelf.get(data["evidence"]))
            self.alerts.append(data)

    def play(self, seen, monkeypatch):
        monkeypatch.setattr("edge.sources.open_source", lambda *_, **__: FakeSource(seen))
        self.watcher.run()
        return self.alerts


LIFE = [0.0] * (LEARN + 10) + [0.8] * 20 + [3.0] * 5 + [0.0] * 5


def test_an_alert_says_why_and_its_evidence_is_on_the_disk_before_it(tmp_path, monkeypatch):
    """Raised with words, severity and the raw window; cleared without."""
    explains = Explains()
    seen = list(windows(LIFE))
    run = Run(tmp_path, bundle(explains))
    raised, cleared = run.play(seen, monkeypatch)
    (asked,) = explains.asked
    assert asked[0] is seen[LEARN + 30]
    assert len(asked[1]) == 16
    assert asked[2] == MACHINE
    assert raised["text"].startswith("Compared with 16 healthy windows. Not normal for ")
    assert raised["severity"] == "C"
    assert raised["was_there"]
    assert (cleared["text"], cleared["severity"], cleared["evidence"]) == ("", None, None)
    kept = evidence.decode(run.shelf.get(raised["evidence"]))
    np.testing.assert_array_equal(kept.window, seen[LEARN + 30].data)
    assert (kept.seq, kept.rate_hz, kept.source) == (LEARN + 30, 100.0, "/vedette/d1/p")
    assert kept.wall_ns == seen[LEARN + 30].wall_ns
    assert kept.spectra["now"].shape == (11,)
    assert kept.trend[-1].tolist() == pytest.approx([0.0, raised["score"] / raised["threshold"]])
    assert len(kept.trend) == 31  # of those that were judged
    assert run.watcher.health().evidence_lost == 0


def test_the_trend_tells_since_when_it_is_not_normal(tmp_path, monkeypatch):
    """20 s between the two thresholds, then over the upper one."""
    (raised, _) = Run(tmp_path, bundle(Explains())).play(list(windows(LIFE)), monkeypatch)
    assert re.search(
        r"Not normal for 18 s; the score went from 0\.[78]\d to [23]\.\d\d times", raised["text"]
    )


def test_notice_and_alarm_of_one_window_share_their_evidence(tmp_path, monkeypatch):
    """Explained once."""
    explains = Explains()
    run = Run(tmp_path, bundle(explains, "notice", "alarm"))
    notice, alarm, *cleared = run.play(list(windows(LIFE)), monkeypatch)
    assert (notice["level"], alarm["level"], len(cleared)) == ("notice", "alarm", 2)
    assert notice["evidence"] == alarm["evidence"]
    assert notice["text"] == "Compared with 16 healthy windows."
    assert alarm["text"].startswith(notice["text"])
    assert len(explains.asked) == 1


def test_each_level_has_a_trend_of_its_own(tmp_path, monkeypatch):
    """What is urgent may have begun long after what is worth a look."""
    opened = bundle(Explains(), "notice", "alarm")
    judge = opened.workload.judge

    def judged(found, profile):
        (only,) = judge(found, profile)
        early = 0.9 if only.score > 0.5 else 0.0
        return only, Detection("early", score=early, level="notice")

    opened = replace(opened, workload=replace(opened.workload, judge=judged))
    life = [0.0] * (LEARN + 10) + [0.6] * 20 + [0.0] * 10 + [0.8] * 10 + [3.0]
    run = Run(tmp_path, opened)
    notice, alarm = run.play(list(windows(life)), monkeypatch)
    assert "Not normal for 8.0 s; the score went from 0.90 to 0.90" in notice["text"]
    assert "Not normal for 8.0 s; the score went from 0.7" in alarm["text"]


def test_a_workload_without_words_has_none_and_keeps_nothing(tmp_path, monkeypatch):
    """No raw windows on the disk either."""
    run = Run(tmp_path, bundle(None))
    raised, _ = run.play(list(windows(LIFE)), monkeypatch)
    assert (raised["text"], raised["evidence"]) == ("", None)
    assert [path.name for path in tmp_path.iterdir()] == ["p.profile.npz"]
    assert run.watcher.health().evidence_lost == 0


def test_an_explanation_that_fails_costs_the_words_and_not_the_alert(tmp_path, monkeypatch, caplog):
    """The raw window is kept all the same, for whoever looks into it."""
    run = Run(tmp_path, bundle(Explains(ZeroDivisionError("a bug"))))
    raised, cleared = run.play(list(windows(LIFE)), monkeypatch)
    assert raised["text"].startswith("Not normal for ")
    assert raised["was_there"]
    assert cleared["state"] == "cleared"
    assert run.watcher.health().evidence_lost == 1
    assert "a bug" in caplog.text


def test_a_disk_that_takes_nothing_costs_the_evidence_and_not_the_alert(
    tmp_path, monkeypatch, caplog
):
    """As a folder that cannot be made."""
    (tmp_path / "file").write_text("in the way")
    run = Run(tmp_path, bundle(Explains()), shelf=Shelf(tmp_path / "file" / "x", max_bytes=99999))
    raised, _ = run.play(list(windows(LIFE)), monkeypatch)
    assert raised["evidence"] is None
    assert raised["text"].startswith("Compared with 16")
    assert run.watcher.health().evidence_lost == 1
    assert "alerts go without evidence: Not a directory" in caplog.text


def test_evidence_too_large_to_be_fetched_is_not_kept(tmp_path, monkeypatch, caplog):
    """Spectra of a workload that does not know when to stop."""
    huge = Explanation("Loud.", None, {"now": np.zeros(3_000_000, np.float32)})
    raised, _ = Run(tmp_path, bundle(Explains(huge))).play(list(windows(LIFE)), monkeypatch)
    assert (raised["text"][:5], raised["evidence"]) == ("Loud.", None)
    assert "at most 8388608" in caplog.text


def test_words_without_end_are_cut_so_that_the_alert_is_taken(tmp_path, monkeypatch):
    """Or the collector would refuse the whole message."""
    explains = Explains(Explanation("blah " * 1000))
    raised, _ = Run(tmp_path, bundle(explains)).play(list(windows(LIFE)), monkeypatch)
    assert len(raised["text"]) == 1000


class Counter:
    """A follower that counts windows and says so."""

    def __init__(self, _profile) -> None:
        self.windows = 0

    def update(self, _found, _t_ns):
        self.windows += 1
        return (Detection("far", score=float(self.windows)),)

    def state(self):
        return {"windows": np.array(self.windows)}

    def resume(self, state):
        self.windows = int(state["windows"])


def test_what_was_followed_is_known_after_a_restart(tmp_path, monkeypatch):
    """Saved when the watcher ends, whatever the clock says."""
    opened = bundle(None)
    opened = replace(opened, workload=replace(opened.workload, follow=Counter))
    Run(tmp_path, opened).play(list(windows([0.0] * (LEARN + 7))), monkeypatch)
    assert Run(tmp_path, opened).serving.pipeline.memory.follower.windows == 7


class TestHealthyWindows:
    """What there is to compare with, over restarts and other models."""

    def healthy(self, run) -> list[float]:
        """Mean of each healthy window, which is the number of the window here."""
        found = run.serving.healthy.like(next(windows([0.0])))
        return [round(float(data.mean())) for data in found]

    def learn(self, folder, count, monkeypatch, *, start=0, model_id="m1", rate_hz=100.0):
        run = Run(folder, bundle(Explains(), model_id=model_id))
        numbers = range(start, start + count)
        run.play(list(windows(numbers, start=start, rate_hz=rate_hz)), monkeypatch)
        return run

    def test_they_lie_evenly_over_the_learning_period(self, tmp_path, monkeypatch):
        """Not the first ones only, and none of later."""
        run = self.learn(tmp_path, LEARN + 30, monkeypatch)
        kept = self.healthy(run)
        assert len(kept) == 16
        assert (kept[0], kept[-1]) == (0, 38)
        assert set(np.diff(kept)) == {2, 3}

    def test_they_survive_a_restart(self, tmp_path, monkeypatch):
        """Of a learning period that went on after it as well."""
        self.learn(tmp_path, 20, monkeypatch)
        run = self.learn(tmp_path, 20, monkeypatch, start=20)
        again = self.healthy(Run(tmp_path, bundle(Explains())))
        assert again == self.healthy(run)
        assert len(again) == 16

    def test_what_a_power_cut_took_from_the_profile_goes_too(self, tmp_path, monkeypatch):
        """The profile of 17 windows is on disk as one of 10."""
        self.learn(tmp_path, 17, monkeypatch)
        run = Run(tmp_path, bundle(Explains()))
        assert run.serving.pipeline.memory.gathered == 10
        assert self.healthy(run) == [0, 3, 5, 8]

    def test_a_profile_learned_anew_begins_with_none(self, tmp_path, monkeypatch):
        """As docs/device.md tells to do after a repair."""
        self.learn(tmp_path, LEARN, monkeypatch)
        (tmp_path / "p.profile.npz").unlink()
        assert self.healthy(Run(tmp_path, bundle(Explains()))) == []
        run = self.learn(tmp_path, LEARN, monkeypatch, start=1000)
        assert min(self.healthy(run)) == 1000

    def test_another_model_has_its_own_and_finds_them_again(self, tmp_path, monkeypatch):
        """And of so many models only the latest keep theirs."""
        first = self.healthy(self.learn(tmp_path, LEARN, monkeypatch))
        assert self.healthy(Run(tmp_path, bundle(Explains(), model_id="m2"))) == []
        self.learn(tmp_path, LEARN, monkeypatch, start=500, model_id="m2")
        assert self.healthy(Run(tmp_path, bundle(Explains()))) == first
        for number in range(3, 9):
            path = tmp_path / f"p.healthy.m{number}.npz"
            path.write_bytes(b"")
            os.utime(path, ns=(number, number))
        self.learn(tmp_path, LEARN, monkeypatch, start=500, model_id="m9")
        left = {path.name.split(".")[2] for path in tmp_path.glob("p.healthy.*")}
        assert {"m1", "m2", "m9"} <= left
        assert len(left) == 5

    def test_those_of_another_rate_or_length_are_no_comparison(self, tmp_path, monkeypatch):
        """The sensor was set up anew."""
        healthy = self.learn(tmp_path, LEARN, monkeypatch).serving.healthy
        now = next(windows([0.0]))
        assert len(healthy.like(now)) == 16
        assert healthy.like(replace(now, rate_hz=50.0)) == []
        assert healthy.like(replace(now, data=now.data[:10])) == []

    def test_a_rate_that_is_measured_may_move_a_little(self, tmp_path, monkeypatch):
        """As of a sensor with a clock of its own; one that was set to another begins anew."""
        run = Run(tmp_path, bundle(Explains()))
        seen = [replace(one, rate_hz=100.0 + 0.002 * one.seq) for one in windows(range(LEARN))]
        run.play(seen, monkeypatch)
        assert len(self.healthy(run)) == 16
        run = Run(tmp_path, bundle(Explains(), model_id="m2"))
        seen = [replace(one, rate_hz=50.0 if one.seq < 20 else 100.0) for one in seen]
        run.play(seen, monkeypatch)
        assert min(self.healthy(run)) == 20

    def test_windows_too_large_to_be_kept_are_not(self, tmp_path, monkeypatch):
        """A bound in bytes, not only in number."""
        monkeypatch.setattr("edge.healthy._MOST_BYTES", 20 * 4 * 3)
        assert len(self.healthy(self.learn(tmp_path, LEARN, monkeypatch))) == 3
        monkeypatch.setattr("edge.healthy._MOST_BYTES", 20 * 4 - 1)
        assert self.healthy(self.learn(tmp_path, LEARN, monkeypatch, model_id="m2")) == []

    @pytest.mark.parametrize("spoil", [lambda raw: raw[:-9], lambda _: b"", lambda _: b"PK\x03"])
    def test_a_damaged_file_is_passed_over(self, tmp_path, monkeypatch, caplog, spoil):
        """Alerts then go without a comparison, not lost."""
        self.learn(tmp_path, LEARN, monkeypatch)
        path = tmp_path / "p.healthy.m1.npz"
        path.write_bytes(spoil(path.read_bytes()))
        run = Run(tmp_path, bundle(Explains()))
        assert self.healthy(run) == []
        assert "not taken" in caplog.text
        (raised,) = run.play(list(windows([0.0, 100.0], start=100)), monkeypatch)
        assert raised["text"].startswith("Compared with 0")

    def test_what_a_full_disk_did_not_take_is_saved_later(self, tmp_path, monkeypatch, caplog):
        """They serve from memory meanwhile."""
        caplog.set_level(logging.ERROR)
        path = tmp_path / "p.healthy.m1.npz"
        path.mkdir()
        run = self.learn(tmp_path, LEARN, monkeypatch)
        assert len(self.healthy(run)) == 16
        assert caplog.text.count("cannot be saved") == 1
        path.rmdir()
        monkeypatch.setattr("edge.healthy.time.monotonic", lambda: 1e12)
        run.serving(next(windows([1.0], start=LEARN)))
        assert len(self.healthy(Run(tmp_path, bundle(Explains())))) == 16
