"""A gauge R&R study as one HTML file: what varies, who measures what, and the figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from contract.spec import Array
from training import page
from training.figures import BLUE, GREEN, GREY, ORANGE, RED, drawing
from training.gauge_study import BEARABLE, GOOD, LEAST_CATEGORIES, POOLED_ABOVE, SPREAD, Study

_COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)


def variations(found: Study) -> dict[str, float]:
    """Standard deviations by what they are of, as on the page and in `--json`."""
    return {
        "repeatability (EV)": found.ev,
        "reproducibility (AV)": found.av,
        "operator by part": found.interacting,
        "gauge R&R": found.grr,
        "part to part (PV)": found.pv,
        "total (TV)": found.tv,
    }


def write(
    file: Path,
    found: Study,
    values: Array,
    *,
    parts: Sequence[str],
    operators: Sequence[str],
    measured: str,
    tolerance: float | None,
    command: str,
) -> Path:
    """Write the page; needs no network and no other file.

    Args:
        file: replaced in one step.
        found: the study.
        values: (parts, operators, repeats) that it was made of.
        parts: their names.
        operators: their names.
        measured: what was, with its unit.
        tolerance: high less low limit, in that unit; None: not known.
        command: what the person typed.
    """
    return page.write(
        file,
        "gauge.html",
        measured=measured,
        created=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        shape=f"{values.shape[0]} parts, {values.shape[1]} operators, {values.shape[2]} repeats",
        verdict=found.verdict,
        is_good=found.is_good,
        tiles=_tiles(found, tolerance),
        rows=[_row(found, name, one, tolerance) for name, one in variations(found).items()],
        spread=f"{SPREAD:g}",
        has_tolerance=tolerance is not None,
        lines=_lines(found),
        interaction=_interaction(found),
        rule=f"Good: below {GOOD:.0f} % of the study variation and at least {LEAST_CATEGORIES} "
        f"distinct categories; up to {BEARABLE:.0f} % bearable, depending on what is at stake.",
        bars=bars(found, tolerance),
        picture=picture(values, parts, operators, measured),
        command=command,
    )


def bars(found: Study, tolerance: float | None) -> Markup:
    """Share of the study variation, and of the tolerance where it is known."""
    shown = [one for one in variations(found).items() if not one[0].startswith("total")]
    with drawing(height=2.6) as (_, axes, made):
        axis = axes[0, 0]
        at = np.arange(len(shown))
        shares = {"of the study variation": [found.study_percent(one) for _, one in shown]}
        if tolerance is not None:
            shares["of the tolerance"] = [100.0 * SPREAD * one / tolerance for _, one in shown]
        height = 0.8 / len(shares)
        for number, (name, share) in enumerate(shares.items()):
            axis.barh(at + number * height, share, height, color=_COLOURS[number], label=name)
        axis.set_yticks(at + height * (len(shares) - 1) / 2, [name for name, _ in shown])
        axis.axvline(GOOD, color=GREY, ls=":", lw=1)
        axis.axvline(BEARABLE, color=RED, ls=":", lw=1)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(f"% (dotted: {GOOD:.0f} and {BEARABLE:.0f})")
        axis.set_axisbelow(True)
        axis.legend(loc="upper right")
    return made[0]


def picture(values: Array, parts: Sequence[str], operators: Sequence[str], measured: str) -> Markup:
    """Every value less its part's mean, by part; and the range of each operator's repeats."""
    away = values - values.mean(axis=(1, 2), keepdims=True)
    with drawing(2, 1, height=5.2, share_x=True) as (_, axes, made):
        at = np.arange(len(parts))
        for number, name in enumerate(operators):
            colour = _COLOURS[number % len(_COLOURS)]
            beside = at + 0.6 * ((number + 0.5) / len(operators) - 0.5)
            for repeat in range(values.shape[2]):
                axes[0, 0].plot(beside, away[:, number, repeat], "o", ms=4, color=colour)
            axes[0, 0].plot(beside, away[:, number].mean(axis=1), "_", ms=12, color=colour)
            ranges = np.ptp(values[:, number], axis=1)
            axes[1, 0].plot(at, ranges, "o-", ms=4, lw=1, color=colour, label=name)
        axes[0, 0].axhline(0.0, color=GREY, lw=0.8)
        axes[0, 0].set(ylabel=measured, title="each value less the mean of its part")
        axes[1, 0].set(ylabel=measured, title="range of the repeats")
        axes[1, 0].set_ylim(bottom=0.0)
        axes[1, 0].set_xticks(at, parts, rotation=90 if len(max(parts, key=len)) > 4 else 0)
        axes[1, 0].legend(ncols=len(operators))
    return made[0]


def _tiles(found: Study, tolerance: float | None) -> list[tuple[str, str]]:
    shown = [
        ("gauge R&R, % of the study variation", f"{found.study_percent(found.grr):.1f} %"),
        ("distinct categories", str(found.categories)),
        ("repeatability, standard deviation", f"{found.ev:.4g}"),
        ("reproducibility, standard deviation", f"{found.av:.4g}"),
    ]
    if tolerance is not None:
        share = 100.0 * SPREAD * found.grr / tolerance
        shown.insert(1, ("gauge R&R, % of the tolerance", f"{share:.1f} %"))
    return shown


def _row(found: Study, name: str, deviation: float, tolerance: float | None) -> list[str]:
    row = [
        name,
        f"{deviation:.5g}",
        f"{SPREAD * deviation:.5g}",
        f"{found.study_percent(deviation):.2f}",
        f"{100.0 * (deviation / found.tv) ** 2:.2f}",
    ]
    return row if tolerance is None else [*row, f"{100.0 * SPREAD * deviation / tolerance:.2f}"]


def _lines(found: Study) -> list[list[str]]:
    lines = {
        "parts": found.parts,
        "operators": found.operators,
        "operator by part": found.interaction,
        "repeats": found.repeats,
    }
    return [
        [name, str(one.freedom), f"{one.squares:.5g}", f"{one.mean:.5g}"]
        for name, one in lines.items()
    ]


def _interaction(found: Study) -> str:
    said = f"operator by part: F {found.f_interaction:.3f}, p {found.p_interaction:.3f}"
    if found.is_pooled:
        return f"{said}, above {POOLED_ABOVE}: taken for chance and pooled with repeatability"
    return f"{said}, not above {POOLED_ABOVE}: operators measure some parts otherwise"
