"""Extended Yale B, cropped: faces under a light from 64 directions.

Georghiades, Belhumeur, Kriegman, IEEE PAMI 23(6), 2001; Lee, Ho, Kriegman, IEEE PAMI 27(5), 2005.
Read from `labels.csv` with columns `file`, `subject`, `light_subset` (1 to 5: up to 12.5, 27, 52,
78 and more degrees between light and camera) and `role` (`enrol` or `probe`).

Protocol: everybody enrolled from the pictures so marked, those lit from the front; the others,
through the detector, name who is most alike, each subset by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from training import face_protocols, people
from training import face_search as faces
from training.datasets import DataSet
from training.people import Label, Person
from training.protocols import Bench, Measured

NAME = "faces_yaleb_light"
COLUMNS = ("light_subset", "role")
LICENCE = (
    "no licence name; for research with acknowledgement of 'the Extended Yale Face Database B'; "
    "not to be part of a larger database that is publicly distributed"
)


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return people.has_columns(folder / people.LABELS, COLUMNS)


def open_folder(folder: Path) -> DataSet:
    """All persons of a folder.

    Raises:
        DataError: the table is damaged, or a picture is missing.
    """
    everybody = people.in_folder(folder, NAME, COLUMNS)
    return people.dataset(NAME, everybody, LICENCE, partial(measure, everybody))


def measure(everybody: Sequence[Person], bench: Bench) -> Measured:
    """Who is most alike, for each subset of light directions.

    Returns:
        For each subset: `accuracy_subset_N`, share of all its pictures named right, a face that was
        not found counting as wrong; `accepted_subset_N`, share named right at the shipped
        threshold; `found_subset_N` of `pictures_subset_N`. What `counts` gives.
    """
    met = face_protocols.meet(bench, everybody)
    threshold = bench.point(everybody[0].recording).threshold
    gallery = faces.enrol(met, faces.picked(everybody, lambda label: label["role"] == "enrol"))
    metrics = face_protocols.counts(met)
    rows = [face_protocols.row(bench, one) for one in met]
    for subset in sorted({label["light_subset"] for one in everybody for label in one.labels}):
        probes = faces.picked(everybody, partial(_is_probe, subset))
        searches = faces.search(met, gallery, probes)
        anyhow = searches.decided(faces.ANY)
        if not anyhow.pictures:
            continue
        metrics[f"accuracy_subset_{subset}"] = anyhow.correct
        metrics[f"accepted_subset_{subset}"] = searches.decided(threshold).correct
        metrics[f"found_subset_{subset}"] = float(anyhow.accepted)
        metrics[f"pictures_subset_{subset}"] = float(anyhow.pictures)
        for one, of_person in zip(met, rows, strict=True):
            of_person[f"right_subset_{subset}"] = searches.of([one.name]).decided(faces.ANY).right
    return Measured(metrics, tuple(rows))


def _is_probe(subset: str, label: Label) -> bool:
    return label["role"] != "enrol" and label["light_subset"] == subset
