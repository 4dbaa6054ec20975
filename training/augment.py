"""Changes to training examples that a healthy machine could have made itself."""

from __future__ import annotations

import numpy as np

from contract.spec import Floats


def tilt_and_jitter(
    shapes: Floats, rng: np.random.Generator, *, tilt: float, jitter: float
) -> tuple[Floats, Floats]:
    """Spectra as another mounting would colour them, and the same with noise on each band.

    Args:
        shapes: (n, bands) float32, log levels in nepers relative to their mean.
        rng: of this epoch.
        tilt: standard deviation of the slope from first to last band, nepers.
        jitter: standard deviation of the noise per band, nepers.

    Returns:
        noisy inputs and the tilted shapes to rebuild from them, both (n, bands) float32.
    """
    n, bands = shapes.shape
    slope = rng.normal(0.0, tilt, (n, 1)) * np.linspace(-0.5, 0.5, bands)
    tilted = (shapes + slope).astype(np.float32)
    noisy = tilted + rng.normal(0.0, jitter, shapes.shape)
    return noisy.astype(np.float32), tilted
