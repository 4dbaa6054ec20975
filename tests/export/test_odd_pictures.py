"""Pictures as people have them: odd formats, turned, damaged, tiny, huge, of nobody, of a crowd."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from contract.fold import fold
from contract.ops import drawn
from contract.spec import Window
from edge import enrolment, gallery_pictures
from edge.bundle import Bundle
from edge.errors import ConfigError
from edge.gates import Limits, open_gate
from edge.pipeline import run_rows
from export.evaluate import main as evaluate
from training import pictures
from training.datasets import DataError

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "faces"
FACE = drawn.face(5, height=480, width=640)
ORIENTATION = 0x112


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open(SHIPPED, "tflite")


def faces_in(bundle, picture):
    models = {stage: partial(run_rows, engine) for stage, engine in bundle.engines.items()}
    (found,), _ = fold(bundle.workload, models, [Window("camera", 0, 0, 0, picture, 0.0)])
    return tuple(one for one in found if one.label == "face")


def unit(face):
    return face.vector / np.linalg.norm(face.vector)


def exif(turn: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION] = turn
    return made


def turned_back(quarters: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(np.rot90(FACE, quarters)))


def with_alpha() -> Image.Image:
    alpha = np.full(FACE.shape[:2], 255, np.uint8)
    alpha[:9] = 0
    return Image.fromarray(np.dstack([FACE, alpha]))


PLAIN = Image.fromarray(FACE)
OTHER = Image.fromarray(FACE[::-1].copy())
SAVED = {
    "plain.jpg": lambda file: PLAIN.save(file, quality=95),
    "progressive.jpg": lambda file: PLAIN.save(file, quality=95, progressive=True),
    "grey.jpg": lambda file: PLAIN.convert("L").save(file, quality=95),
    "cmyk.jpg": lambda file: PLAIN.convert("CMYK").save(file, quality=95),
    "exif3.jpg": lambda file: turned_back(2).save(file, quality=95, exif=exif(3)),
    "exif6.jpg": lambda file: turned_back(1).save(file, quality=95, exif=exif(6)),
    "exif8.jpg": lambda file: turned_back(3).save(file, quality=95, exif=exif(8)),
    "deep.png": lambda file: cv2.imwrite(str(file), FACE[:, :, ::-1].astype(np.uint16) * 257),
    "deep-grey.png": lambda file: cv2.imwrite(str(file), FACE.mean(axis=2).astype(np.uint16) * 257),
    "alpha.png": lambda file: with_alpha().save(file),
    "palette.png": lambda file: PLAIN.convert("P").save(file),
    "moving.png": lambda file: PLAIN.save(file, save_all=True, append_images=[OTHER]),
    "moving.webp": lambda file: PLAIN.save(
        file, save_all=True, append_images=[OTHER], lossless=True
    ),
    "pages.tif": lambda file: PLAIN.save(file, save_all=True, append_images=[OTHER]),
    "jpeg-inside.png": lambda file: PLAIN.save(file, format="JPEG", quality=95),
}


@pytest.mark.parametrize("name", SAVED)
def test_however_it_was_saved_the_same_face_is_found(bundle, tmp_path, name):
    """By the reader of `vedette enrol` and by that of `vedette evaluate`; upright, the first one.

    Grey and few colours cost some likeness; so a drawn face is not held to the limit of real ones.
    """
    SAVED[name](tmp_path / name)
    (face,) = faces_in(bundle, FACE)
    (taken,) = gallery_pictures.in_folder(tmp_path)
    for picture in (taken.data, pictures.read(tmp_path / name)):
        assert (picture.dtype, picture.shape) == (np.uint8, FACE.shape)
        (found,) = faces_in(bundle, picture)
        assert np.abs(np.subtract(found.box, face.box)).max() < 8
        assert unit(found) @ unit(face) > 0.95


DAMAGED = {
    "half.jpg": lambda raw: raw[: len(raw) // 2],
    "head.jpg": lambda raw: raw[:200],
    "empty.jpg": lambda _raw: b"",
    "text.jpg": lambda _raw: b"<html>404</html>",
    # width and height of 60,000 pixels in the header of a picture that is tiny on the disk
    "vast.png": lambda _raw: (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0" + bytes(64)
    ),
}


@pytest.fixture(params=DAMAGED)
def damaged(request, tmp_path):
    """A file in a folder of its own."""
    saved = tmp_path / "saved.jpg"
    PLAIN.save(saved)
    (tmp_path / "images").mkdir()
    file = tmp_path / "images" / request.param
    file.write_bytes(DAMAGED[request.param](saved.read_bytes()))
    return file


def test_what_is_no_picture_is_told_in_one_line_by_enrol(damaged, tmp_path, capsys, monkeypatch):
    """And nobody is enrolled."""
    monkeypatch.chdir(tmp_path)
    assert enrolment.main("enrol", ["A", "--images", "images", "--bundle", str(SHIPPED)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"NO   {damaged.name}: no picture can be read from it; save it as JPEG or PNG",
        "FAIL no picture is good enough; nobody was enrolled",
    ]
    assert not (tmp_path / "faces.gallery").exists()


def test_what_is_no_picture_is_told_in_one_line_by_evaluate(damaged, tmp_path, capsys):
    """With the file."""
    name = f"images/{damaged.name}"
    (tmp_path / "labels.csv").write_text(f"file\n{name}\n")
    (tmp_path / "boxes.csv").write_text(f"file,left,top,width,height\n{name},1,1,9,9\n")
    with pytest.raises(DataError, match=f"{damaged.name}: no picture: .*; fix: copy this file"):
        pictures.read(damaged)
    if damaged.name == "half.jpg":  # once is enough: it loads the whole role
        assert evaluate("evaluate", ["faces", "--data", str(tmp_path)]) == 1
        (line,) = [one for one in capsys.readouterr().err.splitlines() if "evaluate:" in one]
        assert f"{damaged.name}: no picture" in line


@pytest.mark.parametrize("size", [(1, 1), (4, 3), (4, 400), (400, 4), (16, 16)])
def test_a_picture_too_small_for_any_face_has_none(bundle, tmp_path, size):
    """The gate of the device says why; a file has nobody in it."""
    PLAIN.resize(size).save(tmp_path / "small.png")
    (taken,) = gallery_pictures.in_folder(tmp_path)
    assert taken.data.shape[1::-1] == size
    gate = open_gate(bundle.workload.input, Limits())
    refused = gate.refuse(taken.window)
    assert refused == (None if min(size) >= 16 else "too_small")
    see = enrolment.open_bundle(SHIPPED, "tflite").see
    assert see(taken.window) == ()


# ru_maxrss would begin with what pytest had when it forked
MEASURED = """
import pathlib, re, sys
from edge import enrolment
code = enrolment.main("enrol", sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text()
print(code, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) >> 10)
"""


@pytest.mark.slow
def test_forty_megapixels_are_looked_at_in_bounded_memory(tmp_path):
    """Half a gigabyte, of which 120 MB are its pixels and 150 MB the bundle."""
    PLAIN.resize((7680, 5208)).save(tmp_path / "large.jpg", quality=90)
    arguments = ["A", "--images", "large.jpg", "--bundle", str(SHIPPED)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SHIPPED.parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    code, megabytes = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stdout
    assert int(megabytes) < 500


def test_two_hundred_files_are_a_person_and_more_are_not_looked_at(tmp_path):
    """Told at once, by their number."""
    (tmp_path / "one.png").write_bytes(b"")
    for i in range(5000):
        (tmp_path / f"{i}.jpg").symlink_to("one.png")
    with pytest.raises(ConfigError, match="5001 pictures; fix: a folder with 1 to 5 pictures"):
        next(gallery_pictures.in_folder(tmp_path))


# -- real people -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people():
    """Every seventh picture of a set."""
    folder = Path(os.environ.get("VEDETTE_DATA", "data"), "faces_caltech_in_out")
    if not folder.is_dir():
        pytest.skip(f"{folder}: no such folder; set VEDETTE_DATA")
    return [pictures.read(file) for file in sorted(folder.rglob("*.jpg"))[::7]]


def crowd(bundle, people, *, columns: int, rows: int) -> np.ndarray:
    """One face in each field of 320 pixels, on grey."""
    scene = np.full((320 * rows, 320 * columns, 3), 110, np.uint8)
    for i, picture in enumerate(people[: columns * rows]):
        (face,) = faces_in(bundle, picture)
        left, top, right, bottom = face.box
        across, down = 0.5 * (right - left), 0.5 * (bottom - top)
        head = picture[
            int(max(top - down, 0)) : int(bottom + down),
            int(max(left - across, 0)) : int(right + across),
        ]
        scale = 304 / max(head.shape[:2])
        head = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        y, x = 8 + 320 * (i // columns), 8 + 320 * (i % columns)
        scene[y : y + head.shape[0], x : x + head.shape[1]] = head
    return scene


def test_everybody_in_a_crowd_is_found_once(bundle, people):
    """Twelve people in a picture; who enrols from it is told how many there are."""
    scene = crowd(bundle, people, columns=4, rows=3)
    boxes = [face.box for face in faces_in(bundle, scene)]
    fields = {(int(box[0] + box[2]) // 640, int(box[1] + box[3]) // 640) for box in boxes}
    assert len(boxes) == len(fields) == 12
    see = enrolment.open_bundle(SHIPPED, "tflite").see
    (shown,) = enrolment.show([gallery_pictures.Taken("crowd", scene)], see)
    assert shown.look.refused == ("12 faces in it; cut out the one that is meant",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quarters", "says"),
    [(0, None), (1, "a quarter to the right"), (2, "by half"), (3, "a quarter to the left")],
)
def test_a_face_on_its_side_or_head_is_told_with_the_turn_that_helps(
    bundle, people, quarters, says
):
    """Detectors find it as if it stood, and so its points do not tell."""
    see = enrolment.open_bundle(SHIPPED, "tflite").see
    taken = [
        gallery_pictures.Taken(str(i), np.ascontiguousarray(np.rot90(picture, quarters)))
        for i, picture in enumerate(people[:12])
    ]
    shown = list(enrolment.show(taken, see))
    if says is None:
        assert all(one.is_taken for one in shown)
    else:
        told = [" ".join((*one.look.refused, *one.look.advice)) for one in shown]
        assert sum(says in one for one in told) >= 11
        assert sum(not one.is_taken for one in shown) >= 10
