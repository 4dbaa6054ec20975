"""What all ways to train the stage `embed` of `faces` share: people, and how they are told apart.

Data: every folder of people below `--data`, or that folder itself; of the shared sets those that
the published embedding is calibrated on, so that `faces_london_groups` shows what a network does
with people of another set. Split by person.

Command: vedette train faces --method mobilefacenet-arcface --data DIR

Each file in this folder defines `METHODS`. All of them need many people: with the hundred or so of
the shared sets none comes near the published embedding (docs/training.md has figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contract.spec import OperatingPoint
from training import datasets, face_chips, face_report, identities
from training.datasets import DataError, DataSet
from training.recipes import Recipe
from training.verification import eer, match_rate, tar_at_fmr, threshold_at
from training.watch import Seen, Watched
from training.weights import faces as published

_FMR = 1e-2
_FEWEST = 10  # people with two pictures: two of them to validate with, and two to test


def pictures(root: Path) -> tuple[DataSet, ...]:
    """Pictures of everybody to learn from.

    Raises:
        DataError: nobody is there, or too few people.
    """
    if any((root / name).is_dir() for name in published.CHOSEN_ON):
        found = published.sources(root)
    else:
        found = (datasets.open_folder(root),)
    for dataset in found:
        several = sum(len(one) > 1 for one in dataset.recordings)
        if several < _FEWEST or dataset.recordings[0].window(0).data.ndim != 3:
            raise DataError(
                f"{root}: {dataset.name} has {several} people with two pictures, at least {_FEWEST}"
                " are needed; fix: --data with a folder for each person"
            )
    return found


def sources(root: Path, _seed: int) -> tuple[DataSet, ...]:
    """The same people's chips.

    Raises:
        DataError: as `pictures`.
    """
    return tuple(face_chips.dataset(one) for one in pictures(root))


def measure(watched: Sequence[Watched]) -> dict[str, float]:
    """Verification, each picture against every other of its data set.

    Returns:
        `eer`, `tar_at_fmr_1e2`, `genuine_pairs`, `impostor_pairs`, `persons`, `faces`; and
        `eer_SET` of each data set by itself.
    """
    vectors, persons, sets = identities.vectors_of(watched)
    genuine, impostor = identities.compared(vectors, persons, sets)
    found = {
        "eer": eer(genuine, impostor),
        "tar_at_fmr_1e2": tar_at_fmr(genuine, impostor, _FMR),
        "genuine_pairs": float(len(genuine)),
        "impostor_pairs": float(len(impostor)),
        "persons": float(len(watched)),
        "faces": float(len(vectors)),
    }
    for name in dict.fromkeys(one.recording.dataset for one in watched):
        of_set = [one for one in watched if one.recording.dataset == name]
        with suppress(DataError):  # too few people of this set
            found[f"eer_{name}"] = eer(*identities.compared(*identities.vectors_of(of_set)))
    return found


def operating_point(seen: Sequence[Seen]) -> OperatingPoint:
    """The cosine at which one pair of two persons in a hundred would match.

    For the report alone: `vedette export` chooses a device's, as for the published embedding, and
    refuses a network that strangers look too much alike to.
    """
    watched = [Watched(one, one.found) for one in seen]
    genuine, impostor = identities.compared(*identities.vectors_of(watched))
    threshold = threshold_at(impostor, _FMR)
    return OperatingPoint(
        threshold,
        threshold,
        chosen_on=f"{len(seen)} people not kept for the test",
        measured={"fmr": match_rate(impostor, threshold), "tar": match_rate(genuine, threshold)},
    )


RECIPE = Recipe(
    sources=sources,
    stages={},
    metrics=measure,
    bigger_is_better={"eer": False, "tar_at_fmr_1e2": True},
    operating_point=operating_point,
    group="person",
    workload=face_chips.WORKLOAD,
    prepare=lambda person: person.window(0),
    sections=face_report.sections,
)
