"""`python -m training.datasets.synthetic.catheters`: what it writes, and what it leaves alone."""

from __future__ import annotations

import csv
import json

import cv2
import pytest

from training.datasets.synthetic import catheters, catheters_folder
from training.datasets.synthetic.catheters_folder import COLUMNS
from training.datasets.synthetic.catheters_picture import Setup, draw

FEW = ["--parts", "8", "--seed", "5", "--defect-share", "0.5", "--views", "2", "--size", "192"]


def rows(folder):
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def held(folder):
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_has_a_row_and_a_file_for_every_picture(tmp_path, capsys):
    folder = tmp_path / "parts"
    assert catheters.main([str(folder), *FEW, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = rows(folder)
    assert tuple(found[0]) == COLUMNS
    assert len(found) == said["pictures"] == 16
    assert said["parts"] == len({row["item"] for row in found}) == 8
    assert (
        said["defects"]
        == sum(said["by_defect"].values())
        == sum(row["label"] == "defect" for row in found)
    )
    assert 0 < said["defects"] < 16
    for number, row in enumerate(found):
        picture = cv2.imread(str(folder / row["file"]), cv2.IMREAD_UNCHANGED)
        drawn, mask, facts = draw(Setup(5, 192, 2, defect_share=0.5), number)
        assert (picture == drawn).all()
        assert (int(row["height"]), int(row["width"])) == picture.shape
        assert row["defect_type"] == facts.defect_type
        assert (row["label"] == "defect") == bool(row["mask"]) == (mask is not None)
        if mask is not None:
            read = cv2.imread(str(folder / row["mask"]), cv2.IMREAD_UNCHANGED)
            assert (read == mask).all()
    assert {file.parent.name for file in folder.rglob("*.part")} == set()


def test_what_was_interrupted_goes_on(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert catheters.main([str(whole), *FEW]) == 0
    plan = catheters._plan(catheters._parser().parse_args([str(broken), *FEW]))
    for done in catheters_folder.write(plan, broken):
        if done == 7:
            break
    with (broken / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("images/00007.png,go")  # the power failed here
    assert catheters.main([str(broken), *FEW]) == 0
    assert held(broken) == held(whole)
    before = held(whole)
    assert catheters.main([str(whole), *FEW]) == 0  # nothing is left to do
    assert held(whole) == before


@pytest.mark.parametrize("other", [["--seed", "6"], ["--parts", "9"], ["--jpeg"]])
def test_a_folder_of_another_command_is_left_alone(tmp_path, capsys, other):
    folder = tmp_path / "parts"
    assert catheters.main([str(folder), *FEW, "--parts", "1"]) == 0
    before = held(folder)
    assert catheters.main([str(folder), *FEW, "--parts", "1", *other]) == 1
    assert str(folder) in capsys.readouterr().err
    assert held(folder) == before


def test_a_folder_in_use_is_left_alone(tmp_path, capsys):
    (tmp_path / "holiday.jpg").write_bytes(b"a beach")
    assert catheters.main([str(tmp_path), *FEW]) == 1
    assert "is in use" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--parts", "0"], "--parts 0"),
        (["--size", "64"], "--size 64"),
        (["--defect-share", "2"], "--defect-share 2.0"),
        (["--kinds", "tube,stent"], "--kinds stent"),
        (["--defects", "rust"], "--defects rust"),
        (["--lamp-fades-to", "0"], "--lamp-fades-to 0.0"),
        (["--part-shifts-to", "100"], "--part-shifts-to 100"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, capsys, asked, said):
    assert catheters.main([str(tmp_path / "new"), *asked]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_jpeg_good_only_of_one_kind_with_a_fading_lamp(tmp_path):
    folder = tmp_path / "good"
    asked = ["--parts", "4", "--good-only", "--kinds", "tube", "--jpeg", "--lamp-fades-to", "0.5"]
    assert catheters.main([str(folder), *asked]) == 0
    found = rows(folder)
    assert {row["label"] for row in found} == {"good"}
    assert {row["part"] for row in found} == {"tube"}
    assert list((folder / "masks").iterdir()) == []
    first, last = (
        cv2.imread(str(folder / found[k]["file"]), cv2.IMREAD_UNCHANGED).mean() for k in (0, 3)
    )
    assert found[0]["file"] == "images/00000.jpg"
    assert last == pytest.approx(0.5 * first, rel=0.15)


def test_sheet_shows_three_good_parts_and_each_defect_asked_for(tmp_path, capsys):
    file = tmp_path / "sheet.png"
    assert catheters.main(["--sheet", str(file), "--defects", "bubble,kink"]) == 0
    sheet = cv2.imread(str(file))
    assert sheet.shape == (2 * (256 + 22 + 4), 4 * (256 + 8), 3)
    assert catheters.main(["--sheet", str(tmp_path / "sheet.bmp"), "--defects", "bubble"]) == 1
    assert "must end in .png" in capsys.readouterr().err
    assert catheters.main([]) == 1
    assert "--sheet" in capsys.readouterr().err
