"""The network for a device: EfficientNet-Lite0 as trained on ImageNet, all of it trained further.

What it says at strides of 4, 8, 16 and 32 pixels is added up to one map: small marks need the
first, and what is a mark at all depends on its surroundings.

`edge` learns from good and defective parts; `good-only` from good ones, with defects drawn onto
them; `few-defects` from both together.
"""

from __future__ import annotations

from typing import Any

from contract.ops.tiles import SIDE
from training import defect_nets
from training.part_crops import Pictures
from training.weights import EFFICIENTNET_LITE0, efficientnet_lite0

_BLOCKS = (2, 4, 10, 15)
_WIDTH = 48


def network(pictures: Pictures) -> Any:
    """Keras model, (n, 256, 256, 3) pixels from 0 to 255 -> (n, 32, 32, 1) logits.

    Args:
        pictures: of training.
    """
    import keras

    body = efficientnet_lite0.network((SIDE, SIDE, 3), is_pretrained=True)
    taps = [body.get_layer(f"block_{number}").output for number in _BLOCKS]
    model = keras.Model(body.input, defect_nets.map_of(taps, width=_WIDTH), name="edge")
    defect_nets.settle(model, pictures)
    return model


_HOW = {
    "epochs": 8,
    "steps": 80,
    "batch": 16,
    "learning_rate": 9e-4,
    "layers": ("block_2", "block_4", "block_10"),
    "weights": (EFFICIENTNET_LITE0,),
}
METHODS = {
    "edge": {"look": defect_nets.supervised(network, **_HOW)},
    "good-only": {"look": defect_nets.from_good(network, **_HOW)},
    "few-defects": {"look": defect_nets.from_few(network, **_HOW)},
}
