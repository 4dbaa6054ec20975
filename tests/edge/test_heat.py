"""The picture of a part that did not pass: its frame and its heat lie where the defect does."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import recorder, toy_workload

from contract.inspection import PASS, REJECT, REVIEW, Part
from contract.messages import Alert, Reading
from contract.spec import Window
from edge import heat

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


def window(shape=(120, 160, 3), *, large=None):
    return Window("p", 0, 0, 0, np.full(shape, 90, np.uint8), 0.0, large)


def part(**more):
    hot = np.zeros((12, 16), np.float32)
    hot[2, 12] = 1.0
    return Part(REJECT, score=1.0, threshold=0.5, box=(116, 16, 132, 32), heat=hot, **more)


def shown(raw):
    return cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)


def test_the_part_lies_beside_its_heat_map():
    picture = shown(heat.jpeg(window(), part()))
    assert picture.shape == (120, 320, 3)
    framed, heated = picture[:, :160], picture[:, 160:]
    rows, columns = np.nonzero(framed.min(axis=2) > 200)
    assert (columns.min(), columns.max()) == pytest.approx((116, 132), abs=1)
    assert (rows.min(), rows.max()) == pytest.approx((16, 32), abs=1)
    off = np.abs(heated - 90).sum(axis=2)
    assert np.unravel_index(off.argmax(), off.shape) == pytest.approx((25, 125), abs=6)
    assert off[60:, :80].max() < 20  # cold places stay as they are


def test_a_large_picture_is_reduced_and_the_frame_with_it():
    large = np.full((1200, 1600, 3), 90, np.uint8)
    picture = shown(heat.jpeg(window(large=large), part()))
    assert picture.shape == (480, 1280, 3)
    _, columns = np.nonzero(picture[:, :640].min(axis=2) > 200)
    assert (columns.min(), columns.max()) == pytest.approx((464, 528), abs=2)


def test_a_part_that_was_not_judged_is_shown_as_it_is():
    assert shown(heat.jpeg(window(), Part(REJECT))).shape == (120, 160, 3)


def test_no_picture_no_evidence():
    assert heat.jpeg(window((0, 0, 3)), part()) is None


class FakeServing:
    """What a recorder asks of a `Serving`."""

    class bundle:  # noqa: N801
        workload = toy_workload()


def bodies(label):
    reading = Reading(workload="toy", label=label, score=1.0, part=1)
    reject, drift = (
        Alert(workload="toy", state="raised", label=of, score=1.0, threshold=0.5, hits=1, of=1)
        for of in ("reject", "focus")
    )
    return [reading, reject, drift] if label == REJECT else [reading, drift]


@pytest.mark.parametrize(
    ("label", "expected"),
    [(REJECT, [True, True, False]), (REVIEW, [True, False]), (PASS, [False] * 2)],
)
def test_what_does_not_pass_has_evidence_and_its_alert_the_same(tmp_path, label, expected):
    record = recorder(tmp_path)
    record.see((Part(label, heat=part().heat),), window())
    said = record(bodies(label), window(), FakeServing, 0.0)
    assert [body.evidence is not None for body in said] == expected
    assert len({body.evidence for body in said} - {None}) <= 1
    assert record.lost == 0


def test_a_part_without_a_picture_has_none_and_nothing_is_lost(tmp_path):
    record = recorder(tmp_path)
    record.see((Part(REJECT),), window((0, 0, 3)))
    said = record(bodies(REJECT), window((0, 0, 3)), FakeServing, 0.0)
    assert [body.evidence for body in said] == [None] * 3
    assert record.lost == 0
