"""The demo of `faces`: enrol some, and let them and others walk through a video."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from host import film, people
from host.film import Scene
from host.people import Person
from host.phases import DemoError, Phases
from host.piece import Alerts, Piece

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "faces"
_ENROLLED, _STRANGERS = 3, 2
_FPS, _HOP_S = 10.0, 0.2
_VISIT_S, _GAP_S = 4.0, 3.0
_END_S = 7.0  # until the last visit is over, and a little


def prepare(asked: argparse.Namespace, phases: Phases, console: Console) -> Piece:
    """A gallery, and a video in which not only those walk who are in it.

    Raises:
        DemoError: bundle, pictures or OpenCV are not there, or enrolling failed.
    """
    if importlib.util.find_spec("cv2") is None:
        raise DemoError("OpenCV is not installed; fix: pip install 'vedette[edge-camera]'")
    if not BUNDLE.is_dir():
        raise DemoError(f"{BUNDLE}: no such bundle; fix: a checkout of the repository")
    folder = phases.folder
    chosen = people.choose(_ENROLLED + _STRANGERS)
    enrolled, others = chosen[:_ENROLLED], chosen[_ENROLLED:]
    console.rule(f"1  enrol {_ENROLLED} of {len(chosen)} people")
    with phases.timed("enrol"):
        for person in enrolled:
            _enrol(person, phases, console)
    console.rule("2  film all of them, in other pictures")
    visitors = _in_turn(enrolled, others)
    scenes = [
        part for person in visitors for part in (Scene((), _GAP_S), Scene(person.to_show, _VISIT_S))
    ]
    with phases.timed("film"):
        film.make(folder / "film.avi", [*scenes, Scene((), _END_S)], rate_hz=_FPS, seed=asked.seed)
    names = {person.name for person in enrolled}
    length_s = len(visitors) * (_GAP_S + _VISIT_S) + _END_S
    return Piece(
        name=f"{len(visitors)} people walk by, {_ENROLLED} of them enrolled",
        pipeline=_pipeline(),
        windows=round(length_s / _HOP_S),
        where=lambda window: f"{window * _HOP_S:.1f} s",
        summarise=lambda raised: summary(raised, visitors, names),
        lines=_lines,
        is_right=lambda told: told["named_wrong"] == 0,
    )


def summary(raised: Alerts, visitors: list[Person], enrolled: set[str]) -> dict[str, Any]:
    """What was said of each who walked by.

    Args:
        raised: alerts.
        visitors: in the order of the film.
        enrolled: names.
    """
    said: list[list[str]] = [[] for _ in visitors]
    wrong = 0
    for alert in sorted(raised, key=lambda one: one["window"]):
        number = int(alert["window"] * _HOP_S // (_GAP_S + _VISIT_S))
        number = min(number, len(visitors) - 1)
        said[number].append(alert["who"] or alert["label"])
        wrong += alert["who"] not in {None, visitors[number].name}
    return {
        "visits": [
            {"person": one.name, "is_enrolled": one.name in enrolled, "said": words}
            for one, words in zip(visitors, said, strict=True)
        ],
        "recognised": sum(alert["label"] == "recognised" for alert in raised),
        "strangers": sum(alert["label"] == "stranger" for alert in raised),
        "spoofs": sum(alert["label"] == "spoof" for alert in raised),
        "named_wrong": wrong,
    }


def _enrol(person: Person, phases: Phases, console: Console) -> None:
    images = phases.folder / "enrol" / person.name
    images.mkdir(parents=True, exist_ok=True)
    for file in person.to_enrol:
        shutil.copy(file, images)
    gallery = phases.folder / "faces.gallery"
    options = ["--gallery", str(gallery), "--bundle", str(BUNDLE), "--why", "vedette demo"]
    told = phases.finish("enrol", person.name, "--images", str(images), *options, "--json")
    taken = sum(picture["is_taken"] for picture in told["pictures"])
    console.print(f"{person.name}: {taken} of {len(person.to_enrol)} pictures taken")


def _in_turn(enrolled: list[Person], others: list[Person]) -> list[Person]:
    """One who is enrolled, one who is not, and so on."""
    both = zip(enrolled, others, strict=False)
    return [*(person for pair in both for person in pair), *enrolled[len(others) :]]


def _pipeline() -> str:
    return f"""\
[[pipeline]]
name = "door"
bundle = {json.dumps(str(BUNDLE))}
gallery = "faces.gallery"
score_interval_s = 1.0

[pipeline.source]
type = "pictures"
path = "film.avi"
hop_s = {_HOP_S}
"""


def _lines(told: dict[str, Any]) -> list[str]:
    return [
        f"{visit['person']}, {'enrolled' if visit['is_enrolled'] else 'a stranger'}: "
        f"{', '.join(visit['said']) or 'nothing said'}"
        for visit in told["visits"]
    ]
