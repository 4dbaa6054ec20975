"""The readers on the data sets themselves, where they are: who, how many, in which role."""

import os
from collections import Counter
from pathlib import Path

import pytest

from training import datasets
from training.datasets import faces_caltech_in_out, faces_london_groups, faces_orl
from training.face_search import every_third
from training.people import in_folder

SETS = {  # persons (of detect_small: pictures), pictures
    "faces_caltech_in_out": (18, 293),
    "faces_detect_small": (7, 7),
    "faces_london_groups": (67, 134),
    "faces_orl": (26, 260),
    "faces_wild_web": (12, 143),
    "faces_yaleb_light": (17, 1076),
}


def folder_of(name):
    real = Path(os.environ.get("VEDETTE_DATA", "data"), name)
    if not real.is_dir():
        pytest.skip(f"{real}: no such folder; set VEDETTE_DATA")
    return real


@pytest.mark.parametrize("name", SETS)
def test_persons_and_pictures(name):
    dataset = datasets.open_folder(folder_of(name))
    assert (len(dataset.recordings), sum(map(len, dataset.recordings))) == SETS[name]
    assert not dataset.shareable
    for one in (dataset.recordings[0], dataset.recordings[-1]):
        picture = one.window(len(one) - 1).data
        assert picture.ndim == 3
        assert min(picture.shape[:2]) >= 50


@pytest.mark.parametrize("name", SETS)
def test_only_one_reader_takes_the_files(name, tmp_path):
    (tmp_path / "kept_aside").symlink_to(folder_of(name), target_is_directory=True)
    folder = folder_of(name)
    fitting = [
        one for one in datasets.names() if datasets._module(one).is_here(tmp_path / "kept_aside")
    ]
    assert fitting == [folder.name]


def test_places_of_caltech():
    everybody = in_folder(
        folder_of("faces_caltech_in_out"), "faces_caltech_in_out", faces_caltech_in_out.COLUMNS
    )
    places = Counter(label["place"] for one in everybody for label in one.labels)
    assert places == {"indoor": 258, "outdoor": 28, "unclear": 7}
    assert every_third(everybody) == ["c03", "c08", "c13", "c17", "c21", "c25"]


def test_roles_of_orl():
    everybody = in_folder(folder_of("faces_orl"), "faces_orl", faces_orl.COLUMNS)
    roles = Counter(label["role_open"] for one in everybody for label in one.labels)
    assert roles == {"enrol": 90, "probe_known": 90, "probe_unknown": 80}
    closed = Counter(label["role_closed"] for one in everybody for label in one.labels)
    assert closed == {"enrol": 130, "probe": 130}


def test_pairs_of_london():
    folder = folder_of("faces_london_groups")
    everybody = in_folder(folder, "faces_london_groups", faces_london_groups.COLUMNS)
    pairs = faces_london_groups._pairs(folder / "pairs.csv", everybody)
    assert pairs.shape == (4489, 2)
    assert sum(a // 2 == b // 2 for a, b in pairs) == 67
