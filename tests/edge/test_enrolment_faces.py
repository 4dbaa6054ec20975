"""Real people, the shipped bundle: enrolled, told apart, forgotten."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import shutil
from pathlib import Path

import cv2
import pytest

from contract import gallery
from edge import enrolment, gallery_file
from edge.bundle import Bundle
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "faces"


@pytest.fixture
def people(tmp_path, monkeypatch):
    """Folders of four pictures each of three people, and whose they are."""
    data = Path(os.environ.get("VEDETTE_DATA", "data"), "faces_caltech_in_out")
    if not data.is_dir():
        pytest.skip(f"{data}: no such folder; set VEDETTE_DATA")
    with (data / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["place"] == "indoor"]
    of = [row["subject"] for row in rows]
    subjects = [subject for subject in dict.fromkeys(of) if of.count(subject) >= 4][:3]
    for subject in subjects:
        (tmp_path / subject).mkdir()
        for row in [row for row in rows if row["subject"] == subject][:4]:
            shutil.copy(data / row["file"], tmp_path / subject)
    monkeypatch.chdir(tmp_path)
    return subjects


def enrol(*arguments):
    return enrolment.main("enrol", [*arguments, "--bundle", str(SHIPPED), "--json"])


def told(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_people_are_enrolled_told_apart_and_forgotten(people, capsys):
    """From three pictures each; the fourth is recognised, until its person is forgotten."""
    one, two, three = people
    for name in (one, two):
        fourth = sorted(Path(name).iterdir())[3]
        fourth.rename(f"{name}.jpg")
        assert enrol(name, "--images", name) == 0
        assert sum(picture["is_taken"] for picture in told(capsys)["pictures"]) == 3
    shutil.copytree(one, "mixed")
    shutil.copy(next(Path(three).iterdir()), "mixed")
    assert enrol("mixed", "--images", "mixed") == 1
    said = told(capsys)
    assert [picture["is_taken"] for picture in said["pictures"]].count(False) == 1
    assert said["told"][0].startswith(f"one person under two names: mixed looks like {one}")
    path = Path("faces.gallery")
    assert recognised(path, [Path(f"{name}.jpg") for name in people[:2]]) == [one, two]
    assert enrolment.main("forget", [one]) == 0
    assert recognised(path, [Path(f"{name}.jpg") for name in people[:2]]) == [None, two]


def recognised(path, files):
    """Whom the bundle's own stages and the gallery name, with its own threshold."""
    bundle = Bundle.open(SHIPPED)
    point = bundle.manifest.operating_point
    memory = ProfileMemory(bundle.workload, bundle.model_id, point, learn_windows=0)
    pipeline = Pipeline(bundle.workload, bundle.engines, memory)
    arrays = gallery.to_arrays(
        gallery_file.read(path, None), today=dt.date(2026, 1, 1), threshold=point.threshold
    )
    names = []
    for file in files:
        taken = enrolment.Taken(file.name, cv2.imread(str(file))[:, :, ::-1].copy())
        (face,) = pipeline(taken.window)
        names.append(gallery.match(arrays, face.vector).name)
    return names
