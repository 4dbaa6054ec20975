import numpy as np
import pytest

from export.fold_norm import folded
from training import backend

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


@pytest.fixture
def network():
    """Normalizations after convolutions of both kinds, one after none, one after a shared one."""
    backend.quiet()
    import keras
    from keras import layers

    rng = np.random.default_rng(0)
    pixels = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="plain")(pixels)
    x = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization(name="after_plain")(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="after_depthwise")(x)
    y = layers.Conv2D(8, 1, use_bias=False, name="shared")(x)
    z = layers.BatchNormalization(name="after_shared")(y)
    x = layers.BatchNormalization(name="after_sum")(layers.Add()([x, y, z]))
    made = keras.Model(pixels, layers.GlobalAveragePooling2D()(x))
    for layer in made.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return made


def test_what_is_folded_gives_the_same(network):
    pictures = np.random.default_rng(1).normal(size=(4, 12, 12, 3)).astype(np.float32)
    found = folded(network)
    np.testing.assert_allclose(
        backend.as_model(found)(pictures), backend.as_model(network)(pictures), atol=1e-5
    )


def test_only_what_follows_a_convolution_of_its_own_is_folded(network):
    names = {layer.name for layer in folded(network).layers}
    assert {"after_shared", "after_sum"} <= names
    assert not {"after_plain", "after_depthwise"} & names
    assert network.get_layer("after_plain") is not None  # the original is left as it was
