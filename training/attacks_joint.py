"""Telling attacked pictures from others by all traces at once.

Each trace alone is faint where a gray level or two fools the classifier, and an attack that hides
one shows another. A linear discriminant (Fisher, 1936) with the covariance shrunk (Ledoit and Wolf,
2004) weighs them by attacked validation crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from contract.spec import Array, Floats
from training import attacks_detect, attacks_net, backend

_FEWEST = 10  # attacked crops that are taken for a class; of fewer, those of both classes serve


def traces(model: Any, pixels: Floats) -> Floats:
    """(n, 20) what may give an attack away.

    The entropy of the response map by each of `attacks_detect.tried`, how much surer the classifier
    is of defective than of good, the entropy of the picture itself, what feature squeezing moves,
    and how far the picture is from its own median filter.

    Args:
        model: of `attacks_net.network`.
        pixels: (n, side, side, 3) float32 from 0 to 255.
    """
    logits = backend.as_model(model)(pixels)
    levels = np.round(pixels.mean(axis=-1)).astype(np.uint8)
    apart = [np.abs(one - cv2.medianBlur(one.astype(np.uint8), 3)).mean() for one in pixels]
    return np.column_stack(
        [
            attacks_detect.by_way(model, pixels),
            logits[:, 1] - logits[:, 0],
            attacks_detect.local_entropy(levels),
            attacks_detect.squeezed(model, pixels),
            np.array(apart),
        ]
    )


@dataclass(frozen=True, eq=False)
class Joint:
    """How traces are weighed, by the class that a crop is taken for.

    Attributes:
        weights: (2, d) of the traces.
        middle: (2,) median of what the weighed traces of clean crops are.
        spread: (2,) their standard deviation.
    """

    weights: Floats
    middle: Floats
    spread: Floats

    def unusual(self, traces: Floats, classes: Array) -> Floats:
        """(n,) how far traces lie to the attacks' side of clean ones of the same class."""
        weighed = (traces * self.weights[classes]).sum(axis=1)
        found: Floats = (weighed - self.middle[classes]) / self.spread[classes]
        return found


def learn(model: Any, clean: Floats, attacked: Sequence[Floats]) -> Joint:
    """Weigh the traces.

    Args:
        model: of `attacks_net.network`.
        clean: (n, side, side, 3) validation crops that it takes for what they are, of both classes.
        attacked: the same of each attack, at least one in all.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    every = np.concatenate(attacked)
    of_clean, of_attacked = traces(model, clean), traces(model, every)
    taken, taken_attacked = (attacks_net.classes(model, some) for some in (clean, every))
    made = []
    for label in (0, 1):
        usual, odd = of_clean[taken == label], of_attacked[taken_attacked == label]
        odd = odd if len(odd) >= _FEWEST else of_attacked
        fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        fitted.fit(np.concatenate([usual, odd]), np.repeat([0, 1], [len(usual), len(odd)]))
        weights = fitted.coef_[0]
        weighed = usual @ weights
        made.append((weights, np.median(weighed), max(float(weighed.std()), 1e-9)))
    return Joint(*(np.array(one) for one in zip(*made, strict=True)))
