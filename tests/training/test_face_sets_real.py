"""The readers on the data sets themselves, where they are: as many as their READMEs say."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from training import datasets
from training.datasets import faces_london_groups
from training.people import in_folder

OF_PEOPLE = (
    "faces_caltech_in_out",
    "faces_london_groups",
    "faces_orl",
    "faces_wild_web",
    "faces_yaleb_light",
)


@pytest.fixture(params=["faces_detect_small", *OF_PEOPLE])
def folder(request):
    real = Path(os.environ.get("VEDETTE_DATA", "data"), request.param)
    if not real.is_dir():
        pytest.skip(f"{real}: no such folder; set VEDETTE_DATA")
    return real


def said(folder):
    """Pictures, persons, a label and how many of each: `Here: 9 pictures, 2 persons; by a: ...`."""
    found = re.search(
        r"Here: (\d+) pictures, (\d+) \w+(?:[^;.\n]*; by (\w+):? ([^\n]*))?",
        (folder / "README.md").read_text(),
    )
    if found is None:
        pytest.skip(f"{folder}/README.md: does not say how many there are")
    pictures, persons, column, values = found.groups()
    by_label = dict(re.findall(r"([\w/]+) (\d+)(?=[,.]|$)", values or ""))
    return int(pictures), int(persons), column, {k: int(n) for k, n in by_label.items()}


def test_persons_and_pictures(folder):
    dataset = datasets.open_folder(folder)
    pictures, persons, *_ = said(folder)
    assert sum(map(len, dataset.recordings)) == pictures
    assert len(dataset.recordings) == (persons if folder.name in OF_PEOPLE else pictures)
    for one in (dataset.recordings[0], dataset.recordings[-1]):
        picture = one.window(len(one) - 1).data
        assert picture.ndim == 3
        assert min(picture.shape[:2]) >= 50


@pytest.mark.parametrize("folder", OF_PEOPLE, indirect=True)
def test_pictures_by_their_label(folder):
    *_, column, counts = said(folder)
    everybody = in_folder(folder, folder.name, ())
    assert Counter(label[column] for one in everybody for label in one.labels) == counts


def test_only_one_reader_takes_the_files(folder, tmp_path):
    (tmp_path / "aside").symlink_to(folder.resolve(), target_is_directory=True)
    fitting = [
        name for name in datasets.names() if datasets._module(name).is_here(tmp_path / "aside")
    ]
    assert fitting == [folder.name]


@pytest.mark.parametrize("folder", ["faces_london_groups"], indirect=True)
def test_every_neutral_picture_of_london_meets_every_smile(folder):
    everybody = in_folder(folder, folder.name, faces_london_groups.COLUMNS)
    pairs = faces_london_groups._pairs(folder / "pairs.csv", everybody)
    assert len(pairs) == len({tuple(pair) for pair in pairs}) == len(everybody) ** 2
    expressions = [label["expression"] for one in everybody for label in one.labels]
    assert {(expressions[a], expressions[b]) for a, b in pairs} == {("neutral", "smiling")}
