"""dlib's face embedding, rebuilt: the weights as its file holds them, the outputs as its own."""

import importlib.util
import sys

import cv2
import numpy as np
import pytest
from weights_files import fetched, pictures

from training import backend
from training.datasets import DataError
from training.weights import DLIB_RESNET, dlib_resnet

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]

WHEELS = sys.platform == "linux" and importlib.util.find_spec("dlib") is not None


@pytest.fixture(scope="module")
def raw():
    return fetched(DLIB_RESNET).read_bytes()


@pytest.fixture(scope="module")
def network():
    return dlib_resnet.model(fetched(DLIB_RESNET))


@pytest.fixture(scope="module")
def chips():
    """(120, 150, 150, 3) uint8: squares cut out of pictures of faces at random."""
    rng = np.random.default_rng(0)
    made = []
    for picture in pictures(20):
        height, width = picture.shape[:2]
        size = int(min(height, width) * rng.uniform(0.4, 1.0))
        top, left = rng.integers(0, height - size + 1), rng.integers(0, width - size + 1)
        square = picture[top : top + size, left : left + size]
        made.append(cv2.resize(square, (150, 150), interpolation=cv2.INTER_AREA))
    return np.stack(made)


def test_the_file_holds_all_weights(raw):
    parameters = dlib_resnet.parse(raw)
    shapes = [kernel.shape for kernel, _ in parameters.convolutions]
    assert len(shapes) == 29
    assert shapes[:2] == [(7, 7, 3, 32), (3, 3, 32, 32)]
    assert shapes[-1] == (3, 3, 256, 256)
    assert all(bias.shape == kernel.shape[3:] for kernel, bias in parameters.convolutions)
    assert parameters.embedding.shape == (256, 128)
    total = sum(k.size + b.size for k, b in parameters.convolutions) + parameters.embedding.size
    assert total == 5_607_488
    # with an affine layer folded in; kernels are of ordinary size, so nothing was read askew
    assert all(0 < np.abs(k).max() < 20 for k, _ in parameters.convolutions)
    assert np.isfinite(parameters.embedding).all()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda raw: b"", r"no further layer 'con_4' after byte 0"),
        (lambda raw: raw[:-50_000], r"it ends at byte"),
        (lambda raw: raw[: len(raw) // 2], r"it ends at byte|no further layer"),
        (
            lambda raw: raw.replace(b"affine_\x01\x02\x01\x40", b"affine_\x01\x02\x01\x41", 1),
            r"layer 'affine_' at byte 19381 is \[65, 1, 1, 1\], not 64 long",
        ),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(raw, damage, why):
    with pytest.raises(DataError, match=rf"not dlib's .*{why}.*; fix: ") as error:
        dlib_resnet.parse(damage(raw))
    assert "\n" not in str(error.value)


def test_it_takes_pixels_and_gives_128_numbers(network):
    assert network.input_shape == (None, 150, 150, 3)
    assert network.output_shape == (None, 128)


@pytest.mark.skipif(not WHEELS, reason="needs dlib; fix: make setup on Linux on x86-64")
def test_outputs_are_dlibs_own(network, chips):
    import dlib

    original = dlib.face_recognition_model_v1(str(fetched(DLIB_RESNET)))
    expected = np.array([original.compute_face_descriptor(chip) for chip in chips])
    found = network.predict(chips.astype(np.float32), verbose=0)
    assert len(chips) >= 100
    assert np.abs(found - expected).max() < 1e-4
    # chips differ far more than that, or the comparison would prove nothing
    assert np.std(expected, axis=0).min() > 0.01


def test_a_saved_model_is_the_same(network, chips, tmp_path):
    network.save(tmp_path / "embed.keras")
    few = chips[:5].astype(np.float32)
    again = backend.load(tmp_path / "embed.keras").predict(few, verbose=0)
    assert np.array_equal(again, network.predict(few, verbose=0))
