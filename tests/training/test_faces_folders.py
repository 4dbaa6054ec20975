import pytest
from face_bench import BLACK, BLUE, GREEN, RED, REDDISH, FaceBench, save

from training import datasets
from training.datasets import DataError, faces_folders


@pytest.fixture
def folder(tmp_path):
    """Red has three pictures, one of them further below; green one; and what is nobody's."""
    root = tmp_path / "people"
    save(root / "red" / "1.png", RED)
    save(root / "red" / "2.PNG", REDDISH)
    save(root / "red" / "more" / "3.png", BLACK)
    save(root / "green" / "1.png", GREEN)
    (root / "empty").mkdir()
    (root / "red" / "notes.txt").write_text("not a picture")
    save(root / ".hidden" / "1.png", BLUE)
    return root


def test_a_folder_is_a_person(folder):
    found = datasets.open_folder(folder)
    assert found.name == "faces_folders"
    assert [(one.name, len(one)) for one in found.recordings] == [("green", 1), ("red", 3)]
    assert not found.shareable
    assert found.recordings[1].window(1).data[0, 0].tolist() == list(REDDISH)


def test_every_two_pictures_are_compared(folder):
    found = datasets.open_folder(folder).measure(FaceBench(threshold=0.8)).metrics
    assert (found["persons"], found["faces"], found["found"]) == (2, 4, 3)
    assert found["genuine_pairs"] == 3
    assert found["impostor_pairs"] == 3


def test_a_folder_with_a_table_is_another_data_set(folder):
    assert faces_folders.is_here(folder)
    (folder / "labels.csv").write_text("file,subject\n")
    assert not faces_folders.is_here(folder)
    assert not faces_folders.is_here(folder / "red")  # of one folder with pictures


def test_one_person_is_nobody_to_compare_with(folder, tmp_path):
    (folder / "green" / "1.png").unlink()
    folder = folder.rename(tmp_path / "faces_folders")
    with pytest.raises(DataError, match="needs two persons, and two pictures of one; fix:"):
        datasets.open_folder(folder)


def test_more_pictures_than_can_be_compared_are_refused(folder, monkeypatch):
    monkeypatch.setattr(faces_folders, "_MOST", 3)
    with pytest.raises(DataError, match="4 pictures, more than 3; fix:"):
        datasets.open_folder(folder).measure(FaceBench())
