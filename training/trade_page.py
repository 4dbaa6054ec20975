"""The trade-off of early against silent as one HTML file: the curve, and its figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from training import page
from training.figures import BLUE, GREY, INK, RED, drawing
from training.trade_off import LEVELS, MONTH_H, Trade

_NEVER_SEEN = 0.5  # episodes, where none was: that many may have been missed


def picture(trades: Sequence[Trade], *, hours: float) -> Markup:
    """False alarms per machine-month over lead time; open circles have a false start too."""
    floor = _NEVER_SEEN * MONTH_H / hours
    with drawing(height=4.4) as (_, axes, made):
        axis = axes[0, 0]
        for (level, name), colour in zip(LEVELS.items(), (BLUE, RED), strict=True):
            of_level = [one for one in trades if one.level == level]
            lead = [100.0 * one.lead for one in of_level]
            false = [max(one.per_machine_month, floor) for one in of_level]
            axis.plot(lead, false, color=colour, lw=1.2, label=name)
            for one, x, y in zip(of_level, lead, false, strict=True):
                filled = "white" if one.false_starts else colour
                size = 8 if one.margin == 1.0 else 5
                axis.plot(x, y, "o", ms=size, mec=colour, mfc=filled)
                axis.annotate(
                    f"x {one.margin:g}", (x, y), xytext=(5, 4), textcoords="offset points",
                    fontsize=7, color=colour,
                )  # fmt: skip
        axis.axhline(floor, color=GREY, ls=":", lw=1, label=f"none in {hours:,.0f} h")
        axis.plot([], [], "o", mec=INK, mfc="white", label="with a false start")
        axis.set(
            yscale="log",
            xlabel="share of life left at the first message, % (median)",
            ylabel="false alarms per machine-month",
        )
        axis.legend(loc="upper left")
    return made[0]


def write(
    file: Path,
    trades: Sequence[Trade],
    *,
    dataset: str,
    judged_by: str,
    recordings: int,
    hours: float,
    command: str,
    seconds: float,
) -> Path:
    """Write the page; needs no network and no other file.

    Args:
        file: replaced in one step.
        trades: of every level and margin.
        dataset: its name.
        judged_by: the model, in words.
        recordings: how many.
        hours: of surrogate life.
        command: what the person typed.
        seconds: it took.
    """
    return page.write(
        file,
        "trade_off.html",
        dataset=dataset,
        judged_by=judged_by,
        recordings=recordings,
        created=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        hours=f"{hours:,.0f}",
        trades=trades,
        levels=LEVELS,
        picture=picture(trades, hours=hours),
        command=command,
        seconds=seconds,
    )
