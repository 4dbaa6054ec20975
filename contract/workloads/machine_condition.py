"""Watch one machine's vibration; learn its healthy state on site; say when it leaves it, and why.

The network, trained on the healthy starts of other machines, knows what the spectra of healthy
machines look like. What it cannot rebuild of this machine's is compared with what it could not
rebuild while this machine was healthy, as are how impulsive the signal is and its level below
1 kHz. `contract.condition` says what lasts.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from contract import novelty
from contract.condition import PARTS, Condition, count_crest
from contract.explain import explain
from contract.ops import signal
from contract.policy import Latch
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
LEVEL_HZ = 1000.0  # upper end of the range of ISO 20816

# A band that happened to stand still while learning must not count at its first move; and as many
# windows as these few are trusted as much as what healthy machines usually show.
_LEAST_SPREAD, _USUAL_SPREAD, _TRUSTED = 0.15, 0.2, 20.0  # nepers, nepers, windows
_STOPPED = float(np.log(8.0))  # so far below the quietest condition nothing runs, nepers


def levels(window: Window, _found: Detections) -> Floats:
    """(channels, N_BANDS + 2) float32: log levels of bands, log crest factor, log level < 1 kHz."""
    lines = signal.power(window.data)
    return np.column_stack(
        [
            signal.log_bands_of(lines, n_bands=N_BANDS, octaves=OCTAVES),
            signal.log_crest(window.data),
            signal.log_level_below(lines, rate_hz=window.rate_hz, limit_hz=LEVEL_HZ),
        ]
    )


def per_channel(_window: Window, _found: Detections, rows: Floats, _same: Floats) -> Detections:
    """One detection per channel with its levels as vector."""
    return tuple(Detection("channel", vector=row) for row in rows)


def spectrum_shape(_window: Window, found: Detections) -> Floats:
    """(channels, N_BANDS) float32: band levels relative to their mean, so without the loudness."""
    bands = np.stack([d.vector[:N_BANDS] for d in found if d.vector is not None])
    shape: Floats = bands - bands.mean(axis=1, keepdims=True)
    return shape


def with_residual(_window: Window, found: Detections, shape: Floats, rebuilt: Floats) -> Detections:
    """Per channel: what the network could not rebuild of the bands, log crest factor, log level."""
    return tuple(
        Detection(d.label, vector=np.concatenate([row, d.vector[N_BANDS:]]))
        for d, row in zip(found, shape - rebuilt, strict=True)
        if d.vector is not None
    )


def partly_known(log_crest: Floats, log_level: Floats) -> Detections:
    """What is known of a window of which only two figures were kept, as after the last stage.

    Args:
        log_crest: (channels,) log crest factor.
        log_level: (channels,) log level below 1 kHz.
    """
    bands = np.full(N_BANDS, np.nan, dtype=np.float32)
    rows = np.column_stack([log_crest, log_level]).astype(np.float32)
    return tuple(Detection("channel", vector=np.concatenate([bands, row])) for row in rows)


def healthy_baseline(vectors: Floats) -> dict[str, Array]:
    """Centre and spread of each channel's features in each condition while the machine was healthy.

    Windows in which the machine stood still are left out.

    Args:
        vectors: (windows, channels, N_BANDS + 2) float32: residual, log crest, log level; the
            residual is NaN where it was not measured.

    Returns:
        `centre` and `spread`, (conditions, channels, N_BANDS + 2) float32, the spread as standard
        deviation; `crest_counts`, see `contract.condition`; and what `contract.novelty` learned of
        bands in spreads, its names behind `novelty_`, where there were enough windows.
    """
    loudest = vectors[:, :, -1].max(axis=1)
    vectors = vectors[loudest >= np.quantile(loudest, 0.9) - _STOPPED]
    measured = np.isfinite(vectors).all(axis=(1, 2))
    whole = vectors[measured]
    labels = novelty.conditions(whole[:, :, :N_BANDS].reshape(len(whole), -1))
    if len(whole) < len(vectors) and labels.any():
        vectors = whole
    inside = [vectors[labels == k] for k in range(labels.max() + 1)] if labels.any() else [vectors]
    centres = np.stack([np.nanmedian(rows, axis=0) for rows in inside])
    spreads = np.stack(
        [_spread(rows, centre) for rows, centre in zip(inside, centres, strict=True)]
    )
    crest = [rows[:, :, -2] - c[:, -2] for rows, c in zip(inside, centres, strict=True)]
    away = ((whole - centres[labels]) / spreads[labels])[:, :, :N_BANDS]
    own = novelty.learn(away.reshape(len(away), -1)) if len(away) >= novelty.LEAST_ROWS else {}
    return {
        "centre": centres.astype(np.float32),
        "spread": spreads.astype(np.float32),
        "crest_counts": count_crest(np.concatenate(crest)),
        **{f"novelty_{name}": array for name, array in own.items()},
    }


def _spread(rows: Floats, centre: Floats) -> Floats:
    """(channels, features) median absolute deviation as a standard deviation, shrunk and floored.

    With few windows it is drawn to what is usual, as a posterior mean of the variance would be.
    """
    count = np.isfinite(rows).sum(axis=0)
    found = 1.4826 * np.nanmedian(np.abs(rows - centre), axis=0)
    shrunk = (count * found**2 + _TRUSTED * _USUAL_SPREAD**2) / (count + _TRUSTED)
    spread: Floats = np.maximum(np.sqrt(shrunk), _LEAST_SPREAD)
    return spread


def distance(found: Detections, profile: Profile) -> Detections:
    """How far each channel is from the nearest healthy condition; nothing while it stands still.

    Vectors: bands in spreads, then log crest factor and log level relative to it, nepers.
    """
    vectors = np.stack([d.vector for d in found if d.vector is not None])
    centre, spread = profile.learned["centre"], profile.learned["spread"]
    if vectors[:, -1].max() < centre[:, :, -1].max(axis=1).min() - _STOPPED:
        return ()
    moved = vectors - centre
    bands = moved[:, :, :N_BANDS] / spread[:, :, :N_BANDS]
    # where no bands were measured, what was measured has to do
    seen = bands if np.isfinite(bands).all() else moved[:, :, N_BANDS:]
    nearest = int(np.square(np.clip(seen, -6, 6)).sum(axis=(1, 2)).argmin())
    rows = np.concatenate([bands[nearest], moved[nearest, :, N_BANDS:]], axis=1)
    return tuple(
        Detection(d.label, vector=row.astype(np.float32))
        for d, row in zip(found, rows, strict=True)
    )


WORKLOAD = Workload(
    name="machine_condition",
    revision=3,
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
    judge=distance,
    policy=partial(Latch, workload="machine_condition", calm_s=600.0, cooldown_s=600.0),
    # several times what int8 was measured to lose, and less than anybody would notice
    tolerances={"rebuild_rms": 0.01, "auroc": 0.02},
    labels=PARTS,
    learn=healthy_baseline,
    learn_windows=200,
    follow=Condition,
    explain=explain,
)
