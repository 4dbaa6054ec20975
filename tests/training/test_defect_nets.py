"""What supervised networks of `inspection` begin with."""

import cv2
import numpy as np
import pytest

from training import datasets, defect_nets
from training.part_crops import Pictures
from training.parts import items

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        shown = np.full((256, 256), 60 + 25 * i) + rng.normal(0, 12, (256, 256))
        cv2.imwrite(str(tmp_path / f"{i}.png"), shown.clip(0, 255).astype(np.uint8))
    rows = [f"{i}.png,good,k{i}" for i in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,item", *rows]) + "\n")
    return Pictures(items(datasets.open_folder(tmp_path).recordings))


@pytest.fixture
def model():
    """Two scales; the features of one are a fiftieth as large, and far from zero."""
    from training import backend

    backend.quiet()
    import keras
    from keras import layers

    pixels = keras.Input((256, 256, 3))
    fine = layers.Conv2D(8, 4, strides=4)(pixels)
    coarse = layers.AveragePooling2D(4)(layers.Rescaling(0.02, 50.0)(layers.Conv2D(8, 1)(fine)))
    return keras.Model(pixels, defect_nets.map_of([fine, coarse], width=6))


def test_every_scale_begins_with_the_same_say(model, pictures):
    import keras

    from training import part_crops

    defect_nets.settle(model, pictures)
    shown = part_crops.as_they_are(pictures, 6)
    for name in ("tap_0", "tap_1", "whole"):
        of_scale = keras.Model(model.input, model.get_layer(name).output)
        rows = np.asarray(of_scale.predict(shown, verbose=0)).reshape(-1, 6)
        assert np.abs(rows.mean(axis=0)).max() < 0.2, name
        assert 0.4 < rows.std() < 2.5, name
    logits = np.asarray(model.predict(shown, verbose=0))
    assert logits.shape == (6, 32, 32, 1)


def test_a_mark_of_one_fine_place_does_not_fade():
    from keras import ops

    fine = np.zeros((1, 64, 64, 1), np.float32)
    fine[0, 21, 33] = 3.0
    assert np.asarray(ops.max(defect_nets.aligned(fine, is_highest=True))) == 3.0
    assert np.asarray(ops.max(defect_nets.aligned(fine))) == 0.75
