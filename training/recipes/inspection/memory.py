"""Good parts alone, remembered: `padim`, a Gaussian for each place, and `memory`, a bank of them.

Learned in one pass, in a minute or two; for parts that always lie alike the first, for others the
second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from contract.spec import Array
from training import defect_nets, good_parts
from training.recipes import StageRecipe
from training.watch import Seen
from training.weights import EFFICIENTNET_LITE0


def _stage(learn: Callable[[Sequence[Seen]], dict[str, Array]]) -> StageRecipe:
    return StageRecipe(
        data=defect_nets.good_ones,
        model=good_parts.network,
        augment=_as_they_are,
        loss="mse",
        epochs=0,
        batch=16,
        learning_rate=1e-3,
        calibration=defect_nets.calibration,
        by_batch=True,
        learn=learn,
        weights=(EFFICIENTNET_LITE0,),
    )


def _as_they_are(pictures: Any, targets: Any, _rng: Any) -> Any:
    return pictures, targets


METHODS = {
    "padim": {"look": _stage(good_parts.gaussians)},
    "memory": {"look": _stage(good_parts.bank)},
}
