"""Faces: found, looked at closely, aligned, embedded, named; networks stood in for by rules."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from contract import gallery
from contract.fold import fold
from contract.gallery import Consent, Person, Picture
from contract.ops import decode, drawn, image
from contract.ops.decode import BACK, FULL_RANGE, MESH
from contract.spec import Detection, OperatingPoint, Profile, Window
from contract.workloads.faces import WORKLOAD

POINT = OperatingPoint(0.9, 0.9, "nothing", {})


def window(data) -> Window:
    return Window("camera", 0, 0, 0, np.asarray(data, np.uint8), 0.0)


def rows_of(detector, *said):
    """A detector's rows that say: (score, box, points) in pixels of the square, each by the anchor
    nearest to the box's centre."""
    anchors = decode._anchors(detector.grids) * detector.size
    low, high = detector.spans
    values = np.tile(low, (len(anchors), 1)).astype(np.float64)
    for score, box, points in said:
        left, top, right, bottom = box
        centre = np.array([left + right, top + bottom]) / 2
        at = np.abs(anchors - centre).sum(axis=1).argmin()
        places = [centre - anchors[at], (right - left, bottom - top)]
        places += [np.array(point) - anchors[at] for point in (*points, (0, 0), (0, 0))]
        values[at] = [np.log(score / (1 - score)), *np.ravel(places)]
    return np.clip((values - low) / (high - low) * 6, 0, 6).astype(np.float32)


def row_of_mesh(score, edges, points):
    """What the mesh says, (17,): edges left, right, top, bottom and points, in pixels."""
    low, high = MESH.spans
    values = np.array([np.log(score / (1 - score)), *np.ravel([*edges, *points])])
    return np.clip((values - low) / (high - low) * 6, 0, 6).astype(np.float32)


POINTS = [(40.0, 45.0), (60.0, 45.0), (50.0, 55.0), (50.0, 65.0)]
BOX = (30.0, 30.0, 70.0, 75.0)
# a face in the middle of the mesh's square
EDGES = [(32.0, 100.0), (160.0, 100.0), (96.0, 32.0), (96.0, 160.0)]
CENTRED = [(71.0, 75.0), (121.0, 75.0), (96.0, 105.0), (96.0, 130.0)]


@pytest.mark.parametrize("detector", [FULL_RANGE, BACK])
def test_what_a_detector_says_is_read_back(detector):
    (face,) = decode.faces(rows_of(detector, (0.9, BOX, POINTS)), detector, at_least=0.5)
    assert face.score == pytest.approx(0.9, abs=1e-3)
    np.testing.assert_allclose(face.box, BOX, atol=0.01)
    np.testing.assert_allclose(face.points, POINTS, atol=0.01)


def test_what_the_mesh_says_is_read_back():
    score, points = decode.placed(row_of_mesh(0.8, EDGES, CENTRED))
    assert score == pytest.approx(0.8, abs=1e-3)
    np.testing.assert_allclose(points, [*EDGES, *CENTRED], atol=1e-3)


def test_points_of_a_square_are_points_of_the_picture_again():
    turn = 2.0 * np.array([[0.8, -0.6], [0.6, 0.8]])
    matrix = np.column_stack([turn, (5.0, -3.0)])
    square = np.array(POINTS) @ turn.T + (5.0, -3.0)
    np.testing.assert_allclose(image.back(matrix, square), POINTS, atol=1e-4)


def test_faces_below_the_score_are_none_and_the_surest_comes_first():
    far = (130.0, 130.0, 170.0, 175.0)
    rows = rows_of(
        FULL_RANGE,
        (0.6, BOX, POINTS),
        (0.9, far, [(x + 100, y + 100) for x, y in POINTS]),
    )
    assert [round(f.score, 2) for f in decode.faces(rows, FULL_RANGE, at_least=0.5)] == [0.9, 0.6]
    assert len(decode.faces(rows, FULL_RANGE, at_least=0.7)) == 1
    assert decode.faces(rows, FULL_RANGE, at_least=0.95) == []


def test_two_anchors_on_one_face_are_averaged_by_their_scores():
    moved = tuple(x + 4 for x in BOX)
    rows = rows_of(FULL_RANGE, (0.8, BOX, POINTS), (0.6, moved, POINTS))
    (face,) = decode.faces(rows, FULL_RANGE, at_least=0.5)
    assert face.score == pytest.approx(0.8, abs=1e-3)
    np.testing.assert_allclose(face.box, np.array(BOX) + 4 * 0.6 / 1.4, atol=0.02)


