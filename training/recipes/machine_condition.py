"""An autoencoder of healthy spectra, for `machine_condition`.

Data: the healthy starts (learning periods) of the `pronostia` bearings; without that data set, of
simulated machines. 32 log-band levels per channel and window, made by the contract's own
preprocessing. The operating point is chosen on what real and simulated machines show while healthy.

Command: vedette train machine_condition

Expected, seed 0, with pronostia: rebuild_rms 0.341 nepers and auroc 1.00 on the test machines; at
the export gate, on validation and test, 0.328 float and 0.329 int8, auroc 0.99 both.
`vedette evaluate` finds 9 of the 10 bearings, median first alarm at 0.51 of life, none between 15
and 30 %; two of the ten were kept for the test. About 25 s on one core, half of it Keras starting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from contract.condition import PARTS, Condition
from contract.spec import Array, Floats, OperatingPoint
from contract.workloads.machine_condition import WORKLOAD
from training import datasets, features, metrics
from training.augment import tilt_and_jitter
from training.datasets import DataSet, Recording
from training.datasets.synthetic import run_to_failure as simulated
from training.protocols import LEARN_SHARES
from training.recipes import Examples, Recipe, StageRecipe
from training.watch import Seen, Watched, judge, judged_moments, learn

_MACHINES = 10  # simulated ones, about as many as there are real bearings to learn from
_MARGIN = 1.02  # on what healthy machines have shown: those not met yet may show a little more
_CLEAR = 0.8  # far enough below the threshold not to flicker
_LEFT_OUT = {"spectrum": 0, "impulses": 1, "level": 0, "novelty": 0}  # machines
# Run-in and load alone may double a level; 8 dB is what maintenance manuals call a serious change.
_FLOORS = {"spectrum": 1.0, "impulses": 0.1, "level": float(np.log(2.5)), "novelty": 1.0}


def sources(root: Path, seed: int) -> tuple[DataSet, ...]:
    """Real bearings where there are any, and simulated machines."""
    real = root / "pronostia"
    found = (datasets.open_folder(real),) if real.is_dir() else ()
    return (*found, simulated.simulate(_MACHINES, seed=seed))


def healthy_starts(recordings: Sequence[Recording]) -> Examples:
    """(n, bands) float32 spectrum shapes of the learning periods, as input and as target."""
    # simulated spectra are simpler than real ones: mixed in, they cost the bottleneck room it needs
    real = [one for one in recordings if one.dataset != simulated.NAME]
    shapes = np.concatenate(
        [
            features.rows(WORKLOAD, "spectrum", one, windows=one.learn_windows)
            for one in real or recordings
        ]
    )
    return shapes, shapes


def whole_lives(recordings: Sequence[Recording]) -> Floats:
    """(n, bands) float32 spectrum shapes from start to failure: int8 needs room for damage too."""
    return np.concatenate(
        [features.rows(WORKLOAD, "spectrum", one, windows=len(one)) for one in recordings]
    )


def autoencoder(input_shape: tuple[int, ...], examples: Floats) -> Any:
    """Dense 32-8-32, linear; the bands are scaled inside the graph and back at its end.

    On the few hundred windows that healthy starts are, a deeper one with ReLU rebuilt unseen
    machines worse and alarmed later (docs/training.md has the figures).
    """
    from keras import Sequential, layers

    (bands,) = input_shape
    mean = examples.mean(axis=0)
    # one spread for all bands: as many as bands would not survive eight bits
    spread = float((examples - mean).std())
    return Sequential(
        [
            layers.Input(input_shape, name="shape"),
            # not `Normalization`, whose constants get lost on the way to ONNX
            layers.Rescaling(1.0 / spread, (-mean / spread).tolist(), name="scale"),
            layers.Dense(8),
            layers.Dense(bands),
            layers.Rescaling(spread, mean.tolist(), name="unscale"),
        ],
        name="spectrum",
    )


def augment(shapes: Floats, _targets: Floats, rng: np.random.Generator) -> Examples:
    """Another mounting's colour, and noise to be removed."""
    return tilt_and_jitter(shapes, rng, tilt=0.3, jitter=0.05)


