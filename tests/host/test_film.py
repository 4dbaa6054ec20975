"""Pictures become a video in which people come and go."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.sources import open_source, pictures
from host import film
from host.film import Scene
from host.phases import DemoError


def put(path: Path, colour: tuple[int, int, int], *, height: int = 330, width: int = 280) -> Path:
    """A picture of one colour with a darker spot in its middle."""
    rgb = np.full((height, width, 3), colour, np.uint8)
    cv2.circle(rgb, (width // 2, height // 2), 40, (20, 20, 20), -1)
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])
    return path


def frames(path: Path) -> list[np.ndarray]:
    config = pictures.Config(path=path.name, hop_s=0.1, speed=0.0)
    source = open_source(config, name="p", base=path.parent)
    return [window.data for window in source.windows()]


def spot(frame: np.ndarray) -> np.ndarray:
    """Where the dark spot is."""
    return np.argwhere(frame.max(axis=2) < 60).mean(axis=0)


@pytest.fixture
def filmed(tmp_path: Path) -> list[np.ndarray]:
    """A second of nobody, then a person in two pictures for a second."""
    red = put(tmp_path / "1.png", (200, 80, 80))
    green = put(tmp_path / "2.png", (80, 200, 80), height=300, width=300)
    scenes = [Scene((), 1.0), Scene((red, green), 1.0)]
    film.make(tmp_path / "film.avi", scenes, rate_hz=10.0, seed=3)
    return frames(tmp_path / "film.avi")


def test_each_scene_lasts_as_long_as_it_says(filmed):
    """Grey, then red, then green, in RGB."""
    assert len(filmed) == 20
    assert {frame.shape for frame in filmed} == {(film.HEIGHT, film.WIDTH, 3)}
    means = np.array([frame[:60].mean(axis=(0, 1)) for frame in filmed])
    assert np.ptp(means[:10], axis=1).max() < 4
    assert (means[10:15].argmax(axis=1) == 0).all()
    assert (means[15:].argmax(axis=1) == 1).all()


def test_no_frame_is_like_another(filmed):
    """A camera never gives the same picture twice, and a head moves."""
    assert all((one != other).any() for one, other in pairwise(filmed))
    places = np.array([spot(frame) for frame in filmed[10:15]])
    assert np.abs(np.diff(places, axis=0)).max() > 1.0


def test_a_picture_fills_the_frame_wherever_it_moves(filmed):
    """No border, which a printed picture would have."""
    for frame in filmed[10:]:
        edges = [frame[0], frame[-1], frame[:, 0], frame[:, -1]]
        assert min(edge.max(axis=1).min() for edge in edges) > 150


def test_the_same_seed_makes_the_same_film(tmp_path):
    """And another one another."""
    red = put(tmp_path / "1.png", (200, 80, 80))
    made = []
    for number, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{number}.avi"
        film.make(path, [Scene((red,), 0.5)], rate_hz=10.0, seed=seed)
        made.append(np.array(frames(path)))
    assert (made[0] == made[1]).all()
    assert (made[0] != made[2]).any()


@pytest.mark.parametrize("raw", [None, b"no picture"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, raw):
    """One line."""
    path = tmp_path / "1.jpg"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(DemoError, match=r"1\.jpg: (No such file|cannot be read)"):
        film.make(tmp_path / "film.avi", [Scene((path,), 0.5)], rate_hz=10.0, seed=0)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    """One line."""
    with pytest.raises(DemoError, match=r"nowhere/film\.avi: OpenCV cannot write"):
        film.make(tmp_path / "nowhere" / "film.avi", [], rate_hz=10.0, seed=0)