def test_overlap_of_boxes():
    boxes = np.array([(0, 0, 2, 2), (1, 0, 3, 2), (5, 5, 6, 6), (1, 1, 1, 1)], float)
    np.testing.assert_allclose(decode.overlaps(boxes[0], boxes), [1.0, 1 / 3, 0.0, 0.0])
    within = np.array([(0, 0, 2, 2), (1, 0, 3, 2), (5, 5, 6, 6), (-2, -2, 4, 4)], float)
    np.testing.assert_allclose(decode.shared(boxes[0], within), [1.0, 0.5, 0.0, 1.0])


def test_a_letterbox_is_undone():
    lies = image.fit(100, 200, size=192)
    assert (lies.scale, lies.left, lies.top) == (0.96, 0.0, 48.0)
    np.testing.assert_allclose(lies.back(np.array([[96.0, 96.0]])), [[100.0, 50.0]])
    square = image.letterbox(np.full((100, 200, 3), 200, np.uint8), size=192)
    assert (square[:47] == 0).all()
    assert (square[145:] == 0).all()
    np.testing.assert_allclose(square[60:130], 200.0, atol=0.01)
    wide = image.letterbox(np.full((100, 200, 3), 200, np.uint8), size=192, margin=0.5)
    np.testing.assert_allclose(wide, 200.0, atol=0.01)


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_a_warp_puts_points_where_they_belong(scale):
    """A bright spot of a picture, moved, turned and scaled."""
    picture = np.zeros((200, 240, 3), np.uint8)
    picture[80:90, 120:130] = 255  # its centre at 125, 85
    turn = scale * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    matrix = np.column_stack([turn, np.array([60.0, 70.0]) - turn @ (125.0, 85.0)])
    moved = image.warp(picture, matrix, size=128)[..., 0]
    y, x = np.mgrid[:128, :128] + 0.5
    centre = np.array([(x * moved).sum(), (y * moved).sum()]) / moved.sum()
    np.testing.assert_allclose(centre, (60.0, 70.0), atol=0.15)


def test_only_what_a_square_shows_is_looked_at_and_it_is_the_same():
    """A part of a large picture, moved, turned and scaled; and one beyond its edge."""
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    turn = 1.5 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    for middle in ((200.0, 150.0), (10.0, 290.0)):
        matrix = np.column_stack([turn, 32.0 - turn @ middle])
        part, moved = image._needed(picture, matrix, 64)
        assert part.shape[0] < 80
        assert part.shape[1] < 80
        found = image.warp(picture, matrix, size=64, edge_goes_on=True)
        wide = np.pad(picture, ((100, 100), (100, 100), (0, 0)), mode="edge")
        shifted = np.column_stack([turn, matrix[:, 2] - turn @ (100.0, 100.0)])
        np.testing.assert_allclose(found, image.warp(wide, shifted, size=64), atol=12.0)
        assert np.abs(found - image.warp(wide, shifted, size=64)).mean() < 0.5
        np.testing.assert_allclose(moved[:, :2], matrix[:, :2])


