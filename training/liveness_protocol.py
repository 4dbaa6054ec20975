"""How well living faces are told from pictures of faces, in the terms of ISO/IEC 30107-3.

APCER: share of the attacks of a kind that are taken for living; of several kinds the worst counts.
BPCER: share of the living that are taken for attacks. ACER: their mean. An attack in which no face
is found is none (a presentation attack non-response); it is counted, and left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from contract.fold import Model
from contract.spec import Array, Detections, Floats, Window, Workload
from contract.visits import LIVE
from training import liveness
from training.datasets import Recording
from training.datasets.synthetic.replays import KINDS
from training.face_protocols import largest
from training.liveness import FRAMES, LABELS, LIVING, Looks, Portrait
from training.protocols import Bench
from training.splits import split
from training.watch import Seen

STAGE = "live"
_VISIT = 5  # frames
_PICTURES = 5  # of a person, as they are
_PEOPLE = 10  # of a data set: each takes seconds
Quantize = Callable[[Any, Floats], Model]


@dataclass(frozen=True)
class Fold:
    """One of several trainings, each of which something was kept from.

    Attributes:
        left_out: what: a kind of attack, or a data set.
        least_live: chosen on validation persons.
        frame: rates by name over single frames.
        visit: over the means of visits.
    """

    left_out: str
    least_live: float
    frame: dict[str, float]
    visit: dict[str, float]


def rates(labels: Array, scores: Array, least: float) -> dict[str, float]:
    """`bpcer` where there are living, `apcer_KIND` of each kind there is, `apcer`, and `acer`.

    Args:
        labels: (n,) of `LABELS`.
        scores: (n,) 1.0: living.
        least: a score at or above it is taken for living.
    """
    found = {}
    for kind in KINDS:
        if len(of_kind := scores[labels == kind]):
            found[f"apcer_{kind}"] = float((of_kind >= least).mean())
    if found:
        found["apcer"] = max(found.values())
    if len(of_living := scores[labels == LIVING]):
        found["bpcer"] = float((of_living < least).mean())
    if {"apcer", "bpcer"} <= set(found):
        found["acer"] = (found["apcer"] + found["bpcer"]) / 2
    return found


def leave_one_out(
    shown: Sequence[Portrait],
    *,
    by: str,
    quantize: Quantize,
    seed: int,
    epochs: int,
    told: Callable[[str], None] = lambda _text: None,
) -> list[Fold]:
    """Train without each kind of attack or each data set, and judge just that.

    Persons are split in three: trained on, chosen the threshold on, judged. Of a data set that is
    left out all persons are judged, of whom nothing like was ever seen.

    Args:
        shown: of all data sets.
        by: `attack` or `dataset`.
        quantize: model, rows to calibrate with -> what the device's engine makes of it.
        seed: of everything.
        epochs: of each training.
        told: what is being done.
    """
    told("simulating")
    of_split = _splits(shown, seed)
    learned = liveness.examples([one for one in shown if of_split[one.person] != "test"], seed=seed)
    is_training = np.array([of_split[person] == "training" for person in learned.persons])
    chosen_on, judged_on = (
        [one for one in shown if of_split[one.person] == which] for which in ("validation", "test")
    )
    if by == "dataset":
        judged_on = _few(shown)
    living = _living(chosen_on, seed)
    judged = liveness.visits(judged_on, seed=seed + 2, frames=_VISIT)
    folds = []
    for left_out in KINDS if by == "attack" else sorted({one.dataset for one in shown}):
        told(f"without {left_out}")
        kept, others = (_without(looks, left_out, by=by) for looks in (learned, living))
        model = liveness.train(
            learned.only(kept & is_training),
            learned.only(kept & ~is_training),
            seed=seed,
            epochs=epochs,
        )
        run = quantize(model, liveness.calibration(learned.only(kept & is_training)))
        least = _threshold(run, living.only(others))
        folds.append(_judged(left_out, by, run, least, judged))
        told(f"without {left_out}: {folds[-1].frame} {folds[-1].visit}")
    return folds


def worst(folds: Sequence[Fold]) -> dict[str, float]:
    """Over all folds, the mean and the worst of each rate, of frames and of visits."""
    found = {}
    for of_what in ("frame", "visit"):
        parts = [getattr(fold, of_what) for fold in folds]
        for rate in ("apcer", "bpcer", "acer"):
            if values := [part[rate] for part in parts if rate in part]:
                found[f"{rate}_{of_what}_max"] = max(values)
                found[f"{rate}_{of_what}_mean"] = float(np.mean(values))
    return found


def apart(shown: Sequence[Portrait], seed: int) -> set[str]:
    """The persons whom a shipped model is not trained on: a fifth of each data set."""
    return {person for person, which in _splits(shown, seed).items() if which == "validation"}


def chosen(run: Model, shown: Sequence[Portrait], *, seed: int) -> float:
    """The threshold for a model, as the device's engine runs it, on persons never trained on.

    It holds for the living as simulated cameras see them, and for their pictures as they are: a
    name denied to somebody who is there is worse than a picture taken for living.
    """
    return min(_threshold(run, living) for living in (_living(shown, seed), liveness.as_is(shown)))


def measure(bench: Bench, recordings: Sequence[Recording], *, seed: int = 0) -> dict[str, float]:
    """A bundle with a stage for liveness, on people and on replays of their pictures.

    Everything goes through all stages: the face of a replay must be found, too. The living are
    judged as the data set has them, and as the cameras see them that see the replays; the worse of
    both is `bpcer`.

    Args:
        bench: a bundle on it; nothing is measured of one without that stage.
        recordings: a person each; of many, 10 spread over them are looked at.
        seed: of the replays.

    Returns:
        `bpcer`, `apcer` with each `apcer_KIND`, `acer`, over frames; the same with `_visit`, over
        visits of five frames; `bpcer_as_is`, `bpcer_taken`: of which the worse is `bpcer`;
        `attacks` and `attacks_without_face`; `least_live`.
    """
    if not any(stage.name == STAGE for stage in bench.workload.stages):
        return {}
    as_is: list[float] = []
    labels: list[str] = []
    by_frame: list[list[float]] = []
    least = 0.5
    some = np.unique(np.linspace(0, len(recordings) - 1, min(_PEOPLE, len(recordings))).astype(int))
    people = [recordings[i] for i in some]
    for recording in bench.each(people, lambda one: f"{one.name}, replays"):
        point = bench.point(recording)
        least = point.scales.get("least_live", least)
        few = _first(recording, _PICTURES)
        seen = bench.see(few)
        as_is += [score for found in seen.found if (score := live_score(found)) is not None]
        for label, windows in _presented(liveness.portraits([seen]), recording, seed=seed):
            again = bench.see(_of(recording, windows))
            scores = [score for found in again.found if (score := live_score(found)) is not None]
            labels.append(label)
            by_frame.append(scores)
    return _metrics(np.array(as_is), labels, by_frame, least)


def live_score(found: Detections) -> float | None:
    """Of the largest face; None where none was found."""
    number = largest(found)
    if number is None:
        return None
    box = found[number].box
    return next((one.score for one in found if one.label == LIVE and one.box == box), None)


def only_finding(workload: Workload) -> Workload:
    """The same without what comes after faces are found: enough to make portraits."""
    stages = workload.stages
    end = next(i for i, stage in enumerate(stages) if stage.name == "place")
    return replace(workload, stages=stages[: end + 1])


def _metrics(
    as_is: Array, labels: list[str], by_frame: list[list[float]], least: float
) -> dict[str, float]:
    frames = np.concatenate([np.empty(0), *(np.array(scores) for scores in by_frame)])
    of_frames = np.repeat(np.array(labels, dtype=object), [len(scores) for scores in by_frame])
    seen = [(label, np.mean(one)) for label, one in zip(labels, by_frame, strict=True) if one]
    of_visits = rates(
        np.array([label for label, _ in seen]), np.array([mean for _, mean in seen]), least
    )
    found = rates(of_frames, frames, least)
    if len(as_is) and "acer" in found:
        found |= {"bpcer_taken": found["bpcer"], "bpcer_as_is": float((as_is < least).mean())}
        found["bpcer"] = max(found["bpcer_taken"], found["bpcer_as_is"])
        found["acer"] = (found["apcer"] + found["bpcer"]) / 2
    attacks = [len(one) for label, one in zip(labels, by_frame, strict=True) if label != LIVING]
    return {
        **found,
        **{f"{name}_visit": value for name, value in of_visits.items()},
        "attacks": float(_VISIT * len(attacks)),
        "attacks_without_face": float(_VISIT * len(attacks) - sum(attacks)),
        "least_live": least,
    }


def _presented(
    own: Sequence[Portrait], recording: Recording, *, seed: int
) -> list[tuple[str, list[Array]]]:
    """A person before a camera, then each kind of attack before one; pictures of each."""
    if not own:
        return []
    digest = hashlib.sha256(f"{seed}/{recording.dataset}/{recording.name}".encode()).digest()
    setups = np.random.default_rng(list(digest)).integers(2**31, size=len(LABELS)).tolist()
    made = []
    for label, setup in zip(LABELS, setups, strict=True):
        frames = [
            liveness.taken(
                own[(setup + moment * (label == LIVING)) % len(own)],
                label,
                setup=setup,
                moment=moment,
            ).picture
            for moment in range(_VISIT)
        ]
        made.append((label, frames))
    return made


def _first(recording: Recording, most: int) -> Recording:
    return replace(recording, life=recording.life[:most])


def _of(recording: Recording, pictures: Sequence[Array]) -> Recording:
    """The same person on other pictures."""
    life = np.linspace(1 / len(pictures), 1, len(pictures), dtype=np.float32)
    return Recording(
        recording.name,
        recording.dataset,
        life,
        0,
        None,
        "",
        lambda i: Window("replay", i, i * 10**9, 0, pictures[i], 0.0),
    )


def _splits(shown: Sequence[Portrait], seed: int) -> dict[str, str]:
    """Where each person is, every data set dealt out by itself."""
    found: dict[str, str] = {}
    for dataset in {one.dataset for one in shown}:
        names = [one.person for one in shown if one.dataset == dataset]
        for which, persons in split(names, seed=seed).items():
            found |= dict.fromkeys(persons, which)
    return found


def _few(shown: Sequence[Portrait], most: int = 12) -> list[Portrait]:
    """Of each data set some persons, or a whole set would take as long as all trainings."""
    kept = []
    for dataset in sorted({one.dataset for one in shown}):
        names = sorted({one.person for one in shown if one.dataset == dataset})
        kept += names[:: max(len(names) // most, 1)][:most]
    return [one for one in shown if one.person in kept]


def _without(looks: Looks, left_out: str, *, by: str) -> Array:
    of_which = looks.labels if by == "attack" else looks.datasets
    kept: Array = of_which != left_out
    return kept


def _living(shown: Sequence[Portrait], seed: int) -> Looks:
    """Short visits of living people to choose a threshold on."""
    return liveness.visits(shown, seed=seed + 1, frames=FRAMES, labels=[LIVING], of_each=10)


def _threshold(run: Model, living: Looks) -> float:
    return liveness.least_live(liveness.means(living, liveness.scores(run, living))[1])


def _judged(left_out: str, by: str, run: Model, least: float, judged: Looks) -> Fold:
    """On attacks of that kind and on the living; or on all of that data set."""
    is_meant = judged.datasets == left_out
    if by == "attack":
        is_meant = (judged.labels == left_out) | judged.living
    looks = judged.only(is_meant)
    scores = liveness.scores(run, looks)
    firsts, of_visits = liveness.means(looks, scores)
    return Fold(
        left_out,
        least,
        rates(looks.labels, scores, least),
        rates(firsts.labels, of_visits, least),
    )


def seen_by(see: Callable[[Recording], Seen], recordings: Sequence[Recording]) -> list[Portrait]:
    """Portraits of everybody."""
    return liveness.portraits([see(one) for one in recordings])
