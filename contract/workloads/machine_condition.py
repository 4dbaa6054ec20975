"""Watch one machine's vibration; learn its healthy state on site; one alarm when it leaves it.

The network, trained on the healthy starts of other machines, knows what spectra of healthy
machines look like. What it cannot reconstruct of this machine is judged against what it could not
reconstruct while this machine was healthy.
"""

from __future__ import annotations

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


def spectrum_shape(window: Window, _found: Detections) -> Floats:
    """(channels, N_BANDS) float32: band levels in nepers relative to their mean over the bands."""
    bands = signal.log_bands(window.data, n_bands=N_BANDS, octaves=OCTAVES)
    return bands - bands.mean(axis=1, keepdims=True)


def residual(_found: Detections, shape: Floats, rebuilt: Floats) -> Detections:
    """One detection per channel: what the network could not rebuild of its spectrum's shape."""
    return tuple(Detection("residual", vector=row) for row in shape - rebuilt)


def window_level(window: Window, _found: Detections) -> Floats:
    """(channels, 3) float32: log RMS, log crest factor, log kurtosis."""
    return signal.level(window.data)


def with_level(found: Detections, levels: Floats, _same: Floats) -> Detections:
    """The detections of the channels, their vectors followed by the level features."""
    return tuple(
        Detection(d.label, vector=np.concatenate([d.vector, row]))
        for d, row in zip(found, levels, strict=True)
        if d.vector is not None
    )


def healthy_baseline(vectors: Floats) -> dict[str, Array]:
    """Centre and spread of each feature of each channel while the machine was healthy.

    Args:
        vectors: (windows, channels, features) float32.

    Returns:
        `centre` and `spread`, (channels, features) float32; the spread is robust (median absolute
        deviation, scaled to a standard deviation) and floored at 0.05 nepers, so that a feature
        that happened to stand still does not alarm at its first move.
    """
    centre = np.median(vectors, axis=0)
    spread = 1.4826 * np.median(np.abs(vectors - centre), axis=0)
    return {"centre": centre, "spread": np.maximum(spread, 0.05).astype(np.float32)}


def novelty(found: Detections, profile: Profile | None) -> Detections:
    """How far the window lies outside the healthy baseline: the worst channel's RMS z-score."""
    if profile is None:
        return ()
    vectors = np.stack([d.vector for d in found if d.vector is not None])
    z = (vectors - profile.learned["centre"]) / profile.learned["spread"]
    return (Detection("novelty", score=float(np.sqrt(np.mean(np.square(z), axis=1)).max())),)


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
        Stage("spectrum", spectrum_shape, residual, input_shape=(N_BANDS,)),
        Stage("level", window_level, with_level),
    ),
    judge=novelty,
    policy=partial(Debounce, workload="machine_condition", k=3, n=4, cooldown_s=600.0),
    tolerances={"rebuild_rms": 0.01, "auroc": 0.01},
    learn=healthy_baseline,
    learn_windows=200,
)
