"""The best look at each person becomes the evidence of what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeSource, plain_manifest
from visits_people import RULES, face, learned

from contract import evidence, gallery
from contract.machine import Machine
from contract.messages import Address
from contract.shelf import Shelf
from contract.spec import ImageSpec, Stage, Window, Workload
from contract.visits import Visitor, Visits
from contract.visits_policy import EachVisit
from edge.bundle import Bundle
from edge.clock import Clock
from edge.config import PipelineConfig
from edge.crops import Crops
from edge.recorder import Recorder
from edge.serving import Serving
from edge.sources import simulate
from edge.watcher import Watcher

COLOURS = {"anna": (200, 40, 40), "eve": (40, 160, 60)}


def picture(*people, seq=0, height=480, width=640):
    """A grey picture with a square of their own colour where each face is."""
    data = np.random.default_rng(seq).integers(88, 93, (height, width, 3), dtype=np.uint8)
    for who, one in people:
        left, top, right, bottom = (round(edge) for edge in one.box)
        data[top:bottom, left:right] = COLOURS[who]
    return Window("cam", seq, seq * 10**9, 1_800_000_000 * 10**9 + seq, data, 1.0)


def seen(one, *, visit="v", quality=1.0):
    """The face on a visit."""
    return Visitor("face", box=one.box, visit=visit, quality=quality)


def shown(crops, visit="v"):
    """(height, width, 3) of the JPEG, RGB."""
    raw = np.frombuffer(crops.jpeg(visit), np.uint8)
    return cv2.imdecode(raw, cv2.IMREAD_COLOR)[:, :, ::-1]


def test_the_face_is_in_the_middle_with_its_surroundings():
    """Four tenths of a box on each side, in the colours of the picture."""
    crops, one = Crops(), face("anna", 300, 200)
    crops.see((seen(one),), picture(("anna", one)))
    got = shown(crops)
    assert got.shape == (145, 145, 3)
    assert np.abs(got[72, 72].astype(int) - COLOURS["anna"]).max() < 8
    assert np.abs(got[5, 5].astype(int) - 90).max() < 8


def test_the_best_look_is_kept_not_the_last():
    """By the quality of the face, and clearly better ones only."""
    crops, one = Crops(), face("anna", 300, 200)
    for number, (quality, who) in enumerate(
        [(0.5, "eve"), (0.9, "anna"), (0.91, "eve"), (0, "eve")]
    ):
        crops.see((seen(one, quality=quality),), picture((who, one), seq=number))
    assert np.abs(shown(crops)[72, 72].astype(int) - COLOURS["anna"]).max() < 8


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((-50.0, -50.0, 30.0, 30.0), (63, 63)),
        ((600.0, 440.0, 700.0, 540.0), (80, 80)),
        ((0.0, 0.0, 640.0, 480.0), (240, 320)),
        ((-500.0, 0.0, -400.0, 100.0), None),
        ((900.0, 0.0, 950.0, 50.0), None),
        ((100.2, 100.7, 100.3, 100.8), (1, 1)),
    ],
)
def test_a_face_at_the_edge_or_of_any_size_is_cut_out_as_far_as_it_is_there(box, size):
    """At most 320 pixels; nothing where it is not in the picture."""
    crops = Crops()
    crops.see((Visitor("face", box=box, visit="v", quality=1.0),), picture())
    assert (None if crops.jpeg("v") is None else shown(crops).shape[:2]) == size


def test_of_many_people_the_last_64_are_kept_and_none_for_long():
    """A crop of two minutes ago is no evidence of anything any more."""
    crops, one = Crops(), face("anna", 300, 200)
    crops.see(tuple(seen(one, visit=f"{i}") for i in range(70)), picture())
    assert [crops.jpeg(f"{i}") is None for i in range(70)] == [True] * 6 + [False] * 64
    crops.see((), picture(seq=120))
    assert crops.jpeg("69") is not None
    crops.see((), picture(seq=121))
    assert crops.jpeg("69") is None


def test_who_is_still_there_stays_and_a_clock_that_begins_anew_forgets():
    """The first of 64 is seen again before the next comes; later the source starts over."""
    crops, one = Crops(), face("anna", 300, 200)
    for i in range(64):
        crops.see((seen(one, visit=f"{i}"),), picture(seq=500))
    crops.see((seen(one, visit="0", quality=0.1),), picture(seq=501))
    crops.see((seen(one, visit="64"),), picture(seq=502))
    assert crops.jpeg("0") is not None
    assert crops.jpeg("1") is None
    crops.see((), picture(seq=0))
    assert crops.jpeg("0") is None


def test_what_is_kept_does_not_hold_the_whole_picture_in_memory():
    """Sixty-four pictures of 12 megapixels would be two gigabytes."""
    crops, one = Crops(), face("anna", 300, 200)
    window = picture(("anna", one))
    crops.see((seen(one),), window)
    window.data[:] = 0
    assert shown(crops)[72, 72, 0] > 150


class Played:
    """A real watcher over pictures in which the faces are known."""

    def __init__(self, folder: Path, monkeypatch, scenes, *, shelf: Shelf | None = None) -> None:
        known = learned("anna")
        faces = dict(enumerate(scenes))
        workload = Workload(
            name="faces",
            revision=1,
            input=ImageSpec(16, 16, 480, 640),
            stages=(
                Stage(
                    "find",
                    lambda _window, _found: np.zeros((0, 1), np.float32),
                    lambda window, *_: tuple(one for _, one in faces[window.seq]),
                ),
            ),
            judge=lambda found, _profile: found,
            follow=lambda _: Visits(lambda unit: gallery.match(known, unit), RULES),
            policy=lambda point: EachVisit(point, workload="faces", away_s=5.0, return_s=60.0),
            tolerances={},
        )
        bundle = Bundle(Path(), plain_manifest("faces", []), workload, "onnx", {}, "m1")
        config = PipelineConfig("p", "b", simulate.Config(hop_s=1.0))
        self.shelf = shelf or Shelf(folder / "evidence", max_bytes=1 << 20)
        self.alerts: list[dict] = []
        self.pictures = [picture(*people, seq=seq) for seq, people in faces.items()]
        self.watcher = Watcher(
            config,
            Serving(config, bundle, None, state_dir=folder, base=folder),
            Recorder(Machine(), Address("vedette", "d1", "door"), self.shelf),
            address=Address("vedette", "d1", "door"),
            clock=Clock(first_seq=1),
            send=self._send,
            send_score=lambda _: None,
            base=folder,
        )
        monkeypatch.setattr("edge.sources.open_source", lambda *_, **__: FakeSource(self.pictures))
        self.watcher.run()

    def _send(self, *encoded, states):
        assert states["p"]
        self.alerts += [
            json.loads(each.payload)["data"] for each in encoded if each.kind == "alert"
        ]


ANNA, EVE = face("anna", 150, 200), face("eve", 450, 250)
FAR = replace(EVE, score=0.5)
SCENES = [
    *[[("anna", ANNA), ("eve", EVE)]] * 2,
    *[[("anna", ANNA), ("eve", FAR)]] * 6,
    *[[]] * 10,
]


def test_each_alert_carries_the_best_look_at_its_person(tmp_path, monkeypatch):
    """A JPEG of the face in a file named by its hash; nothing of the rest of the picture."""
    run = Played(tmp_path, monkeypatch, SCENES)
    said = [(one["state"], one["label"], one["who"]) for one in run.alerts]
    assert said[:2] == [("raised", "recognised", "anna"), ("raised", "stranger", None)]
    assert [one[0] for one in said[2:]] == ["cleared", "cleared"]
    for alert, who in zip(run.alerts, ("anna", "eve"), strict=False):
        kept = evidence.decode(run.shelf.get(alert["evidence"]))
        got = cv2.imdecode(np.frombuffer(kept.picture, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert np.abs(got[72, 72].astype(int) - COLOURS[who]).max() < 8
        assert kept.window.size == 0
        assert (kept.source, kept.workload, kept.rate_hz) == ("/vedette/d1/door", "faces", 1.0)
    assert all(one["evidence"] is None for one in run.alerts[2:])
    assert run.watcher.health().evidence_lost == 0


def test_a_disk_that_takes_nothing_costs_the_picture_and_not_the_alert(
    tmp_path, monkeypatch, caplog
):
    """And it is counted."""
    (tmp_path / "file").write_text("in the way")
    run = Played(
        tmp_path, monkeypatch, SCENES, shelf=Shelf(tmp_path / "file" / "x", max_bytes=99999)
    )
    assert [one["evidence"] for one in run.alerts] == [None] * 4
    assert run.watcher.health().evidence_lost == 2
    assert caplog.text.count("alerts go without evidence: Not a directory") == 1


def test_without_opencv_alerts_go_out_without_pictures(tmp_path, monkeypatch, caplog):
    """The log says what is missing."""
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    run = Played(tmp_path, monkeypatch, SCENES)
    assert [one["label"] for one in run.alerts[:2]] == ["recognised", "stranger"]
    assert run.watcher.health().evidence_lost == 2
    assert "cv2" in caplog.text
