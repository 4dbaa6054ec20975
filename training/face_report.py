"""What a report says of a network that tells people apart. No faces: it is read by many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training import figures, identities
from training.report import Section
from training.run import Run
from training.verification import cosines
from training.watch import Watched

_WORST = 8  # pairs


def sections(run: Run, watched: Sequence[Watched]) -> list[Section]:
    """Cosines of pairs, and the pairs it is most wrong about.

    Args:
        run: finished.
        watched: people kept apart from training.
    """
    assert run.operating_point is not None
    vectors, persons, sets = identities.vectors_of(watched)
    genuine, impostor = identities.compared(vectors, persons, sets)
    return [
        Section(
            "pairs",
            "One person against two",
            "Cosine of every two pictures of the same data set, of people of validation and test. "
            "The less the two overlap, the better; a hundred people to learn from are far too few.",
            rows=[
                (name, f"{value:.4g}")
                for name, value in run.metrics["test"].items()
                if name.startswith("eer_")
            ],
            figures=[figures.pairs(genuine, impostor, run.operating_point)],
        ),
        Section(
            "mistakes",
            "Worst mistakes",
            "The pictures that look most alike and show two persons, and those of one person that "
            "look least alike.",
            rows=_worst(watched, vectors, persons, sets),
        ),
    ]


def _worst(
    watched: Sequence[Watched], vectors: np.ndarray, persons: np.ndarray, sets: np.ndarray
) -> list[tuple[str, str]]:
    names = [
        f"{one.recording.dataset} {one.recording.name}, picture {i + 1}"
        for one in watched
        for i, found in enumerate(one.seen.found)
        if found
    ]
    first, second = np.triu_indices(len(vectors), k=1)
    scores = cosines(vectors, vectors)[first, second]
    is_same = persons[first] == persons[second]
    is_other = ~is_same & (sets[first] == sets[second])
    alike = np.argsort(np.where(is_other, -scores, np.inf))[: min(_WORST, is_other.sum())]
    unlike = np.argsort(np.where(is_same, scores, np.inf))[: min(_WORST, is_same.sum())]
    return [
        (f"{what}, cosine {scores[pair]:.3f}", f"{names[first[pair]]}; {names[second[pair]]}")
        for what, pairs in (("two persons", alike), ("one person", unlike))
        for pair in pairs
    ]
