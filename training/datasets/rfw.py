"""Racial Faces in the Wild (RFW): does verification work equally well for everybody?

Wang, Deng, Hu, Tao, Huang, "Racial Faces in the Wild: Reducing Racial Bias by Information
Maximization Adaptation Network", ICCV 2019; to be had from its authors on request. Read from
`data/RACE/ID/ID_NNNN.jpg` (or `images/` in the place of `data/`) and
`txts/RACE/RACE_pairs.txt`, RACE being African, Asian, Caucasian, Indian; a line is
`ID NUMBER NUMBER`, two pictures of one person, or `ID NUMBER ID NUMBER`, of two.

Protocol: per race ten folds, tenths of the table in its order; the threshold that is best on nine
is scored on the tenth; mean and standard deviation. Pooled, the same over all pairs, a tenth of
every race to a fold, so under one threshold for all races. Beside it, which the publication
lacks: each race's FMR and FNMR at the shipped threshold and at one global one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from contract.spec import Array
from training import face_groups, face_pairs, face_protocols, people
from training.datasets import DataError, DataSet
from training.people import Person
from training.protocols import Bench, Measured
from training.verification import FOLDS, spread, ten_fold

NAME = "rfw"
RACES = ("African", "Asian", "Caucasian", "Indian")
LICENCE = "for research alone, not to be passed on; Wang, Deng, Hu, Tao, Huang, ICCV 2019"
_FOLDERS = ("data", "images")

_Shot = tuple[str, str, int]  # race, ID, number of the picture


@dataclass(frozen=True, eq=False)
class Folded:
    """The pairs of all tables.

    Attributes:
        pairs: (n, 2) int, numbers of the pictures, counted through over everybody.
        race: (n,) int, number of the race whose table each is from.
        fold: (n,) int, 0 to 9.
    """

    pairs: Array
    race: Array
    fold: Array


def _table(folder: Path, race: str) -> Path:
    return folder / "txts" / race / f"{race}_pairs.txt"


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return all(_table(folder, race).is_file() for race in RACES)


def open_folder(folder: Path) -> DataSet:
    """Everybody who is in a pair, named RACE/ID, with the pictures that are.

    Raises:
        DataError: a table is missing or damaged, or a picture it names is missing.
    """
    tables = [_read(_table(folder, race), race) for race in RACES]
    shots = sorted({shot for table in tables for pair in table for shot in pair})
    number = {shot: i for i, shot in enumerate(shots)}
    folded = Folded(
        np.array([(number[a], number[b]) for table in tables for a, b in table]),
        np.repeat(np.arange(len(RACES)), [len(table) for table in tables]),
        np.concatenate([np.arange(len(table)) * FOLDS // len(table) for table in tables]),
    )
    root = next((name for name in _FOLDERS if (folder / name).is_dir()), _FOLDERS[0])
    by_person = defaultdict(list)
    for race, name, picture in shots:
        file = f"{root}/{race}/{name}/{name}_{picture:04d}.jpg"
        by_person[race, name].append({"file": file, "race": race})
    everybody = [
        people.person(folder, NAME, f"{race}/{name}", labels)
        for (race, name), labels in by_person.items()
    ]
    return people.dataset(NAME, everybody, LICENCE, partial(measure, everybody, folded))


def _read(file: Path, race: str) -> list[tuple[_Shot, _Shot]]:
    """The pairs of a table in its order."""
    try:
        lines = [words for line in file.read_text("utf-8").splitlines() if (words := line.split())]
        pairs = [_pair(race, words) for words in lines]
        kinds = {first[1] == second[1] for first, second in pairs}
        if len(pairs) < FOLDS or len(kinds) < 2:
            raise ValueError(f"{len(pairs)} pairs of {len(kinds)} kinds")
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    return pairs


def _pair(race: str, words: Sequence[str]) -> tuple[_Shot, _Shot]:
    if len(words) == 3:
        name, first, second = words
        return (race, name, int(first)), (race, name, int(second))
    if len(words) == 4:
        name, first, other, second = words
        return (race, name, int(first)), (race, other, int(second))
    raise ValueError(f"{' '.join(words)!r} is no pair")


def measure(everybody: Sequence[Person], folded: Folded, bench: Bench) -> Measured:
    """The published protocol, and error rates by race at one threshold.

    Returns:
        For each race: `accuracy_RACE` and its standard deviation over folds
        `accuracy_RACE_fold_sd`. `accuracy_pooled` over all pairs under one threshold, and
        `accuracy_pooled_fold_sd`; over the races' accuracies, `accuracy_mean`, `accuracy_sd`,
        `accuracy_gap` and `accuracy_ser`. What `verification`, `differences` and `counts` give; a
        row for each race, as of `face_groups.table`.
    """
    met = face_protocols.meet(bench, everybody)
    threshold = bench.point(everybody[0].recording).threshold
    compared = face_pairs.compare(met, folded.pairs)
    metrics: dict[str, float] = {}
    accuracies = []
    for number, race in enumerate(RACES):
        of_race = folded.race == number
        some = compared.only(of_race)
        right = ten_fold(some.scores, some.is_same, folded.fold[of_race])
        accuracies.append(float(right.mean()))
        metrics[f"accuracy_{race.lower()}"] = accuracies[-1]
        metrics[f"accuracy_{race.lower()}_fold_sd"] = float(right.std())
    right = ten_fold(compared.scores, compared.is_same, folded.fold)
    of_races = spread(accuracies)
    metrics |= {
        "accuracy_pooled": float(right.mean()),
        "accuracy_pooled_fold_sd": float(right.std()),
        "accuracy_mean": float(np.mean(accuracies)),
        "accuracy_sd": of_races.sd,
        "accuracy_gap": of_races.gap,
    }
    if of_races.ser is not None:
        metrics["accuracy_ser"] = of_races.ser
    groups = [one.labels[0]["race"] for one in everybody]
    metrics |= face_pairs.verification(compared, threshold)
    metrics |= face_groups.differences(compared, groups)
    metrics |= face_protocols.counts(met)
    return Measured(metrics, face_groups.table(compared, groups, threshold))
