"""`report.html`: every run explains itself in one file that needs no network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from markupsafe import Markup

from contract.fold import Model
from contract.spec import OperatingPoint, Workload
from training import explain, figures, metrics, page
from training.recipes import Recipe
from training.run import REPORT, Run
from training.watch import Watched

_PARITY = re.compile(r"(<!-- parity -->).*?(<!-- /parity -->)", re.DOTALL)
_WORST = 6  # mistakes shown
_NAMED = 60  # groups of a split
_EXPLAINED = 200  # rows looked at; more change nothing that can be seen


@dataclass(frozen=True)
class Section:
    """One part of a report: a sentence on what is seen, then numbers, facts and figures."""

    id: str
    title: str
    text: str
    tiles: Sequence[tuple[str, str]] = ()
    rows: Sequence[tuple[str, str]] = ()
    figures: Sequence[Markup] = field(default=())


def write(
    folder: Path, run: Run, workload: Workload, models: Mapping[str, Model],
    watched: Sequence[Watched], recipe: Recipe, explained: Sequence[Section] = (),
) -> Path:  # fmt: skip
    """Write the report of a finished run.

    Args:
        folder: of the run.
        run: what it was.
        workload: what was trained.
        models: the float model of each stage.
        watched: recordings kept apart from training.
        recipe: that it was trained by.
        explained: sections of its stages on what they look at.

    Returns:
        the file.
    """
    assert run.operating_point is not None
    point = run.operating_point
    sections = [
        _summary(run, recipe.group),
        Section(
            "curves",
            "Learning curves",
            f"The validation loss is that of other {recipe.group}s, without augmentation; the "
            "weights kept are those of its lowest point"
            f"{_settled(recipe)}.",
            figures=[figures.learning_curves(run.history)],
        ),
    ]
    if recipe.sections is not None:
        sections += recipe.sections(run, watched)
    else:
        sections += _scores(workload, watched, point)
        sections += [_attention(stage, models[stage], watched) for stage in models]
        sections += [_mistakes(stage, watched) for stage in models]
    return page.write(folder / REPORT, "report.html", run=run, sections=[*sections, *explained])


def _settled(recipe: Recipe) -> str:
    latest = max((one.settles for one in recipe.stages.values()), default=0.0)
    return f" after {latest:.0%} of the epochs" if latest else ""


def add_parity(folder: Path, fragment: Markup) -> None:
    """Put the comparison with the device's engines into a report; a run without one is left alone.

    Args:
        folder: of the run.
        fragment: what stands in the parity section.
    """
    file = folder / REPORT
    if file.exists():
        html = file.read_text(encoding="utf-8")
        page.replace(file, _PARITY.sub(lambda found: f"{found[1]}{fragment}{found[2]}", html))


def _summary(run: Run, group: str) -> Section:
    test = run.metrics.get("test", {})
    groups = {which: _listed(names) or "none" for which, names in run.splits.items()}
    return Section(
        "summary",
        "Summary",
        f"Figures of the float model on {group}s it has never seen. Groups are dealt out whole: no "
        f"{group} is in two splits.",
        tiles=[
            *((f"{name}, test", f"{value:.4g}") for name, value in test.items()),
            *((f"groups for {which}", str(len(names))) for which, names in run.splits.items()),
        ],
        rows=[
            ("command", run.command),
            *([("method", run.method)] if run.method else []),
            ("seed", str(run.seed)),
            *((f"data: {s.name}", f"{s.recordings} recordings, digest {s.digest}; {s.licence}")
              for s in run.sources),
            *groups.items(),
            ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
            ("commit", run.commit),
        ],
    )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    """Names in a row; of very many the first, for `run.json` has them all."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more, see run.json" if more > 0 else "")


def _scores(workload: Workload, watched: Sequence[Watched], point: OperatingPoint) -> list[Section]:
    """Histograms and lives."""
    alarms = [metrics.replay(workload, one, point) for one in watched]
    healthy = np.concatenate([one.scores[_healthy(one)] for one in watched])
    failed = np.concatenate([w.scores[w.recording.life > metrics.LAST_SPAN] for w in watched])
    return [
        Section(
            "scores",
            "Scores, healthy against failed",
            "All machines of validation and test, each against the baseline it learned from its "
            "own start. The less the two overlap, the earlier and quieter an alarm can be.",
            figures=[figures.histograms(healthy, failed[np.isfinite(failed)], point)],
        ),
        Section(
            "lives",
            "Score over life",
            "The threshold here was chosen with the float model, on machines outside the test "
            "split; export chooses it anew for the device's engines.",
            figures=[figures.lives(watched, alarms, point)],
        ),
    ]


def _attention(stage: str, model: Model, watched: Sequence[Watched]) -> Section:
    """Sensitivity, and for a model that rebuilds its input, what it misses."""
    healthy = _rows(stage, watched, [_healthy(one) for one in watched])
    failed = _rows(stage, watched, [w.recording.life > metrics.LAST_SPAN for w in watched])
    bars = {
        "how far the output moves without this element": {
            "healthy": explain.occlusion(model, healthy[0][:_EXPLAINED])
        }
    }
    if healthy[0].shape == healthy[1].shape:
        bars["what is not rebuilt"] = {
            "healthy": explain.residual(*healthy),
            "last 5 % of life": explain.residual(*failed),
        }
    return Section(
        f"attention-{stage}",
        "What the model looks at",
        f"Stage {stage}. Left: each input element in turn is replaced by its mean. Right: the mean "
        "absolute residual, which is what novelty is made of.",
        figures=[figures.elements(bars, unit="unit of the input")],
    )


def _mistakes(stage: str, watched: Sequence[Watched]) -> Section:
    """The healthy window with the highest score of each machine."""
    worst = []
    for one in watched:
        scores = np.where(_healthy(one), one.scores, -np.inf)
        worst.append((float(scores.max()), one, int(scores.argmax())))
    ranked = sorted((w for w in worst if np.isfinite(w[0])), key=lambda mistake: -mistake[0])
    shown = []
    for score, one, i in ranked[:_WORST]:
        inputs, outputs = (rows.reshape(len(rows), -1) for rows in one.seen.passes[stage][i])
        title = f"{one.recording.name}, {100 * one.recording.life[i]:.0f} % of life: {score:.3g}"
        shown.append((title, inputs, outputs))
    return Section(
        f"mistakes-{stage}",
        "Worst mistakes",
        f"The healthy window of each machine that looks newest, as stage {stage} saw it (solid) "
        "and rebuilt it (dashed).",
        figures=[figures.mistakes(shown)],
    )


def _healthy(watched: Watched) -> np.ndarray:
    """(windows,) bool: judged and healthy for certain."""
    return np.isfinite(watched.scores) & metrics.healthy_for_sure(watched.recording.life)


def _rows(
    stage: str, watched: Sequence[Watched], keep: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and outputs of one stage over the windows kept."""
    kept = [
        one.seen.passes[stage][i]
        for one, k in zip(watched, keep, strict=True)
        for i in np.flatnonzero(k)
    ]
    return np.concatenate([x for x, _ in kept]), np.concatenate([y for _, y in kept])
