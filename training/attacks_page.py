"""The study of attacks as one HTML file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from contract.spec import Array, Floats
from training import attacks_detect, page
from training.figures import BLUE, GREY, RED, drawing

if TYPE_CHECKING:
    from training.attacks import Found, Study

COLUMNS = (
    "attack", "tried", "succeeds", "largest change", "entropy: AUC", "at 1 %", "at 5 %", "at 10 %",
    "squeezing: AUC", "at 1 %", "all traces: AUC", "at 1 %",
)  # fmt: skip
_SHOWN = 3  # crops


def write(file: Path, found: Study, model: Any, *, dataset: str, command: str) -> Path:
    """Write the page; needs no network and no other file.

    Args:
        file: replaced in one step.
        found: the study.
        model: that was attacked.
        dataset: its name.
        command: what the person typed.
    """
    way = found.reading.way
    good, defect = ("more" if one.side > 0 else "less" for one in found.reading.calm)
    return page.write(
        file,
        "attacks.html",
        dataset=dataset,
        created=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        shape=f"classifier right on {found.accuracy:.1%}; {len(found.clean)} clean crops",
        rule=f"An attack is noticed by {good} entropy than clean crops taken for good have, by "
        f"{defect} than those taken for defective, of the response map of {way.last} ({way.start}, "
        f"gray levels by {way.gray}): chosen on validation crops, and so is how all traces are "
        "weighed. Caught at 1, 5 and 10 % false "
        "alarms, of attacks that succeeded only, their pictures rounded to 8 bits.",
        columns=COLUMNS,
        rows=[cells(one) for one in found.found],
        bars=_distributions(found),
        maps=_maps(found, model),
        shifts=[(name, f"{share:.1%}") for name, share in found.shifts.items()],
        command=command,
    )


def cells(one: Found) -> list[str]:
    """A row of the table, in the order of `COLUMNS`."""
    known = [one.name, str(one.attacked.tried), f"{one.attacked.success:.0%}"]
    if one.entropy is None or one.squeezing is None or one.joint is None:
        return known + ["-"] * (len(COLUMNS) - len(known))
    return [
        *known,
        f"{one.attacked.largest:.0f} of 255",
        f"{one.entropy.auc:.3f}",
        *(f"{caught:.1%}" for caught in one.entropy.caught),
        f"{one.squeezing.auc:.3f}",
        f"{one.squeezing.caught[0]:.1%}",
        f"{one.joint.auc:.3f}",
        f"{one.joint.caught[0]:.1%}",
    ]


def _distributions(found: Study) -> Markup:
    """Entropy of clean crops and of those each attack succeeded on, as lines from 5 to 95 %."""
    rows = [("clean", found.scores), *((one.name, one.scores) for one in found.found)]
    rows = [(name, scores) for name, scores in rows if len(scores)]
    with drawing(height=0.34 * len(rows) + 0.8) as (_, axes, made):
        axis = axes[0, 0]
        for i, (name, scores) in enumerate(rows):
            low, first, middle, third, high = np.quantile(scores, [0.05, 0.25, 0.5, 0.75, 0.95])
            colour = BLUE if name == "clean" else RED
            axis.plot([low, high], [i, i], color=GREY, lw=1.2)
            axis.plot([first, third], [i, i], color=colour, lw=5)
            axis.plot(middle, i, "o", color="white", ms=3)
        axis.set_yticks(range(len(rows)), [name for name, _ in rows])
        axis.invert_yaxis()
        axis.set_xlabel("mean local entropy, bits: median, quartiles, 5 to 95 %")
    return made[0]


def _maps(found: Study, model: Any) -> Markup:
    """Crops beside their response maps: clean ones, then attacked ones of the first attack."""
    attacked = next((one for one in found.found if len(one.attacked.pixels)), None)
    rows: list[tuple[str, Floats]] = [("clean", found.clean.pixels[-_SHOWN:])]
    if attacked is not None:
        rows.append((attacked.name, attacked.attacked.pixels[-_SHOWN:]))
    with drawing(len(rows), 2 * _SHOWN, height=1.9 * len(rows), as_png=True) as (_, axes, made):
        for axis in axes.flat:
            axis.set_axis_off()
        for (name, pixels), of_row in zip(rows, axes, strict=True):
            levels = attacks_detect.gray(
                attacks_detect.responses(
                    model, pixels, found.reading.way.last, found.reading.way.start
                ),
                found.reading.way.gray,
            )
            entropies = attacks_detect.local_entropy(levels)
            _row(of_row, name, pixels, levels, entropies)
    return made[0]


def _row(axes: Sequence[Any], name: str, pixels: Floats, levels: Array, entropies: Floats) -> None:
    for i, (crop, level, bits) in enumerate(zip(pixels, levels, entropies, strict=True)):
        axes[2 * i].imshow(crop.astype(np.uint8))
        axes[2 * i].set_title(name, fontsize=7)
        axes[2 * i + 1].imshow(level, cmap="gray", vmin=0, vmax=255)
        axes[2 * i + 1].set_title(f"{bits:.2f} bits", fontsize=7)
