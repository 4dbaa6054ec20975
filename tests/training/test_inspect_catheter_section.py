"""The reader and protocol of catheter sections, on drawn ones and on the set where it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from section_pictures import LUMENS, disc, section, seen, turned

from export import evaluate
from training import datasets
from training.datasets import DataError
from training.datasets import inspect_catheter_section as sections


class Bench:
    """All that a protocol without a bundle asks of one."""

    def each(self, things, _named):
        return things


def save(folder, name, picture):
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(file)


@pytest.fixture
def folder(tmp_path):
    """One section photographed twice, one once with another name, one out of focus."""
    shown = {
        "a": (section(), 2, "1_S7_11.BMP"),
        "b": (turned(section(), 40.0), 2, "1_s7_22.BMP"),
        "c": (section(lumens=LUMENS[:1]), 1, "2_F_10.png"),
        "d": (seen(section(), blur=4.0), 2, "2_F_11.png"),
    }
    lines = ["file,crop,product,lumens,source_name"]
    for name, (picture, lumens, source) in shown.items():
        save(tmp_path, f"crops/{name}.png", picture)
        half = np.asarray(Image.fromarray(picture).resize((200, 190), Image.Resampling.BOX))
        save(tmp_path, f"images/{name}.png", half)
        lines.append(f"images/{name}.png,crops/{name}.png,p,{lumens},{source}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def measured(folder):
    return datasets.open_folder(folder).measure(Bench())


def test_a_folder_is_known_by_its_table_and_needs_no_bundle(folder):
    dataset = datasets.open_folder(folder)
    assert dataset.name == "inspect_catheter_section"
    assert not dataset.needs_bundle
    assert not dataset.shareable


def test_lumens_are_counted_also_where_sizes_are_refused(folder):
    found = measured(folder)
    assert found.metrics["files"] == found.metrics["lumens_right"] == 4
    assert found.metrics["frames_lumens_right"] == 4
    assert found.metrics["refused"] == 1
    refused = found.rows[3]
    assert refused["decided"] == "refused"
    assert "out of focus" in refused["reason"]
    assert refused["outer_diameter_px"] is None
    assert found.rows[0]["outer_diameter_px"] == pytest.approx(300.6, abs=0.1)


def test_a_section_photographed_again_is_known_by_its_name(folder):
    found = measured(folder)
    assert [row["section"] for row in found.rows] == ["1_S7", "1_S7", "c", "d"]
    assert found.metrics["repeated"] == 1
    of_pair = [row["outer_diameter_px"] for row in found.rows[:2]]
    assert found.metrics["repeatability_px"] == pytest.approx(np.std(of_pair, ddof=1))


def test_without_repeats_nothing_is_said_of_them(folder):
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("_s7_22", "_s8_22"))
    assert "repeatability_px" not in measured(folder).metrics


def test_the_deviation_within_groups_is_pooled():
    """Squares 2 and 8 around the means of two pairs and none of a triple: 10 over 4."""
    assert sections.pooled([[1.0, 3.0], [10.0, 14.0], [5.0, 5.0, 5.0]]) == pytest.approx(2.5**0.5)


def test_a_wrong_count_is_counted(folder):
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("p,1,2_F_10", "p,3,2_F_10"))
    found = measured(folder)
    assert found.metrics["lumens_right"] == found.metrics["frames_lumens_right"] == 3
    assert not found.rows[2]["lumens_right"]


def test_what_is_no_section_has_no_lumens():
    assert sections.lumens(np.zeros((100, 100, 3), np.uint8)) is None
    assert sections.lumens(section(disc(200, 180, 100), [])) == 0


def test_a_table_without_a_number_is_refused(folder):
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace("p,1,2_F_10", "p,one,2_F_10"))
    with pytest.raises(DataError, match=r"lumens: 'one' of images/c\.png; fix: a number"):
        datasets.open_folder(folder)


def test_crops_may_be_missing(folder):
    """Then the frames themselves are measured."""
    (folder / "labels.csv").write_text("file,lumens\nimages/a.png,2\n")
    found = measured(folder)
    assert found.rows[0]["outer_diameter_px"] == pytest.approx(150.3, abs=0.1)


@pytest.fixture(scope="module")
def real():
    folder = Path(os.environ.get("VEDETTE_DATA", "data"), sections.NAME)
    if not folder.is_dir():
        pytest.skip(f"{folder}: no such folder; set VEDETTE_DATA")
    return folder


@pytest.mark.slow
def test_on_real_catheters_the_bars_are_reached(real, capsys):
    """Through the command, without a bundle."""
    assert evaluate.main("evaluate", ["inspection", "--data", str(real), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["metrics"]
    assert said["files"] == said["lumens_right"] == said["frames_lumens_right"] > 0
    assert said["refused"] == 0
    assert said["repeatability_px"] <= 0.2
    assert said["blurred_refused_at_2"] == said["blurred_refused_at_3"] == 1.0
    assert said["over_exposed_refused_at_1.6"] == 1.0