@pytest.mark.parametrize(("height", "width"), [(481, 643), (37, 1999), (1, 900), (900, 1)])
def test_a_picture_that_shrinks_is_halved_and_lies_where_it_lay(height, width):
    """A ramp stays the same ramp, however odd the sides; fine stripes become grey."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    ramp = np.stack([255.0 * x / width, 255.0 * y / height, 0 * x], axis=-1).astype(np.float32)
    square = image.letterbox(ramp, size=48)
    lies = image.fit(height, width, size=48)
    left, top, right, bottom = lies.left, lies.top, 48 - lies.left, 48 - lies.top
    inside = np.s_[int(top) + 2 : int(bottom) - 2, int(left) + 2 : int(right) - 2]
    column, row = np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5)
    wanted = [255.0 * (column - left) / (right - left), 255.0 * (row - top) / (bottom - top)]
    for channel, ramp_there in enumerate(wanted):
        np.testing.assert_allclose(square[..., channel][inside], ramp_there[inside], atol=2.0)
    stripes = np.where(np.arange(width) % 2, 255, 0).astype(np.uint8)
    shown = image.letterbox(np.tile(stripes[:, None], (height, 1, 3)), size=48)
    if min(height, width) > 40:
        np.testing.assert_allclose(shown[inside], 127.5, atol=2.0)


def test_a_face_in_a_picture_of_many_megapixels_is_cut_out_before_it_is_halved(monkeypatch):
    seen = []
    resize = image.cv2.resize

    def counted(picture, *size, **how):
        seen.append(picture.size)
        return resize(picture, *size, **how)

    monkeypatch.setattr(image.cv2, "resize", counted)
    picture = np.zeros((2000, 3000, 3), np.uint8)
    scale = 0.2  # a face of 480 pixels
    matrix = np.array([[scale, 0.0, 48.0 - scale * 1500], [0.0, scale, 48.0 - scale * 1000]])
    image.warp(picture, matrix, size=96)
    assert 0 < max(seen) < picture.size / 20


def test_a_similarity_is_found_and_never_mirrors():
    points = np.array(POINTS)
    turn = 2.0 * np.array([[0.8, -0.6], [0.6, 0.8]])
    found = image.similarity(points, points @ turn.T + (5.0, -3.0))
    np.testing.assert_allclose(found, [[1.6, -1.2, 5.0], [1.2, 1.6, -3.0]], atol=1e-9)
    mirrored = image.similarity(points, points * (-1.0, 1.0))
    assert np.linalg.det(mirrored[:, :2]) > 0


def test_light_is_evened_and_a_face_in_the_dark_looks_as_in_the_light():
    """The middle becomes 0.47 of 230, whatever power and factor lie on the picture."""
    grey = drawn.face(3).mean(axis=2, keepdims=True).repeat(3, axis=2)
    shaded, dark = 255.0 * (grey / 255.0) ** 2, 50.0 * (grey / 255.0) ** 3
    assert np.median(dark) < 20.0
    lit, again = image.even_light(shaded), image.even_light(dark)
    assert np.median(lit) == pytest.approx(0.47 * 230, abs=2.0)
    assert np.median(again) == pytest.approx(0.47 * 230, abs=4.0)
    assert np.corrcoef(lit.ravel(), again.ravel())[0, 1] > 0.99
    assert np.isfinite(image.even_light(np.zeros((20, 20, 3), np.uint8))).all()


@pytest.mark.parametrize("brightest", [3.0, 40.0, 255.0])
def test_light_is_evened_as_the_formula_says(brightest):
    rng = np.random.default_rng(0)
    x = (brightest * rng.random((90, 70, 3)) ** 2).astype(np.float32)
    grey = x.mean(axis=2)
    white = np.percentile(grey, 99.5) + 1.0
    middle = np.median(grey) / white
    power = np.clip(np.log(0.47) / np.log(middle + 0.001), 0.2, 1.5)
    wanted = 230.0 * np.clip(x / white, 1 / 255, 1.0) ** power
    before = x.copy()
    np.testing.assert_allclose(image.even_light(x), wanted, atol=0.5)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(
        image._quantiles(grey, (0.1, 0.9)), np.quantile(grey, (0.1, 0.9)), atol=0.05
    )


def test_a_mirrored_picture_is_its_columns_backwards():
    picture = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
    np.testing.assert_array_equal(image.mirrored(picture), picture[:, ::-1])


def looked_at(at_first, closely=None, again=None, in_parts=()):
    """Networks that answer by rule; the embedding is the mean colour of the chip."""

    def embed(chips):
        means = chips.mean(axis=(1, 2)) - 100.0
        return np.pad(means, ((0, 0), (0, 125))).astype(np.float32)

    evened = rows_of(BACK, again) if again else rows_of(BACK)
    close = row_of_mesh(*(closely or (0.9, EDGES, CENTRED)))
    return {
        "find": lambda x: np.repeat(rows_of(FULL_RANGE, *at_first)[None], len(x), axis=0),
        "find_small": lambda x: np.repeat(rows_of(FULL_RANGE, *in_parts)[None], len(x), axis=0),
        "find_again": lambda x: np.repeat(evened[None], len(x), axis=0),
        "place": lambda x: np.repeat(close[None, None], len(x), axis=0),
        "embed": embed,
    }


def found_in(picture, networks):
    """Faces, and how many rows each network was given, where it was given any."""
    (found,), passes = fold(WORKLOAD, networks, [window(picture)])
    counts = {stage: len(of_window[0][0]) for stage, of_window in passes.items()}
    return found, {stage: rows for stage, rows in counts.items() if rows}


def test_a_certain_face_is_looked_at_closely_and_embedded_from_both_sides():
    picture = drawn.face(1, height=192, width=192)
    found, rows = found_in(picture, looked_at([(0.9, BOX, POINTS)]))
    assert rows == {"find": 1, "place": 1, "embed": 2}
    (face,) = found
    # a square of one and a half times the box's longer side, 67.5 pixels, around its middle
    np.testing.assert_allclose(face.box, (27.5, 30.0, 72.5, 75.0), atol=0.1)
    np.testing.assert_allclose(face.points[0], (41.21, 45.12), atol=0.1)
    assert face.vector.shape == (128,)
    assert face.score == pytest.approx(0.9, abs=1e-3)


def test_where_a_face_is_small_the_picture_is_looked_at_in_parts_too():
    small, points = (60.0, 60.0, 80.0, 80.0), [(65.0, 67.0), (75.0, 67.0), (70.0, 73.0)] * 2
    crowd = looked_at([(0.9, small, points[:4])], in_parts=[(0.9, BOX, POINTS)])
    found, rows = found_in(drawn.face(1, height=192, width=192), crowd)
    assert rows == {"find": 1, "find_small": 4, "place": 5, "embed": 10}
    # a part is 0.6 of each side: 115 pixels, in a square of 192
    scale, corners = 115 / 192, [(0, 0), (77, 0), (0, 77), (77, 77)]
    wanted = [(70.0, 70.0)] + [(50 * scale + x, 52.5 * scale + y) for x, y in corners]
    middles = [((a + c) / 2, (b + d) / 2) for a, b, c, d in (face.box for face in found)]
    np.testing.assert_allclose(sorted(middles), sorted(wanted), atol=0.6)


def test_a_face_found_in_a_part_that_was_found_before_is_not_looked_at_twice():
    small = (90.0, 90.0, 110.0, 110.0)
    # the middle of the picture lies at 160 of 192 in the first part
    again = (0.9, (150.0, 150.0, 184.0, 184.0), [(160.0, 160.0), (175.0, 160.0)] * 2)
    networks = looked_at([(0.9, small, [(95.0, 97.0), (105.0, 97.0)] * 2)], in_parts=[again])
    _, rows = found_in(drawn.face(1, height=192, width=192), networks)
    assert rows["place"] == 4  # itself, and what the other three parts have there


def test_a_large_picture_is_reduced_before_its_light_is_evened():
    large = np.zeros((3000, 4000, 3), np.uint8)
    assert image.reduced(large, longest=1024).shape == (768, 1024, 3)
    assert image.reduced(large[:10, :10], longest=1024).shape == (10, 10, 3)


def test_a_face_that_is_not_level_is_looked_at_level():
    """Its eyes lie along a diagonal: the square is turned, and what is found there turned back."""
    points = [(40.0, 40.0), (60.0, 60.0), (45.0, 60.0), (40.0, 65.0)]
    picture = drawn.face(1, height=192, width=192)
    (face,), _ = found_in(picture, looked_at([(0.9, BOX, points)]))
    x, y = face.points[1] - face.points[0]
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(45.0, abs=0.1)
    np.testing.assert_allclose(np.mean(face.box[::2]), 50.0, atol=1.0)


def test_what_is_no_face_looked_at_closely_is_none():
    closely = (0.15, EDGES, CENTRED)
    found, rows = found_in(drawn.face(1), looked_at([(0.9, BOX, POINTS)], closely))
    assert rows["place"] == 1
    assert found == ()
    elsewhere = (0.9, [(0.0, 20.0), (75.0, 20.0), (20.0, 0.0), (20.0, 95.0)], CENTRED)
    assert found_in(drawn.face(1), looked_at([(0.9, BOX, POINTS)], elsewhere))[0] == ()


def test_one_face_found_twice_counts_once():
    beside = tuple(x + 14 for x in BOX)
    moved = [(x + 14, y + 14) for x, y in POINTS]
    found, rows = found_in(drawn.face(1), looked_at([(0.9, BOX, POINTS), (0.8, beside, moved)]))
    assert rows["place"] == 2
    assert len(found) == 1


def test_a_face_within_a_larger_one_is_that_face_at_another_scale():
    inner = (50.0, 53.0, 66.0, 71.0)
    twice = [(0.9, BOX, POINTS), (0.8, inner, [(55.0, 58.0), (61.0, 58.0)] * 2)]
    found, rows = found_in(drawn.face(1, height=192, width=192), looked_at(twice))
    assert rows["find"] == 1
    (face,) = found
    assert face.box[2] - face.box[0] == pytest.approx(45.0, abs=0.1)


def test_where_nothing_is_certain_the_picture_is_evened_and_only_close_ups_count():
    points = [(108.0, 115.0), (148.0, 115.0), (128.0, 128.0), (128.0, 150.0)]
    large, small = (80.0, 80.0, 176.0, 176.0), (118.0, 118.0, 138.0, 138.0)
    # one more is the picture itself, which here is the same face
    found, rows = found_in(drawn.face(1), looked_at([], again=(0.4, large, points)))
    assert rows == {"find": 1, "find_again": 1, "place": 2, "embed": 2}
    assert len(found) == 1
    unsure = (0.3, EDGES, CENTRED)  # enough for a close-up, not for the picture
    found, _ = found_in(drawn.face(1), looked_at([], unsure, again=(0.4, large, points)))
    assert len(found) == 1
    found, rows = found_in(drawn.face(1), looked_at([], unsure, again=(0.4, small, points)))
    assert rows == {"find": 1, "find_again": 1, "place": 1}
    assert found == ()


def test_a_face_that_fills_the_picture_is_found_though_no_detector_sees_it():
    (face,), rows = found_in(drawn.face(1, height=200, width=300), looked_at([]))
    assert rows == {"find": 1, "find_again": 1, "place": 1, "embed": 2}
    # the box is 1.2 times the shorter side around the middle of the picture
    np.testing.assert_allclose(face.box, (30.0, -20.0, 270.0, 220.0), atol=1.0)


def test_nobody_in_the_picture():
    found, rows = found_in(np.zeros((48, 64, 3)), looked_at([], (0.01, EDGES, CENTRED)))
    assert found == ()
    assert rows == {"find": 1, "find_again": 1, "place": 1}


def enrolled(**people):
    """A profile in which people have one embedding each."""
    consent = Consent(by="herself", why="door", since=dt.date(2026, 1, 1), until=None)
    everybody = gallery.begin("0" * 12, same=0.9)
    for number, (name, vector) in enumerate(people.items()):
        picture = Picture(embedding=gallery.to_text(np.asarray(vector, np.float32)), quality=1.0)
        person = Person(id=f"{number:032x}", name=name, consent=consent, pictures=(picture,))
        everybody = gallery.changed(everybody, person)
    arrays = gallery.to_arrays(everybody, today=dt.date(2026, 2, 1), threshold=0.9)
    return Profile(POINT, arrays, "0" * 12, 0)


def test_the_enrolled_are_recognised_and_strangers_are_told():
    """Two people stand before the camera for a while; each is told once."""
    ada, nobody = np.eye(128, dtype=np.float32)[:2]
    places = [(30.0, 30.0, 130.0, 130.0), (300.0, 30.0, 400.0, 130.0)]
    found = tuple(
        Detection("face", 0.9, vector=vector, box=box, points=_frontal(box))
        for vector, box in zip((ada, nobody), places, strict=True)
    )
    profile = enrolled(Ada=ada)
    follower, policy = WORKLOAD.follow(profile), WORKLOAD.policy(POINT)
    told = []
    for picture in range(20):
        t_ns = picture * 500_000_000
        judged = follower.update(WORKLOAD.judge(found, profile), t_ns)
        told += policy.update(judged, t_ns)
    assert sorted((alert.label, alert.who) for alert in told) == [
        ("recognised", "Ada"),
        ("stranger", None),
    ]
    assert {label for label, _ in ((a.label, a.who) for a in told)} <= set(WORKLOAD.labels)


def _frontal(box):
    """Eyes, nose and mouth of a face from the front."""
    left, top, right, bottom = box
    places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.5, 0.8)])
    return (places * (right - left, bottom - top) + (left, top)).astype(np.float32)


def test_a_drawn_face_is_the_same_for_the_same_seed():
    np.testing.assert_array_equal(drawn.face(1), drawn.face(1))
    assert not np.array_equal(drawn.face(1), drawn.face(2))
    assert drawn.face(1).dtype == np.uint8
