import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from training import pictures
from training.datasets import DataError

ORIENTATION = 0x0112


def two_tone(mode="RGB", size=(6, 4)):
    """Left half bright, right half dark; the top left corner is marked."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = 200
    pixels[0, 0] = (255, 0, 0)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(("name", "mode"), [("a.png", "RGB"), ("b.bmp", "RGB"), ("c.tiff", "RGB")])
def test_a_picture_is_read_as_height_width_rgb(tmp_path, name, mode):
    two_tone(mode).save(tmp_path / name)
    read = pictures.read(tmp_path / name)
    assert (read.shape, read.dtype) == ((4, 6, 3), np.uint8)
    assert read[0, 0].tolist() == [255, 0, 0]
    assert read[3, 0].tolist() == [200, 200, 200]
    assert read[3, 5].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("orientation", "shape", "corner"),
    [
        (1, (4, 6), (0, 0)),
        (2, (4, 6), (0, 5)),
        (3, (4, 6), (3, 5)),
        (4, (4, 6), (3, 0)),
        (5, (6, 4), (0, 0)),
        (6, (6, 4), (0, 3)),
        (7, (6, 4), (5, 3)),
        (8, (6, 4), (5, 0)),
    ],
)
def test_the_orientation_of_the_camera_is_applied(tmp_path, orientation, shape, corner):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    two_tone().save(tmp_path / "turned.png", exif=exif)
    read = pictures.read(tmp_path / "turned.png")
    assert read.shape[:2] == shape
    assert read[corner].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA"])
def test_every_kind_of_colour_becomes_rgb(tmp_path, mode):
    two_tone(mode).save(tmp_path / "picture.png")
    read = pictures.read(tmp_path / "picture.png")
    assert read.shape == (4, 6, 3)
    assert read[3, 1].min() > 190
    assert read[3, 5].max() == 0


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("RGB", (32, 32), (200, 40, 40)).convert("CMYK").save(tmp_path / "press.jpg")
    with Image.open(tmp_path / "press.jpg") as stored:
        assert stored.mode == "CMYK"
    np.testing.assert_allclose(pictures.read(tmp_path / "press.jpg")[16, 16], [200, 40, 40], atol=3)


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bits_keep_their_eight_highest(tmp_path, name):
    levels = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / name)
    assert pictures.read(tmp_path / name)[0, :, 1].tolist() == [0, 0, 1, 128, 255]


def test_what_is_transparent_is_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = (10, 20, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "cut_out.png")
    assert pictures.read(tmp_path / "cut_out.png").tolist() == [
        [[10, 20, 30]] * 2,
        [[255, 255, 255]] * 2,
    ]


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert pictures.read(tmp_path / "moving.gif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["large.png", "large.jpg"])
def test_a_large_picture_is_reduced_by_the_mean_of_its_pixels(tmp_path, name):
    checks = (np.indices((800, 1200)).sum(axis=0) % 2 * 200).astype(np.uint8)
    Image.fromarray(checks).save(tmp_path / name)
    read = pictures.read(tmp_path / name, longest_side=300)
    assert read.shape == (200, 300, 3)
    assert abs(float(read.mean()) - 100) < 3
    assert read.std() < 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forty.jpg", "forty.png"])
def test_forty_megapixels_are_read(tmp_path, name):
    Image.new("RGB", (7300, 5480), (200, 100, 50)).save(tmp_path / name)
    read = pictures.read(tmp_path / name)
    assert max(read.shape) == pictures.LONGEST_SIDE
    np.testing.assert_allclose(read[900, 1200], [200, 100, 50], atol=2)


def bomb(file, width, height):
    """A PNG that says it is huge."""

    def part(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", data))


@pytest.mark.parametrize("size", [(20_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_unread(tmp_path, size):
    bomb(tmp_path / "bomb.png", *size)
    with pytest.raises(DataError) as refused:
        pictures.read(tmp_path / "bomb.png")
    assert "bomb.png" in str(refused.value)
    assert "pixels" in str(refused.value)


def test_a_program_that_calls_itself_a_picture_is_not_run(tmp_path):
    (tmp_path / "script.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(DataError, match=r"script\.jpg"):
        pictures.read(tmp_path / "script.jpg")


def test_floats_without_a_range_are_refused(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "depth.tiff")
    with pytest.raises(DataError, match="floats"):
        pictures.read(tmp_path / "depth.tiff")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:20],
        lambda whole: b"",
        lambda whole: b"not a picture at all",
    ],
)
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_damaged_file_is_named_in_one_line_with_the_fix(tmp_path, spoil, kind):
    file = tmp_path / f"face.{kind}"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError) as refused:
        pictures.read(file)
    assert str(file) in str(refused.value)
    assert "fix:" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg"):
        pictures.read(tmp_path / "gone.jpg")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("jpg", "RGB"),
        ("jpg", "CMYK"),
        ("png", "P"),
        ("tiff", "RGB"),
        ("webp", "RGBA"),
        ("gif", "P"),
    ],
)
def test_whatever_is_damaged_is_read_or_refused_but_never_fails_otherwise(tmp_path, kind, mode):
    rng = np.random.default_rng(7)
    file = tmp_path / f"face.{kind}"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    two_tone(mode, (40, 30)).save(file, exif=exif)
    whole = np.frombuffer(file.read_bytes(), np.uint8)
    refused = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            spoilt = whole.copy()
            where = rng.integers(0, len(spoilt), rng.integers(1, 6))
            spoilt[where] = rng.integers(0, 256, len(where))
            file.write_bytes(spoilt.tobytes())
            try:
                assert pictures.read(file).shape[2] == 3
            except DataError as error:
                refused.append(str(error))
    assert refused
    assert all(str(file) in reason and "\n" not in reason for reason in refused)
