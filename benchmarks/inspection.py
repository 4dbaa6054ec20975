"""A part on a line: ours by method and engine beside anomalib's, in turns, on the same pictures."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import inspection_models
import inspection_said
from inspection_models import HERE, THEIR_SIDE, Made, environment
from inspection_turns import Contender, alternate

THREADS = (1, 2)
ENGINES = ("tflite", "onnx")
_PICTURES = 4  # a turn
_ONE_FOR_ALL = "edge"  # it looks at squares wherever they lie, so one model does for every size


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        turns: of each contender, by side of the pictures.
        ours: methods.
        theirs: methods, by side of the pictures. PatchCore as it comes is left out at 512: it
            chooses 20,000 of 200,000 places one by one, which takes the better part of an hour.
    """

    turns: dict[int, int]
    ours: tuple[str, ...]
    theirs: dict[int, tuple[str, ...]]


QUICK = Plan({256: 3}, ("padim",), {256: ("padim", "efficientad")})
FULL = Plan(
    {256: 50, 512: 30},
    ("padim", "memory", "edge"),
    {
        256: ("padim", "patchcore", "patchcore-wide", "efficientad"),
        512: ("padim", "patchcore", "efficientad"),
    },
)


@dataclass
class Found:
    """What was measured.

    Attributes:
        timed: contenders by name, by side of the pictures and threads.
        made: models by side of the pictures and name.
        good: how many pictures of good parts there were.
    """

    timed: dict[tuple[int, int], dict[str, Contender]] = field(default_factory=dict)
    made: dict[tuple[int, str], Made] = field(default_factory=dict)
    good: int = 0


def measure(work: Path, *, quick: bool, anomalib: Path | None) -> str:
    """The section.

    Args:
        work: for parts and models, empty.
        quick: little of everything.
        anomalib: the interpreter of an environment that has it; None: ours alone.
    """
    plan = QUICK if quick else FULL
    found = Found()
    for size, turns in plan.turns.items():
        folder, pictures, found.good = inspection_models.parts(work, size=size, quick=quick)
        commands = ours(plan, found, folder, pictures, size=size)
        if anomalib:
            commands |= theirs(plan, found, anomalib, pictures, size=size)
        for threads in THREADS:
            found.timed[size, threads] = timed(commands, threads=threads, turns=turns)
    return inspection_said.section(found, rounds=_PICTURES, turns=plan.turns)


def ours(
    plan: Plan, found: Found, folder: Path, pictures: Path, *, size: int
) -> dict[str, list[str]]:
    """What to start for each method and engine, by name; threads are to follow."""
    commands = {}
    for method in plan.ours:
        name = f"`{method}`"
        made = found.made.get((min(plan.turns), name)) if method == _ONE_FOR_ALL else None
        if made is None:
            made = inspection_models.ours(method, folder, folder.parent)
            found.made[size, name] = made
        for engine in ENGINES:
            script = [sys.executable, str(HERE / "inspection_ours.py")]
            commands[f"{name}, {engine}"] = [*script, str(made.path), engine, str(pictures)]
    return commands


def theirs(
    plan: Plan, found: Found, python: Path, pictures: Path, *, size: int
) -> dict[str, list[str]]:
    """Likewise."""
    commands = {}
    for method in plan.theirs[size]:
        made = inspection_models.theirs(python, method, pictures, pictures.parent)
        name = inspection_said.THEIRS[method]
        found.made[size, name] = made
        commands[name] = [str(python), THEIR_SIDE, "serve", method, str(pictures), str(made.path)]
    return commands


def timed(commands: dict[str, list[str]], *, threads: int, turns: int) -> dict[str, Contender]:
    """All of them with so many threads, in turns."""
    contenders: dict[str, Contender] = {}
    try:
        for name, command in commands.items():
            given = environment(threads)
            contenders[name] = Contender([*command, str(threads)], environment=given)
        alternate(contenders, turns=turns, pictures=_PICTURES)
    finally:
        for one in contenders.values():
            one.kill()
    return contenders
