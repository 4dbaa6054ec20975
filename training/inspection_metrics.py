"""How well defective parts are told from good ones, in figures that hide no miss.

An area under a curve near 1 hides misses, so what the shipped decision does is always told too:
which defects it passes, which good parts it rejects, and what it sends to a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.inspection import PASS, REJECT, REVIEW, Part
from contract.spec import Array, Floats
from training.datasets import DataError
from training.parts import DEFECT, DOUBTFUL, GOOD, Item, Shown, items
from training.protocols import Measured, Row

if TYPE_CHECKING:
    from training.protocols import Bench
    from training.watch import Watched

_FALSE_REJECTS = 0.05  # that a line may bear
_NEAR = 2 / 255  # of what scores span: two steps of int8
_AUPRO_UP_TO = 0.3  # false positive rate, as Bergmann et al. have it
_NEAR_PX = 8  # a peak so far from the drawn defect still points at it: masks are drawn by hand


@dataclass(frozen=True, eq=False)
class Decided:
    """One picture, what is known of it and what was decided.

    Attributes:
        shown: what is known.
        part: what was decided.
        mask: (height, width) bool, where the defect is; None: not drawn.
    """

    shown: Shown
    part: Part
    mask: Array | None


def measure(of: Sequence[Item], bench: Bench) -> Measured:
    """Every part through the bundle.

    Returns:
        What `figures` gives, and a row for the good parts and each kind of defect.

    Raises:
        DataError: nothing was decided: the bundle is of another workload.
    """
    seen = bench.each(of, lambda one: one.name)
    every = [one for item in seen for one in decided(item, bench.watch(item))]
    if not every:
        raise DataError(
            f"{bench.workload.name} has decided of no part; fix: a bundle of inspection"
        )
    return Measured(figures(every), tuple(_rows(every)))


def of_watched(watched: Sequence[Watched]) -> list[Decided]:
    """What was decided of every picture of watched items."""
    pairs = zip(items([one.recording for one in watched]), watched, strict=True)
    return [one for item, seen in pairs for one in decided(item, seen)]


def decided(item: Item, watched: Watched) -> Iterator[Decided]:
    """What was decided of the pictures of one item; those the workload refuses are left out."""
    for i, found in enumerate(watched.found):
        for one in found:
            if isinstance(one, Part):
                yield Decided(item.shown[i], one, item.mask(i))


def figures(every: Sequence[Decided]) -> dict[str, float]:
    """All metrics of pictures, doubtful ones left out unless a metric says otherwise.

    Returns:
        `auroc`, `ap`, `recall_at_5` (defects found where 5 % of good parts are rejected) and
        `too_close` (pairs of a defect and a good part that int8 ranks by chance) of the scores; of
        the decisions `recall` (defects not passed), `false_reject_rate` (good parts rejected),
        `decided_share` (of all pictures, doubtful ones too, not sent to a person),
        `error_on_decided` (defects passed and good parts rejected), `miss_bound` (95 % upper bound
        of the share of defects that would be passed, exact); where defects are drawn `aupro` and
        `pointing` (the heat map's peak lies on one); `files`, `good`, `defects`.
    """
    known = [one for one in every if one.shown.label != DOUBTFUL]
    is_defect = np.array([one.shown.label == DEFECT for one in known], bool)
    scores = np.array([one.part.score for one in known])
    outcome = np.array([one.part.label for one in known], dtype=object)
    found = {
        "files": float(len(every)),
        "good": float((~is_defect).sum()),
        "defects": float(is_defect.sum()),
        "false_reject_rate": _share(outcome[~is_defect] == REJECT),
        "decided_share": _share([one.part.label != REVIEW for one in every]),
    }
    if is_defect.any():
        missed = outcome[is_defect] == PASS
        wrong = np.where(is_defect, outcome == PASS, outcome == REJECT)[outcome != REVIEW]
        found |= {
            "recall": 1.0 - _share(missed),
            "error_on_decided": _share(wrong),
            "miss_bound": miss_bound(int(missed.sum()), len(missed)),
        }
    if is_defect.any() and not is_defect.all():
        found |= {
            "auroc": auroc(is_defect, scores),
            "ap": average_precision(is_defect, scores),
            "recall_at_5": recall_at(is_defect, scores, _FALSE_REJECTS),
            "too_close": too_close(is_defect, scores),
        }
    return found | _places(every)


def auroc(is_defect: Array, scores: Array) -> float:
    """Probability that a defect scores higher than a good part; ties count half."""
    good = np.sort(scores[~is_defect])
    below = np.searchsorted(good, scores[is_defect], "left")
    equal = np.searchsorted(good, scores[is_defect], "right") - below
    return float(np.mean(below + equal / 2) / len(good))


def too_close(is_defect: Array, scores: Array) -> float:
    """Share of the pairs of a defect and a good part that lie within two steps of int8.

    Steps of an int8 that spans the scores but for the lowest tenth of the good parts and the
    highest of the defects. That of the heat map spans more, so which of the two is ranked higher is
    chance, and was before: between such scores a network has not decided.
    """
    good, of_defects = np.sort(scores[~is_defect]), scores[is_defect]
    near = _NEAR * max(float(np.quantile(of_defects, 0.9) - np.quantile(good, 0.1)), 0.0)
    above = np.searchsorted(good, of_defects + near, "right")
    below = np.searchsorted(good, of_defects - near, "left")
    return float(np.mean(above - below) / len(good))


def average_precision(is_defect: Array, scores: Array) -> float:
    """Mean precision over the defects, ranked by score."""
    ranked = is_defect[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())


def recall_at(is_defect: Array, scores: Array, false_rejects: float) -> float:
    """Share of defects found where no more than that share of good parts is rejected."""
    good = np.sort(scores[~is_defect])[::-1]
    allowed = int(np.floor(false_rejects * len(good)))
    return _share(scores[is_defect] > good[min(allowed, len(good) - 1)])


def miss_bound(missed: int, defects: int) -> float:
    """95 % upper bound of the share of defects that are passed (Clopper and Pearson, 1934).

    Without a miss in n defects about 3 / n.
    """
    from scipy.stats import beta

    return float(beta.ppf(0.95, missed + 1, defects - missed)) if missed < defects else 1.0


def suspects(every: Sequence[Decided]) -> list[Decided]:
    """Pictures whose label is most likely wrong, the likeliest first.

    Confident learning (Northcutt, Jiang, Chuang, J. Artificial Intelligence Research 70, 2021): a
    picture that scores as the mean picture of the other label does, or beyond, was probably given
    the wrong one. The pictures must not have been learned from.
    """
    of = {
        label: [one.part.score for one in every if one.shown.label == label]
        for label in (GOOD, DEFECT)
    }
    if not (of[GOOD] and of[DEFECT]):
        return []
    mean = {label: float(np.mean(scores)) for label, scores in of.items()}
    span = max(mean[DEFECT] - mean[GOOD], 1e-9)
    beyond = [
        ((one.part.score - mean[DEFECT]) / span, one)
        for one in every
        if one.shown.label == GOOD and one.part.score >= mean[DEFECT]
    ]
    beyond += [
        ((mean[GOOD] - one.part.score) / span, one)
        for one in every
        if one.shown.label == DEFECT and one.part.score <= mean[GOOD]
    ]
    return [one for _, one in sorted(beyond, key=lambda pair: -pair[0])]


def enlarged(heat: Floats, height: int, width: int) -> Floats:
    """(height, width) float32: a heat map as large as its picture."""
    import cv2

    return np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _places(every: Iterable[Decided]) -> dict[str, float]:
    """How well heat maps show where the defect is."""
    import cv2

    drawn = [one for one in every if one.mask is not None and one.part.heat is not None]
    if not drawn:
        return {}
    hits, inside, outside = [], [], []
    for one in drawn:
        assert one.mask is not None and one.part.heat is not None  # noqa: PT018 - as filtered above
        heat = enlarged(one.part.heat, *one.mask.shape)
        near = cv2.dilate(one.mask.astype(np.uint8), np.ones((2 * _NEAR_PX + 1,) * 2, np.uint8))
        hits.append(bool(near.flat[int(heat.argmax())]))
        count, regions = cv2.connectedComponents(one.mask.astype(np.uint8))
        inside += [np.sort(heat[regions == number]) for number in range(1, count)]
        outside.append(heat[~one.mask])
    outside += [
        one.part.heat.ravel()
        for one in every
        if one.shown.label == GOOD and one.part.heat is not None
    ]
    return {"pointing": _share(hits), "aupro": aupro(inside, np.concatenate(outside))}


def aupro(inside: Sequence[Array], outside: Array) -> float:
    """Area under the per-region overlap up to a false positive rate of 0.3, from 0 to 1.

    Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.

    Args:
        inside: scores of the pixels of each drawn region, sorted.
        outside: scores of all other pixels.
    """
    rates = np.linspace(0.0, _AUPRO_UP_TO, 301)
    thresholds = np.quantile(outside, 1.0 - rates)
    overlap = np.mean(
        [1.0 - np.searchsorted(one, thresholds, "left") / len(one) for one in inside], axis=0
    )
    return float(np.trapezoid(overlap, rates) / _AUPRO_UP_TO)


def _rows(every: Sequence[Decided]) -> Iterator[Row]:
    """The decisions on good parts, doubtful ones and each kind of defect."""
    kinds = dict.fromkeys(
        [(one.shown.label, one.shown.kind) for one in every if one.shown.label != DEFECT]
        + sorted((one.shown.label, one.shown.kind) for one in every if one.shown.label == DEFECT)
    )
    for label, kind in kinds:
        of_kind = [one.part for one in every if (one.shown.label, one.shown.kind) == (label, kind)]
        yield {
            "name": kind or label,
            "pictures": float(len(of_kind)),
            "passed": float(sum(one.label == PASS for one in of_kind)),
            "to_a_person": float(sum(one.label == REVIEW for one in of_kind)),
            "rejected": float(sum(one.label == REJECT for one in of_kind)),
            "median_score": float(np.median([one.score for one in of_kind])),
        }


def _share(claims: Array | Sequence[bool]) -> float:
    """How many of them are true; 0 where there are none."""
    return float(np.mean(claims)) if len(claims) else 0.0
