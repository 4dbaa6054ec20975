"""Watch one machine's vibration; learn its healthy state on site; one alarm when it leaves it.

The network, trained on the healthy starts of other machines, knows what the spectra of healthy
machines look like. What it cannot rebuild of this machine's is judged against what it could not
rebuild while this machine was healthy. Three parts, each divided by its scale from the operating
point; the largest is the score:

- `spectrum`: how far the residual has moved in at least 40 % of the bands. Run-in noise and
  passing bursts move a few bands, lasting damage moves many.
- `impulses`: the signal is more impulsive than it was, and its spectrum has changed on the same
  axis.
- `level`: how much three quarters of the bands have risen, in nepers; a safety net for damage
  that keeps its shape.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from contract.ops import signal
from contract.policy import Debounce
from contract.spec import (
    Array,
    Detection,
    Detections,
    Floats,
    Profile,
    SignalSpec,
    Stage,
    Window,
    Workload,
)

N_BANDS = 32
OCTAVES = 8
PARTS = ("spectrum", "impulses", "level")
HITS, OF = 5, 10  # windows: an alarm needs this many of the last so many

# A feature that happened to stand still while learning must not alarm at its first move.
_MIN_SPREAD = 0.15  # nepers, both of a band's residual and of the crest factor


def levels(window: Window, _found: Detections) -> Floats:
    """(channels, N_BANDS + 1) float32: log band levels in nepers, then the log crest factor."""
    bands = signal.log_bands(window.data, n_bands=N_BANDS, octaves=OCTAVES)
    return np.column_stack([bands, signal.log_crest(window.data)])


def per_channel(_found: Detections, rows: Floats, _same: Floats) -> Detections:
    """One detection per channel with its levels as vector."""
    return tuple(Detection("channel", vector=row) for row in rows)


def spectrum_shape(_window: Window, found: Detections) -> Floats:
    """(channels, N_BANDS) float32: band levels relative to their mean, so without the loudness."""
    bands = np.stack([d.vector[:N_BANDS] for d in found if d.vector is not None])
    shape: Floats = bands - bands.mean(axis=1, keepdims=True)
    return shape


def with_residual(found: Detections, shape: Floats, rebuilt: Floats) -> Detections:
    """The detections again, their vectors preceded by what the network could not rebuild."""
    return tuple(
        Detection(d.label, vector=np.concatenate([row, d.vector]))
        for d, row in zip(found, shape - rebuilt, strict=True)
        if d.vector is not None
    )


def healthy_baseline(vectors: Floats) -> dict[str, Array]:
    """Centre and spread of each channel's features while the machine was healthy.

    Args:
        vectors: (windows, channels, 2 * N_BANDS + 1) float32: residual, band levels, log crest.

    Returns:
        `centre` and `spread`, (channels, 2 * N_BANDS + 1) float32. The spread of residuals is the
        median absolute deviation scaled to a standard deviation; that of the crest factor reaches
        from its median to its 95 % quantile.
    """
    centre = np.median(vectors, axis=0)
    spread = 1.4826 * np.median(np.abs(vectors - centre), axis=0)
    spread[:, -1] = np.quantile(vectors[:, :, -1], 0.95, axis=0) - centre[:, -1]
    return {
        "centre": centre.astype(np.float32),
        "spread": np.maximum(spread, _MIN_SPREAD).astype(np.float32),
    }


def reached_by(x: Floats, share: float) -> Floats:
    """(channels,) the highest value that at least `share` of the (channels, bands) reach."""
    at = x.shape[1] - math.ceil(share * x.shape[1])
    return np.partition(x, at, axis=1)[:, at]


def parts(found: Detections, profile: Profile) -> dict[str, float]:
    """How far each part is from the healthy baseline, unscaled; the worst channel counts."""
    vectors = np.stack([d.vector for d in found if d.vector is not None])
    moved = vectors - profile.learned["centre"]
    z = moved / profile.learned["spread"]
    residual, crest = z[:, :N_BANDS], z[:, -1]
    change = np.sqrt(np.mean(np.square(np.clip(residual, -6, 6)), axis=1)) / 2
    risen = moved[:, N_BANDS : 2 * N_BANDS]
    values = (
        reached_by(np.abs(residual), 0.4),
        np.minimum(change, crest / 1.5),
        reached_by(risen, 0.75),
    )
    return {name: float(value.max()) for name, value in zip(PARTS, values, strict=True)}


def novelty(found: Detections, profile: Profile) -> Detections:
    """The part that is farthest out, by its scale; 1 is the most ever seen of healthy machines."""
    scales = profile.operating_point.scales
    scored = {name: value / scales[name] for name, value in parts(found, profile).items()}
    worst = max(scored, key=lambda name: scored[name])
    return (Detection(worst, score=scored[worst]),)


WORKLOAD = Workload(
    name="machine_condition",
    revision=1,
    input=SignalSpec(
        min_rate_hz=500.0,
        min_samples=512,
        example_rate_hz=25_600.0,
        example_samples=2560,
        example_channels=2,
    ),
    stages=(
        Stage("levels", levels, per_channel),
        Stage("spectrum", spectrum_shape, with_residual, input_shape=(N_BANDS,)),
    ),
    judge=novelty,
    policy=partial(Debounce, workload="machine_condition", k=HITS, n=OF, cooldown_s=600.0),
    # several times what int8 was measured to lose, and less than anybody would notice
    tolerances={"rebuild_rms": 0.01, "auroc": 0.02},
    labels=PARTS,
    learn=healthy_baseline,
    learn_windows=200,
)
