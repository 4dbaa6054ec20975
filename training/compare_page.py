"""The comparison as one HTML file: the table, and every method's novelty over every life."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from contract.spec import Array
from training import compare, page
from training.compare import FEATURES, Result, Told
from training.datasets import Recording
from training.figures import BLUE, GREEN, ORANGE, RED, drawing

CLIP = 10.0  # thresholds: raw novelties of a broken bearing hide everything before
COLUMNS = {
    "method": "method",
    "features": "features",
    "found": "found",
    "first_alarm": "first alarm",
    "first_alarm_false_as_1": "false start = 1",
    "sustained_alarm": "sustained",
    "false_share": "false, 15-30 %",
    "false_recordings": "with any false",
    "contrast": "contrast",
    "auc": "AUC",
    "pauc": "pAUC",
    "window_us": "us/window",
    "detector_us": "of it detector",
}
RULE = (
    f"Alarm: {compare.HITS} of the last {compare.OF} windows above the threshold, which is the "
    f"median of the learning period's own novelties and {compare.BEYOND:g} median absolute "
    "deviations; the shipped detector has its own threshold and policy. Alarm times are medians of "
    "fractions of life, one that never comes counting 1. Contrast is the median novelty at the end "
    "over the 99 % quantile before; kinds of novelty differ in scale, so it ranks runs of one "
    "method, not methods."
)


def cells(result: Result) -> list[str]:
    """A row of the table as text, in the order of `COLUMNS`."""
    row = result.row()
    return [_cell(key, row[key], result) for key in COLUMNS]


def _cell(key: str, value: Any, result: Result) -> str:
    if value is None:
        return "-"
    if key in {"found", "false_recordings"}:
        return f"{value} of {len(result.told)}"
    if key in {"window_us", "detector_us"}:
        return f"{value:,.0f}"
    if key == "contrast":
        return f"{value:,.3g}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write(
    file: Path, *, dataset: str, results: Sequence[Result], command: str, seconds: float
) -> Path:
    """Write the page; needs no network and no other file.

    Args:
        file: replaced in one step.
        dataset: its name.
        results: of every method, all on the same recordings in the same order.
        command: what the person typed.
        seconds: the comparison took.
    """
    recordings = [told.recording for told in results[0].told]
    return page.write(
        file,
        "compare.html",
        dataset=dataset,
        created=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        recordings=len(recordings),
        seconds=seconds,
        rule=RULE,
        columns=list(COLUMNS.values()),
        rows=[cells(result) for result in results],
        notes=notes(results),
        trade=trade(results),
        pictures=[(one.name, picture(one, results, i)) for i, one in enumerate(recordings)],
        clip=f"{CLIP:g}",
        command=command,
    )


def notes(results: Sequence[Result]) -> list[str]:
    """What had to be smaller than published, one line per method and feature set."""
    found = []
    for result in results:
        said = [f"{one.recording.name}: {one.note}" for one in result.told if one.note]
        if said:
            more = f" (and so for {len(said) - 1} more)" if len(said) > 1 else ""
            found.append(f"{result.name} on {result.features}, {said[0]}{more}")
    return found


def trade(results: Sequence[Result]) -> Markup:
    """Median first alarm over the share of false ones."""
    with drawing(height=4.2) as (_, axes, made):
        axis = axes[0, 0]
        for i, result in enumerate(results):
            measured = result.measured
            at = (100 * (measured["false_share"] or 0.0), 100 * (measured["first_alarm"] or 0.0))
            colour = {FEATURES[0].name: BLUE, FEATURES[1].name: ORANGE}.get(result.features, RED)
            axis.plot(*at, "o", color=colour, ms=5)
            beside = (4, 3 if i % 2 else -9)  # names of neighbours would lie on one another
            axis.annotate(result.name, at, xytext=beside, textcoords="offset points", fontsize=7)
        for colour, name in ((BLUE, FEATURES[0].name), (ORANGE, FEATURES[1].name)):
            axis.plot([], [], "o", color=colour, label=f"features: {name}")
        axis.plot([], [], "o", color=RED, label="shipped detector")
        axis.set(
            xlabel="in alarm between 15 and 30 % of life, % of windows",
            ylabel="first alarm, % of life (median)",
            ylim=(0, 105),
        )
        axis.legend(loc="lower right")
    return made[0]


def picture(recording: Recording, results: Sequence[Result], which: int) -> Markup:
    """Signal and novelty of every method over one life.

    Args:
        recording: whose life.
        results: of every method.
        which: number of the recording in them.
    """
    columns = [made.name for made in FEATURES]
    names = list(dict.fromkeys(result.name for result in results))
    life = 100.0 * recording.life
    with drawing(
        len(names) + 1, 2, height=0.78 * (len(names) + 1) + 0.6, share_x=True, as_png=True
    ) as (figure, axes, made):
        for axis in axes.flat:
            axis.set_axis_off()
        low, high, rms = extremes(recording)
        axes[0, 0].fill_between(life, low, high, color=BLUE, lw=0)
        axes[0, 1].semilogy(life, rms, color=BLUE, lw=1)
        axes[0, 1].minorticks_off()  # their labels would not fit
        for axis, title in zip(axes[0], ("signal, lowest to highest", "RMS"), strict=True):
            _frame(axis, recording, title)
        for result in results:
            column = columns.index(result.features) if result.features in columns else 0
            axis = axes[1 + names.index(result.name), column]
            _novelty(axis, life, result.told[which])
            _frame(axis, recording, f"{result.name}, features: {result.features}")
        for axis in axes[-1]:
            axis.set_xlabel("% of life")
        handles, labels = axes[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return made[0]


def _novelty(axis: Any, life: Array, told: Told) -> None:
    """One method's novelty in thresholds, clipped."""
    shown = np.minimum(told.novelty / max(told.threshold, 1e-12), CLIP)
    axis.fill_between(
        life, 0, 1, where=told.is_raised, transform=axis.get_xaxis_transform(), color=RED,
        alpha=0.15, lw=0, step="post", label="alarm",
    )  # fmt: skip
    axis.plot(life, shown, color=BLUE, lw=1, label="novelty")
    axis.axhline(1.0, color=ORANGE, lw=0.9, label="threshold")
    axis.set_ylim(0, CLIP * 1.05)


def _frame(axis: Any, recording: Recording, title: str) -> None:
    """Learning period and onset, the same on every axis."""
    axis.set_axis_on()
    axis.set_title(title, fontsize=7.5, pad=2)
    axis.tick_params(labelsize=6.5)
    last = min(recording.learn_windows, len(recording)) - 1
    axis.axvspan(0, 100.0 * float(recording.life[last]), color="#e3eaf0", lw=0, zorder=0)
    if recording.onset is not None:
        axis.axvline(100.0 * recording.onset, color=GREEN, ls=":", lw=1.3)
    axis.set_xlim(0, 100)


def extremes(recording: Recording) -> tuple[Array, Array, Array]:
    """(windows,) lowest value, highest value and RMS of each window, over all its channels."""
    found = [
        (float(x.min()), float(x.max()), float(np.sqrt(np.square(x - x.mean(axis=0)).mean())))
        for x in (window.data for window in recording.windows())
    ]
    low, high, rms = np.array(found).T
    return low, high, np.maximum(rms, 1e-9)
