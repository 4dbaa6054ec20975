import numpy as np
import pytest

pytestmark = [pytest.mark.training, pytest.mark.slow]


def a_network():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    pixels = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 128, -127 / 128)(pixels)
    return keras.Model(pixels, layers.Conv2D(2, 1, name="colours")(x))


def test_a_channel_that_sees_red_is_shown_as_red_and_one_that_sees_blue_as_blue():
    from training import feature_pictures

    model = a_network()
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, :, 0] = 1, -1, -1
    kernel[0, 0, :, 1] = -1, -1, 1
    model.get_layer("colours").set_weights([kernel, np.zeros(2, np.float32)])

    red, blue = feature_pictures.pictures(
        model, "colours", np.array([0, 1]), seed=0, side=24, steps=40
    )

    assert red.dtype == np.uint8
    assert red.shape == (24, 24, 3)
    assert red[..., 0].mean() > 200
    assert red[..., 2].mean() < 50
    assert blue[..., 2].mean() > 200
    assert blue[..., 0].mean() < 50


def test_pictures_of_a_channel_are_moved_about_their_middle():
    from training import feature_pictures

    moves = feature_pictures._movements(50, 100, np.random.default_rng(0))
    middle = np.array([50.0, 50.0])
    for a0, a1, a2, b0, b1, b2, *_ in moves:
        at = np.array([a0 * middle[0] + a1 * middle[1] + a2, b0 * middle[0] + b1 * middle[1] + b2])
        assert np.abs(at - middle).max() <= 6.01


def test_a_section_names_its_channels():
    from training import feature_pictures

    section = feature_pictures.section(a_network(), layers=["colours"], channels=1)

    assert section.figures[0].startswith("<img")
    assert "channels" in section.text
