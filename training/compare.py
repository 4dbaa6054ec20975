"""All published methods on the same recordings, with one alarm rule: who is early, who is silent.

Every method learns from the healthy start of a recording and from nothing else. Its threshold comes
from there too, and not from rows it was fitted on, which look more familiar than any others ever
will: the learning rows are novel in turn, block by block, to a fit on the other blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

import numpy as np

from contract.ops import detectors
from contract.ops import features as ops
from contract.spec import Array, Detections, Floats, Stage, Window, Workload
from training import features, methods
from training.datasets import Recording
from training.metrics import LAST_SPAN, auroc, healthy_for_sure

HITS, OF = 3, 5  # windows: an alarm is on while this many of the last so many are beyond
BEYOND = 6.0  # median absolute deviations above the median of the learning period
BLOCKS = 5
SUSTAINED = 0.9  # share of the rest of the life that an alarm which lasts is on
_TIMED = 25  # windows


@dataclass(frozen=True)
class FeatureSet:
    """What a window is turned into before a method sees it.

    Attributes:
        name: short, for tables.
        title: what is in it.
        make: (window, ()) -> (1, d) float32, as the preprocess of a stage.
    """

    name: str
    title: str
    make: Callable[[Window, Detections], Floats]


def _published(window: Window, _found: Detections) -> Floats:
    return ops.published(window.data)[None]


def _ours(window: Window, _found: Detections) -> Floats:
    return ops.level_and_shape(window.data, rate_hz=window.rate_hz)[None]


FEATURES = (
    FeatureSet("published", "energies of 100 equal sub-bands", _published),
    FeatureSet("ours", "log bands, impulses, envelope spectrum, velocity", _ours),
)


@dataclass(frozen=True, eq=False)
class Told:
    """What one method said of one recording.

    Attributes:
        recording: what was watched.
        novelty: (windows,) float64; NaN where nothing was judged. While learning, the novelty to
            fits on other parts of the learning period.
        threshold: an alarm is made of novelties above it.
        is_raised: (windows,) bool, whether the alarm was on after each window.
        note: what too few rows made smaller than published; empty where nothing did.
    """

    recording: Recording
    novelty: Array
    threshold: float
    is_raised: Array
    note: str = ""

    @property
    def is_judged(self) -> Array:
        """(windows,) bool: past the learning period and not refused."""
        is_late = np.arange(len(self.novelty)) >= self.recording.learn_windows
        return is_late & np.isfinite(self.novelty)

    @property
    def first(self) -> float | None:
        """Fraction of life at the first alarm; None: never."""
        return float(self.recording.life[self.is_raised.argmax()]) if self.is_raised.any() else None

    @property
    def sustained(self) -> float | None:
        """Fraction of life from which on the alarm stayed on for 90 % of the rest; None: never."""
        left = np.arange(len(self.is_raised), 0, -1)
        lasts = self.is_raised & (np.cumsum(self.is_raised[::-1])[::-1] >= SUSTAINED * left)
        return float(self.recording.life[lasts.argmax()]) if lasts.any() else None


@dataclass(frozen=True, eq=False)
class Result:
    """One line of the comparison: a method on a feature set, over all recordings.

    Attributes:
        name: of the method.
        features: of the feature set.
        told: one per recording.
        window_us: median microseconds a window costs, features and detector.
        detector_us: of these the detector; None where they cannot be told apart.
    """

    name: str
    features: str
    told: tuple[Told, ...]
    window_us: float
    detector_us: float | None

    @cached_property
    def measured(self) -> dict[str, float | int | None]:
        """See `measure`."""
        return measure(self.told)

    def row(self) -> dict[str, str | float | int | None]:
        """All of it, fit for JSON."""
        return {
            "method": self.name,
            "features": self.features,
            **self.measured,
            "window_us": self.window_us,
            "detector_us": self.detector_us,
        }


def rows(workload: Workload, made: FeatureSet, recording: Recording) -> Floats:
    """(windows, d) float32 features of a whole recording, from the cache where it has them."""
    stage = Stage(made.name, made.make, lambda _window, found, _inputs, _outputs: found)
    only = replace(workload, name="compare", stages=(stage,))
    return features.rows(only, made.name, recording, windows=len(recording))


def tell(method: methods.Method, recording: Recording, seen: Floats, *, seed: int = 0) -> Told:
    """Fit on the healthy start, then judge window by window with what the device would run.

    Args:
        method: how.
        recording: what is watched.
        seen: (windows, d) its features; a row that is not finite is neither learned nor judged.
        seed: of the fit.

    Raises:
        ValueError: too few rows to learn from.
    """
    kept = np.flatnonzero(np.isfinite(seen).all(axis=1))
    learned = seen[kept[kept < recording.learn_windows]]
    arrays, note, apart = _learned(method, learned.tobytes(), learned.shape[1], seed)
    found = detectors.score(arrays, seen[kept])
    found[: len(learned)] = apart
    told = np.full(len(seen), np.nan)
    told[kept] = found
    threshold = threshold_of(found[: len(learned)])
    judged = kept[len(learned) :]
    is_raised = np.zeros(len(seen), dtype=bool)
    is_raised[judged] = debounced(told[judged] > threshold)
    return Told(recording, told, threshold, is_raised, note)


@lru_cache(maxsize=1)
def _learned(
    method: methods.Method, raw: bytes, columns: int, seed: int
) -> tuple[dict[str, Array], str, Array]:
    """Arrays and note of a fit, and `held_out`; kept, for lives may share their healthy start."""
    learned = np.frombuffer(raw, np.float32).reshape(-1, columns)
    model = methods.fit(method, learned, seed=seed)
    return model.to_arrays(), model.fitted.note, held_out(method, learned, seed=seed)


def held_out(method: methods.Method, learned: Floats, *, seed: int) -> Array:
    """(n,) novelty of each healthy row to a fit on the other blocks of them."""
    blocks = np.array_split(np.arange(len(learned)), BLOCKS)
    found = []
    for block in blocks:
        model = methods.fit(method, np.delete(learned, block, axis=0), seed=seed)
        found.append(detectors.score(model.to_arrays(), learned[block]))
    return np.concatenate(found)


def threshold_of(healthy: Array) -> float:
    """Median and six median absolute deviations of the novelties of healthy rows."""
    middle = float(np.median(healthy))
    return middle + BEYOND * float(np.median(np.abs(healthy - middle)))


def debounced(hits: Array) -> Array:
    """(windows,) bool: whether 3 of the last 5 windows were hits."""
    counted = np.convolve(hits.astype(int), np.ones(OF, dtype=int))[: len(hits)]
    return np.asarray(counted >= HITS)


def measure(told: Sequence[Told]) -> dict[str, float | int | None]:
    """What one method amounts to over the recordings of a data set.

    Args:
        told: one per recording, at least one.

    Returns:
        `recordings`; `found`, those with any alarm; medians over recordings of
        `first_alarm` (never: 1), `first_alarm_false_as_1` (a false start counts 1 too) and
        `sustained_alarm`; `false_share`, of the judged windows between 15 and 30 % of life those in
        alarm, and `false_recordings`, with any such; `contrast`, the median over recordings of the
        median novelty afterwards over the 99 % quantile before; `auc` and `pauc` (up to 10 % false
        alarms, 0.05 is guessing), means over the recordings whose onset is known, else None.
    """
    spans = [one.is_judged & healthy_for_sure(one.recording.life) for one in told]
    in_span = [one.is_raised[span] for one, span in zip(told, spans, strict=True)]
    first = [1.0 if one.first is None else one.first for one in told]
    lasting = [1.0 if one.sustained is None else one.sustained for one in told]
    honest = [1.0 if wrong.any() else at for at, wrong in zip(first, in_span, strict=True)]
    healthy = np.concatenate(in_span)
    contrasts, areas, partial = [], [], []
    for one in told:
        before, after = before_and_after(one)
        if before.size and after.size:
            # a novelty of exactly 0 before leaves no ratio to speak of
            contrasts.append(np.median(after) / max(np.quantile(before, 0.99), 1e-12))
            if one.recording.onset is not None:
                areas.append(auroc(before, after))
                partial.append(partial_auroc(before, after))
    return {
        "recordings": len(told),
        "found": sum(one.first is not None for one in told),
        "first_alarm": float(np.median(first)),
        "first_alarm_false_as_1": float(np.median(honest)),
        "sustained_alarm": float(np.median(lasting)),
        "false_share": float(healthy.mean()) if healthy.size else 0.0,
        "false_recordings": sum(bool(one.any()) for one in in_span),
        "contrast": float(np.median(contrasts)) if contrasts else None,
        "auc": float(np.mean(areas)) if areas else None,
        "pauc": float(np.mean(partial)) if partial else None,
    }


def before_and_after(told: Told) -> tuple[Array, Array]:
    """Novelties of judged windows before and after the onset of the fault.

    Where the onset is not known: between 15 and 30 % of life, and in the last 5 %.
    """
    recording = told.recording
    if recording.onset is None:
        before, after = healthy_for_sure(recording.life), recording.life > LAST_SPAN
    else:
        after = recording.life >= recording.onset
        before = ~after
    return told.novelty[told.is_judged & before], told.novelty[told.is_judged & after]


def partial_auroc(negative: Array, positive: Array, *, up_to: float = 0.1) -> float:
    """Mean hit rate over false-alarm rates from 0 to `up_to`.

    Args:
        negative: (n,) scores, not empty.
        positive: (m,) scores, not empty.
        up_to: highest false-alarm rate.

    Returns:
        0 to 1; `up_to / 2` is guessing.
    """
    highest = np.sort(negative)[::-1]
    # the curve has a step of 1 / n for each negative, from the highest one down
    edges = np.minimum(np.arange(len(highest) + 1) / len(highest), up_to)
    hit = (positive[:, None] > highest).mean(axis=0) + 0.5 * (positive[:, None] == highest).mean(
        axis=0
    )
    return float((np.diff(edges) * hit).sum() / up_to)


def features_us(made: FeatureSet, recording: Recording) -> float:
    """Median microseconds for the features of one window."""
    windows = [recording.window(i) for i in range(min(_TIMED, len(recording)))]
    return _median_us([partial(made.make, window, ()) for window in windows])


def detector_us(method: methods.Method, learned: Floats) -> float:
    """Median microseconds for the novelty of one row, as the device would run it."""
    arrays = methods.fit(method, learned).to_arrays()
    return _median_us([partial(detectors.score, arrays, row[None]) for row in learned[:_TIMED]])


def _median_us(calls: Sequence[Callable[[], object]]) -> float:
    """Median of one call of each, after a first one that warms the caches."""
    calls[0]()
    times = []
    for call in calls:
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1e3
