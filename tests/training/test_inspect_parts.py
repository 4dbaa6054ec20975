"""Pictures of parts in three layouts, and what goes wrong with them."""

import cv2
import numpy as np
import pytest

from training import datasets, parts
from training.datasets import DataError, inspect_parts


def picture(file, *, size=(40, 60), value=90):
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full(size, value, np.uint8))


def table(folder, rows, *, head="file,label,mask,item"):
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        picture(folder / row.split(",")[0])
    (folder / "labels.csv").write_text("\n".join([head, *rows]) + "\n")


def test_a_table_groups_pictures_by_item(tmp_path):
    rows = ["images/a.png,good,,k1", "images/b.png,defect,masks/b.png,k1", "images/c.png,OK,,k2"]
    table(tmp_path, [*rows, "images/d.png,doubtful,,k2", "images/e.png,scratch,,k3"])
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 5:9] = 255
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/b.png"), mask)
    found = datasets.open_folder(tmp_path)
    items = parts.items(found.recordings)
    assert [one.name for one in items] == ["k1", "k2", "k3"]
    assert parts.labels(items).tolist() == ["good", "defect", "good", "doubtful", "defect"]
    assert items[2].shown[0].kind == "scratch"
    np.testing.assert_array_equal(items[0].mask(1), mask > 0)
    assert items[0].mask(0) is None
    assert items[0].window(1).data.shape == (40, 60, 3)


def test_the_layout_of_the_mvtec_sets(tmp_path):
    for name in ("train/good/0", "train/good/1", "test/good/0", "test/crack/0", "test/crack/1"):
        picture(tmp_path / f"{name}.png")
    picture(tmp_path / "ground_truth/crack/0_mask.png", value=255)
    items = parts.items(datasets.open_folder(tmp_path).recordings)
    assert len(items) == 5
    shown = {one.name: one.shown[0] for one in items}
    assert shown["train/good/1.png"].label == "good"
    assert (shown["test/crack/1.png"].label, shown["test/crack/1.png"].kind) == ("defect", "crack")
    assert shown["test/crack/1.png"].mask is None
    assert shown["test/crack/0.png"].mask == tmp_path / "ground_truth/crack/0_mask.png"


def test_a_folder_of_good_parts_beside_kinds_of_defects(tmp_path):
    for name in ("good/0", "good/1", "dent/0"):
        picture(tmp_path / f"{name}.jpg")
    items = parts.items(datasets.open_folder(tmp_path).recordings)
    assert parts.labels(items).tolist() == ["defect", "good", "good"]


def test_good_parts_alone_are_enough(tmp_path):
    for i in range(3):
        picture(tmp_path / f"good/{i}.png")
    assert len(datasets.open_folder(tmp_path).recordings) == 3


def test_what_is_wrong_is_told(tmp_path):
    table(tmp_path / "no_good", ["a.png,defect,,k1"])
    with pytest.raises(DataError, match="no good part; fix: "):
        inspect_parts.open_folder(tmp_path / "no_good")
    table(tmp_path / "size", ["a.png,good,,k1", "b.png,defect,m.png,k2"])
    picture(tmp_path / "size/m.png", size=(10, 10), value=255)
    items = parts.items(inspect_parts.open_folder(tmp_path / "size").recordings)
    with pytest.raises(DataError, match=r"m.png: a mask of \(10, 10\) .* fix: "):
        items[1].mask(0)
    table(tmp_path / "gone", ["a.png,good,,k1"])
    (tmp_path / "gone/a.png").unlink()
    with pytest.raises(DataError, match=r"a.png: No such file"):
        inspect_parts.open_folder(tmp_path / "gone")


def test_folders_of_people_are_not_parts(tmp_path):
    for name in ("anna/0", "anna/1", "ben/0", "ben/1"):
        picture(tmp_path / f"{name}.png")
    assert not inspect_parts.is_here(tmp_path)
    picture(tmp_path / "good/0.png")
    assert inspect_parts.is_here(tmp_path)
    assert datasets.open_folder(tmp_path).recordings[0].name.startswith("anna")
