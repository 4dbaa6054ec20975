"""Videos and folders of pictures, whole and damaged, at their pace and at once."""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from contract.spec import ImageSpec
from edge import gates, sources
from edge.check import _source
from edge.config import PipelineConfig
from edge.errors import SourceError
from edge.gates import Limits
from edge.sources import pictures

HEIGHT, WIDTH, FPS = 120, 160, 10.0
SPEC = ImageSpec(min_height=32, min_width=32, example_height=HEIGHT, example_width=WIDTH)
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "MJPG"}


def scene(number: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(height, width, 3) uint8: soft; 5 times its number is the red of its left upper corner."""
    small = np.random.default_rng(3).integers(40, 216, (5, 8, 3), dtype=np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    picture[:32, :32] = (5 * number % 256, 60, 200)
    return picture


def film(path: Path, *, frames: int = 50, fps: float = FPS) -> Path:
    """A video of that many scenes."""
    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, fps, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(scene(number)[:, :, ::-1])
    writer.release()
    return path


def put(path: Path, rgb: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])
    return path


def source(path: Path, **options) -> pictures.PicturesSource:
    about = {"type": "pictures", "path": path.name, "hop_s": 0.2, "speed": 0.0, **options}
    config = msgspec.convert(about, sources.AnyConfig)
    return sources.open_source(config, name="door", base=path.parent)


def shown(path: Path, **options) -> list:
    return list(source(path, **options).windows())


def damaged_at_s(windows: list) -> list[float]:
    return [round(one.t_ns / 1e9, 1) for one in windows if SPEC.refuse(one) == "corrupt"]


class TestVideo:
    """As a camera would have given it."""

    @pytest.mark.parametrize("ending", CODECS)
    def test_every_hop_a_frame_in_rgb_with_its_time(self, tmp_path, ending):
        """Of ten frames a second every other; red is red."""
        got = shown(film(tmp_path / f"clip{ending}"))
        assert [one.seq for one in got] == list(range(25))
        assert [one.t_ns for one in got] == pytest.approx([i * 200_000_000 for i in range(25)])
        for number, one in enumerate(got):
            assert (one.source, one.rate_hz) == ("door", FPS)
            assert (one.data.shape, one.data.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
            corner = one.data[8:24, 8:24].reshape(-1, 3).mean(axis=0)
            np.testing.assert_allclose(corner, (10 * number, 60, 200), atol=8)

    def test_a_hop_shorter_than_a_frame_gives_each_once(self, tmp_path):
        """There are no more than there are."""
        assert len(shown(film(tmp_path / "clip.mp4"), hop_s=0.01)) == 50

    def test_a_hop_between_two_frames_keeps_its_average(self, tmp_path):
        """A picture every quarter of a second of one with 30 a second."""
        got = shown(film(tmp_path / "clip.mp4", frames=120, fps=30.0), hop_s=0.25)
        assert len(got) == 16

    @pytest.mark.parametrize("ending", CODECS)
    def test_frames_that_are_damaged_are_empty_and_not_the_end(self, tmp_path, ending, caplog):
        """A fifth of the file is zeros, from its middle on; then it goes on."""
        path = film(tmp_path / f"clip{ending}")
        raw = bytearray(path.read_bytes())
        middle, fifth = len(raw) // 2, len(raw) // 5
        raw[middle : middle + fifth] = bytes(fifth)
        path.write_bytes(raw)
        got = shown(path)
        assert damaged_at_s(got)
        assert got[-1].t_ns > 3_500_000_000
        assert f"{path}: " in caplog.text
        assert "it is damaged" in caplog.text

    @pytest.mark.parametrize("ending", [".avi", ".mkv"])
    def test_a_video_cut_off_ends_with_a_damaged_frame(self, tmp_path, ending, caplog):
        """Its header says that there should be more."""
        path = film(tmp_path / f"clip{ending}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        got = shown(path)
        assert SPEC.refuse(got[-1]) == "corrupt"
        assert damaged_at_s(got[:-1]) == []
        assert 1.5e9 < got[-1].t_ns < 3.5e9
        assert "should be 5.0 s long, but ends at 2." in caplog.text

    def test_a_whole_one_says_nothing(self, tmp_path, caplog):
        """To its very end."""
        caplog.set_level(logging.INFO)
        assert damaged_at_s(shown(film(tmp_path / "clip.mp4"))) == []
        assert caplog.text == ""

    def test_a_very_large_one_is_reduced(self, tmp_path):
        """As pictures are."""
        path = tmp_path / "large.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (3200, 1600))
        writer.write(scene(1, height=1600, width=3200)[:, :, ::-1])
        writer.release()
        (only,) = shown(path)
        assert only.data.shape == (1280, 2560, 3)


class TestFolder:
    """Each picture once, in the size of the first."""

    def test_by_name_one_every_hop(self, tmp_path):
        """Two before ten; other files are passed over."""
        for number in (10, 2, 1):
            put(tmp_path / f"{number}.png", scene(number))
        (tmp_path / "notes.txt").write_text("no picture")
        (tmp_path / "more.png").mkdir()
        got = shown(tmp_path, hop_s=0.5)
        assert [one.data[0, 0, 0] for one in got] == [5, 10, 50]
        assert [one.t_ns for one in got] == [0, 500_000_000, 1_000_000_000]
        assert [one.rate_hz for one in got] == [2.0] * 3

    def test_one_picture_is_a_folder_of_one(self, tmp_path):
        """Named itself."""
        (only,) = shown(put(tmp_path / "one.png", scene(4)))
        np.testing.assert_array_equal(only.data, scene(4))

    def test_another_size_is_fitted_into_that_of_the_first(self, tmp_path):
        """A tall one and a wide one keep their shape, and pass the gate."""
        put(tmp_path / "1.png", scene(0))
        put(tmp_path / "2.png", scene(9, height=480, width=320))
        put(tmp_path / "3.png", scene(20, height=60, width=320))
        got = shown(tmp_path)
        assert [one.data.shape for one in got] == [(HEIGHT, WIDTH, 3)] * 3
        gate = gates.open_gate(SPEC, Limits())
        assert [gate.refuse(one) for one in got] == [None] * 3
        np.testing.assert_allclose(got[1].data[2, 44], (45, 60, 200), atol=8)  # 40 beside it
        np.testing.assert_allclose(got[2].data[49, 2], (100, 60, 200), atol=8)  # 45 above it

    def test_a_damaged_picture_is_empty_and_named(self, tmp_path, caplog):
        """Half a file, nothing at all, no picture; what follows comes."""
        whole = put(tmp_path / "1.jpg", scene(1)).read_bytes()
        (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "3.png").write_bytes(b"")
        (tmp_path / "4.webp").write_bytes(b"no picture")
        put(tmp_path / "5.png", scene(5))
        assert damaged_at_s(shown(tmp_path, hop_s=1.0)) == [1.0, 2.0, 3.0]
        for name in ("2.jpg", "3.png", "4.webp"):
            assert f"{tmp_path / name}: cannot be read as a picture" in caplog.text

    def test_it_is_turned_as_exif_says(self, tmp_path):
        """What a telephone held upright writes."""
        raw = put(tmp_path / "1.jpg", scene(40)).read_bytes()
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
        segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        (tmp_path / "1.jpg").write_bytes(raw[:2] + segment + raw[2:])
        (only,) = shown(tmp_path)
        assert only.data.shape == (WIDTH, HEIGHT, 3)
        np.testing.assert_allclose(only.data[8, -8], (200, 60, 200), atol=8)

    def test_different_stills_are_believed_and_the_same_one_again_is_not(self, tmp_path):
        """A file that was copied twelve times is a camera that stands still."""
        for number in range(12):
            put(tmp_path / f"{number}.png", scene(number))
        gate = gates.open_gate(SPEC, Limits())
        assert [gate.refuse(one) for one in shown(tmp_path, hop_s=1.0)] == [None] * 12
        for number in range(12):
            put(tmp_path / f"{number}.png", scene(0))
        gate = gates.open_gate(SPEC, Limits())
        refused = [gate.refuse(one) for one in shown(tmp_path, hop_s=1.0)]
        assert refused == [None] * 10 + ["frozen"] * 2


class TestFaults:
    """What cannot be shown is named, with the reason."""

    @pytest.mark.parametrize(
        ("name", "raw", "why"),
        [
            ("a.mp4", None, "No such file or directory"),
            ("a.mp4", b"", "is empty"),
            ("a.mp4", b"junk" * 5000, "cannot be read as a video; fix: mp4, avi, mkv"),
            ("a.txt", b"hello", "cannot be read as a video"),
            ("a%03d.png", b"junk", "none of 1 pictures can be read"),
            ("a.jpg", b"junk", "none of 1 pictures can be read"),
        ],
    )
    def test_a_file(self, tmp_path, name, raw, why):
        """Missing, empty, or something else."""
        path = tmp_path / name
        if raw is not None:
            path.write_bytes(raw)
        with pytest.raises(SourceError, match=f"{name}: {why}"):
            source(path)

    def test_a_video_without_its_index(self, tmp_path):
        """An mp4 that was cut off has nothing to go by."""
        path = film(tmp_path / "clip.mp4")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(SourceError, match=r"clip\.mp4: cannot be read as a video"):
            source(path)

    def test_a_folder_without_pictures(self, tmp_path):
        """With what it should hold."""
        (tmp_path / "notes.txt").write_text("no picture")
        with pytest.raises(SourceError, match=r"no picture in it; fix: files ending in \.bmp, "):
            source(tmp_path)

    def test_a_pipe_keeps_nobody_waiting(self, tmp_path):
        """A device neither."""
        os.mkfifo(tmp_path / "pipe.mp4")
        with pytest.raises(SourceError, match=r"pipe\.mp4: not a file"):
            source(tmp_path / "pipe.mp4")


class TestPace:
    """At real time, faster, at once."""

    def test_it_passes_at_its_speed(self, tmp_path):
        """Five seconds at ten times real time."""
        began_s = time.monotonic()
        got = shown(film(tmp_path / "clip.avi"), speed=10.0)
        assert got[-1].t_ns == pytest.approx(4_800_000_000)
        assert 0.4 <= time.monotonic() - began_s < 3.0

    def test_who_is_slow_gets_the_newest(self, tmp_path):
        """Frames never queue: what was due meanwhile is passed over, and the numbers show it."""
        path = film(tmp_path / "clip.avi")
        began_s, late_s, seqs = time.monotonic(), [], []
        for one in source(path, hop_s=0.1, speed=2.0).windows():
            late_s.append(2.0 * (time.monotonic() - began_s) - one.t_ns / 1e9)
            seqs.append(one.seq)
            time.sleep(0.2)
        assert len(seqs) <= 15  # of 50
        assert seqs[-1] >= 45
        assert statistics.median(late_s) < 0.3
        assert late_s[-1] < 1.0  # it does not add up

    def test_at_once_who_is_slow_gets_all(self, tmp_path):
        """Nothing is due at speed 0."""
        got = []
        for one in source(film(tmp_path / "clip.avi", frames=6), hop_s=0.1).windows():
            got.append(one.seq)
            time.sleep(0.05)
        assert got == list(range(6))

    def test_close_ends_it_while_it_waits(self, tmp_path):
        """From another thread, long before the next is due."""
        for number in range(2):
            put(tmp_path / f"{number}.png", scene(number))
        waiting, got = source(tmp_path, hop_s=3600.0, speed=1.0), []
        reader = threading.Thread(target=lambda: got.extend(waiting.windows()))
        reader.start()
        time.sleep(0.2)
        waiting.close()
        reader.join(5)
        assert not reader.is_alive()
        assert len(got) == 1


class TestCheck:
    """`vedette check` says what would be shown."""

    def look(self, path: Path):
        config = pictures.Config(path=path.name, hop_s=0.5)
        return _source(PipelineConfig("door", "bundle", config), path.parent)

    def test_of_a_video(self, tmp_path):
        """Size, rate and length."""
        finding = self.look(film(tmp_path / "clip.mp4"))
        assert finding.text == "video, 120 x 160 x 3, 10 frames/s, 5.0 s"

    def test_of_a_folder(self, tmp_path):
        """How many, and how large the first is."""
        for number in range(3):
            put(tmp_path / f"{number}.png", scene(number))
        assert self.look(tmp_path).text == "3 pictures, 120 x 160 x 3, one every 0.5 s"

    def test_what_is_not_there_fails(self, tmp_path):
        """By its name."""
        finding = self.look(tmp_path / "clip.mp4")
        assert not finding.is_ok
        assert "clip.mp4: No such file" in finding.text
