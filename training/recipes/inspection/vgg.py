"""The published network, and narrower ones: VGG19 trained from scratch on crops of defects.

VGG19 of Simonyan and Zisserman (ICLR 2015, table 1, configuration E) in front of a map instead of
its dense layers, so that a crop of any part of a picture says where its defect is; "half" and
"quarter" have so many of its filters in every layer. In the published inspection of balloon
catheters the quarter was the best of them (validation accuracy 0.9806, full 0.9798). Batch
normalization (Ioffe and Szegedy, ICML 2015), which the network of 2015 had not, lets it begin from
random weights with as few steps as these.
"""

from __future__ import annotations

from typing import Any

from contract.ops.tiles import SIDE
from training import backend, defect_nets
from training.recipes import StageRecipe

_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))  # convolutions, filters
_TAPPED = (2, 3, 4)  # blocks, at strides of 4, 8 and 16 pixels
_MAP_WIDTH = 192  # of the full network's map
_FORGETS = 0.9  # a few hundred steps are too few for the mean of a thousand batches


def network(share: float) -> Any:
    """The network with a share of the published filters in every layer.

    Returns:
        Keras model, (n, 256, 256, 3) pixels from 0 to 255 -> (n, 32, 32, 1) logits.
    """
    backend.quiet()
    import keras
    from keras import layers

    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    x = layers.Rescaling(1 / 64, -127 / 64, name="scale")(pixels)
    taps = []
    for block, (repeated, filters) in enumerate(_BLOCKS):
        for number in range(repeated):
            name = f"block_{block}_{number}"
            x = layers.Conv2D(
                round(filters * share),
                3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name=name,
            )(x)
            x = layers.BatchNormalization(momentum=_FORGETS, name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        if block in _TAPPED:
            taps.append(x)
        if block < len(_BLOCKS) - 1:
            x = layers.MaxPooling2D(name=f"block_{block}_pool")(x)
    made = defect_nets.map_of(taps, width=round(_MAP_WIDTH * share))
    return keras.Model(pixels, made, name="vgg19")


def _stage(share: float, *, epochs: int, steps: int) -> StageRecipe:
    layers = ("block_1_1_relu", "block_2_3_relu", "block_3_3_relu")
    return defect_nets.supervised(
        lambda _pictures: network(share),
        epochs=epochs,
        steps=steps,
        batch=8,
        learning_rate=1e-3,
        layers=layers,
    )


METHODS = {
    "full": {"look": _stage(1.0, epochs=30, steps=100)},
    "half": {"look": _stage(0.5, epochs=20, steps=80)},
    "quarter": {"look": _stage(0.25, epochs=12, steps=40)},
}
