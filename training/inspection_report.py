"""What a report says of a way to inspect parts: the decision, and pictures of its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from contract.inspection import PASS, REVIEW
from contract.spec import OperatingPoint
from training import inspection_metrics
from training.figures import BLUE, GREY, ORANGE, RED, drawing
from training.inspection_metrics import Decided
from training.parts import DEFECT, DOUBTFUL, GOOD
from training.report import Section
from training.run import Run
from training.watch import Watched

_SHOWN = 8  # pictures of each sort
_SURE = "with 95 % confidence fewer"
_COLOURS = {GOOD: BLUE, DOUBTFUL: GREY, DEFECT: RED}


def sections(run: Run, watched: Sequence[Watched]) -> list[Section]:
    """Decision and its claims, scores, and pictures with their heat maps.

    Args:
        run: finished.
        watched: items kept apart from training.
    """
    assert run.operating_point is not None
    point = run.operating_point
    pairs = [(one, i) for one in watched for i in range(len(one.recording))]
    every = inspection_metrics.of_watched(watched)
    known = list(zip(pairs, every, strict=True))
    missed = sorted((k for k in known if _is_defect(k[1])), key=lambda k: k[1].part.score)
    rejects = sorted((k for k in known if _is_good(k[1])), key=lambda k: -k[1].part.score)
    found = sorted((k for k in known if _is_defect(k[1])), key=lambda k: -k[1].part.score)
    return [
        Section(
            "decision",
            "The decision",
            f"Chosen on {point.chosen_on}, and measured on them, so it flatters; export chooses "
            "again after quantization. Below the lower threshold a part passes, from the upper one "
            "on it is rejected, between them a person decides.",
            rows=[*_claims(point), *_audit(known)],
            figures=[_scores(every, point)],
        ),
        Section(
            "missed",
            "Defects with the lowest scores",
            "What would be passed first. Left of each pair the picture, on the right its heat map; "
            "a red line is what people have drawn.",
            figures=[_sheet(missed[:_SHOWN])],
        ),
        Section(
            "rejected",
            "Good parts with the highest scores",
            "What would be rejected first. Some of them may be defects that nobody has seen.",
            figures=[_sheet(rejects[:_SHOWN])],
        ),
        Section(
            "found",
            "Defects with the highest scores",
            "Whether the map shows what people see.",
            figures=[_sheet(found[:_SHOWN])],
        ),
    ]


def _is_defect(one: Decided) -> bool:
    return one.shown.label == DEFECT


def _is_good(one: Decided) -> bool:
    return one.shown.label == GOOD


def _claims(point: OperatingPoint) -> list[tuple[str, str]]:
    of = point.measured
    rejected = f"{of['false_reject_rate']:.1%} of {of['good']:.0f}"
    rows = [
        ("passes below", f"{point.clear_threshold:.4g}"),
        ("rejected from", f"{point.threshold:.4g}"),
        ("sent to a person", f"{of['to_a_person']:.1%}"),
        ("good parts rejected", f"{rejected}; {_SURE} than {of['false_reject_bound']:.1%}"),
    ]
    if "recall" in of:
        claim = (
            f"{of['recall']:.1%} of {of['defects']:.0f}; {_SURE} than {of['miss_bound']:.1%} of "
            "defects like these are passed: only more defects to measure on allow more to be said"
        )
        rows.append(("defects not passed", claim))
    return rows


def _audit(known: Sequence[tuple[tuple[Watched, int], Decided]]) -> list[tuple[str, str]]:
    """Pictures most likely labelled wrongly."""
    of_watched = inspection_metrics.suspects([one for _, one in known])
    places = {id(one): f"{w.recording.name}, {one.shown.file.name}" for (w, _), one in known}
    return [
        (f"label to check: {one.shown.label}?", f"{places[id(one)]}: score {one.part.score:.3g}")
        for one in of_watched[:_SHOWN]
    ]


def _scores(every: Sequence[Decided], point: OperatingPoint) -> Markup:
    with drawing(height=2.4) as (_, axes, made):
        axis = axes[0, 0]
        scores = np.array([one.part.score for one in every])
        edges = np.linspace(scores.min(), scores.max(), 60)
        for label, colour in _COLOURS.items():
            of = [one.part.score for one in every if one.shown.label == label]
            if of:
                axis.hist(of, edges, color=colour, alpha=0.6, label=f"{label}: {len(of)}")
        for threshold in (point.clear_threshold, point.threshold):
            axis.axvline(threshold, color=ORANGE)
        axis.set_yscale("symlog", linthresh=1)
        axis.set_xlabel("score; orange: the thresholds")
        axis.set_ylabel("pictures")
        axis.legend()
    return made[0]


def _sheet(known: Sequence[tuple[tuple[Watched, int], Decided]]) -> Markup:
    if not known:
        return Markup("<p>None.</p>")
    rows = -(-len(known) // 4)
    span = float(np.ptp([one.part.score for _, one in known]) + 1.0)
    with drawing(rows, 8, height=2.3 * rows, as_png=True) as (_, axes, made):
        for axis in axes.flat:
            axis.axis("off")
        for number, ((watched, i), one) in enumerate(known):
            picture = watched.recording.window(i).data
            left, right = axes[number // 4, 2 * (number % 4) : 2 * (number % 4) + 2]
            _pair(left, right, picture, one, span=span)
    return made[0]


def _pair(left: Any, right: Any, picture: Any, one: Decided, *, span: float) -> None:
    assert one.part.heat is not None
    height, width = picture.shape[:2]
    left.imshow(picture)
    if one.mask is not None:
        left.contour(one.mask, [0.5], colors=RED, linewidths=0.7)
    word = {PASS: "passed", REVIEW: "to a person"}.get(one.part.label, "rejected")
    left.set_title(f"{one.shown.file.stem[:12]} {word}", fontsize=6)
    right.imshow(picture, cmap="gray")
    heat = inspection_metrics.enlarged(one.part.heat, height, width)
    # the same colours on every picture: what would be rejected glows
    limit = one.part.threshold if one.part.threshold is not None else float(heat.max())
    right.imshow(heat, cmap="inferno", alpha=0.6, vmin=limit - span, vmax=limit + span / 4)
    right.set_title(f"{one.part.score:.2f}", fontsize=6)