def healthy(recording: Recording) -> Array:
    """(windows,) bool: past the learning period, and healthy for certain."""
    is_judged = np.arange(len(recording)) >= recording.learn_windows
    if recording.onset is None:
        return is_judged & metrics.healthy_for_sure(recording.life)
    return is_judged & (recording.life < recording.onset)


def measure(watched: Sequence[Watched]) -> dict[str, float]:
    """How well healthy spectra are rebuilt, and how well novelty tells healthy from failed.

    Returns:
        `rebuild_rms` in nepers, over healthy windows; `auroc` of the score, healthy against the
        last 5 % of life, each machine by itself, then averaged.
    """
    errors = [
        np.square(inputs - outputs).mean()
        for one in watched
        for (inputs, outputs), is_healthy in zip(
            one.seen.passes["spectrum"], healthy(one.recording), strict=True
        )
        if is_healthy
    ]
    areas = [
        metrics.auroc(
            one.scores[healthy(one.recording)], one.scores[one.recording.life > metrics.LAST_SPAN]
        )
        for one in watched
    ]
    return {"rebuild_rms": float(np.sqrt(np.mean(errors))), "auroc": float(np.mean(areas))}


def operating_point(seen: Sequence[Seen]) -> OperatingPoint:
    """Each part divided by the most that was ever seen of it while machines were healthy.

    Whether they were learned on 10, 15 or 20 % of their lives. Impulses never decide alone, so of
    them the most impulsive machine is left out: it alone would blunt them for all others.
    """
    most: dict[str, dict[str, float]] = {part: {} for part in PARTS}
    for one in seen:
        for part, value in healthy_parts(one).items():
            by_machine = most[part]
            name = f"{one.recording.dataset}/{one.recording.name}"
            by_machine[name] = max(by_machine.get(name, 0.0), value)
    ranked = {part: sorted(by_machine.values()) for part, by_machine in most.items()}
    scales = {
        part: max(values[-1 - min(_LEFT_OUT[part], len(values) - 1)] * _MARGIN, _FLOORS[part])
        for part, values in ranked.items()
    }
    point = OperatingPoint(1.0, _CLEAR, "", {}, scales)
    told = [metrics.replay(WORKLOAD, judge(WORKLOAD, one, point), point) for one in seen]
    rates = metrics.run_to_failure(told)
    return OperatingPoint(
        point.threshold,
        point.clear_threshold,
        chosen_on="healthy spans of " + ", ".join(sorted(most["level"])),
        measured={
            "found_share": rates["found"] / rates["bearings"],
            "median_first_alarm_fraction": rates["median_first_alarm_fraction"],
            "false_alarm_share_15_30": rates["false_alarm_share_15_30"],
            "share_with_false_alarm": rates["bearings_with_false_alarm"] / rates["bearings"],
        },
        scales=scales,
    )


def healthy_parts(one: Seen) -> dict[str, float]:
    """The most of each part while the machine was healthy, over all learning shares."""
    most = dict.fromkeys(PARTS, 0.0)
    unscaled = OperatingPoint(1.0, 1.0, "", {}, dict.fromkeys(PARTS, 1.0))
    is_early = one.recording.life <= (one.recording.onset or metrics.FALSE_SPAN[1])
    for share in LEARN_SHARES:
        count = int((one.recording.life <= share).sum())
        until_ns = int(share * one.t_ns[-1])
        shorter = replace(one.recording, learn_windows=max(count, 2), learn_until_ns=until_ns)
        again = replace(one, recording=shorter)
        profile = learn(WORKLOAD, again, unscaled)
        condition = Condition(profile)
        for i in range(again.recording.learn_windows, int(is_early.sum())):
            for t_ns, found in judged_moments(again, i):
                if judged := WORKLOAD.judge(found, profile):
                    condition.update(judged, t_ns)
                    most = {part: max(most[part], condition.parts[part]) for part in PARTS}
    return most


RECIPE = Recipe(
    sources=sources,
    stages={
        "spectrum": StageRecipe(
            data=healthy_starts,
            model=autoencoder,
            augment=augment,
            loss="mean_squared_error",
            epochs=80,
            batch=32,
            learning_rate=1e-2,
            calibration=whole_lives,
        )
    },
    metrics=measure,
    bigger_is_better={"rebuild_rms": False, "auroc": True},
    operating_point=operating_point,
)
