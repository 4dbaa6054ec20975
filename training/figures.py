"""The pictures of a report, as markup that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from markupsafe import Markup

from contract.spec import Array, Floats, OperatingPoint
from training.metrics import Alarms
from training.watch import Watched

BLUE, ORANGE, RED, GREY, GREEN = "#1f6f8b", "#d9822b", "#c0392b", "#9aa7b3", "#2e8b57"
INK = "#445260"
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e8edf1",
    "xtick.color": "#5d6b7a",
    "ytick.color": "#5d6b7a",
    "legend.frameon": False,
    "svg.fonttype": "path",
}


@contextmanager
def drawing(
    rows: int = 1, columns: int = 1, *, height: float, share_x: bool = False, as_png: bool = False
) -> Iterator[tuple[Any, Any, list[Markup]]]:
    """Figure, (rows, columns) array of axes, and a list that holds the finished markup afterwards.

    Args:
        rows: of the grid of axes.
        columns: of the grid of axes.
        height: of the whole figure in inches; the width is that of the page.
        share_x: whether all axes show the same range.
        as_png: for figures of so many points that vectors would be heavy.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    made: list[Markup] = []
    # the salt makes the ids inside the SVG the same in every run
    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"{rows}{columns}{height}"}):
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(10.6, height),
            squeeze=False,
            layout="constrained",
            sharex=share_x,
        )
        try:
            yield figure, axes, made
            made.append(_png(figure) if as_png else _svg(figure))
        finally:
            plt.close(figure)


def _svg(figure: Any) -> Markup:
    """A figure as inline SVG, without the XML header."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return Markup(svg[svg.index("<svg") :])  # noqa: S704 - drawn by matplotlib, which escapes its text


def _png(figure: Any) -> Markup:
    """A figure as an inline PNG."""
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=140)
    return Markup('<img alt="" src="data:image/png;base64,{}">').format(
        base64.b64encode(raw.getvalue()).decode()
    )


def _plain_logarithm(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each decade, written out; the many in between say nothing."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def learning_curves(history: Mapping[str, Mapping[str, Sequence[float]]]) -> Markup:
    """Loss of each stage over the epochs, the kept epoch marked."""
    fitted = {stage: curves for stage, curves in history.items() if curves["loss"]}
    if not fitted:
        return Markup("<p>Nothing was fitted step by step.</p>")
    with drawing(1, len(fitted), height=3.0) as (_, axes, made):
        for axis, (stage, curves) in zip(axes[0], fitted.items(), strict=True):
            epochs = np.arange(1, len(curves["loss"]) + 1)
            best = int(np.argmin(curves["val_loss"]))
            axis.semilogy(epochs, curves["loss"], color=GREY, label="training (augmented)")
            axis.semilogy(epochs, curves["val_loss"], color=BLUE, label="validation")
            axis.plot(epochs[best], curves["val_loss"][best], "o", color=ORANGE, label="kept")
            axis.set(title=f"stage {stage}", xlabel="epoch", ylabel="loss")
            _plain_logarithm(axis.yaxis)
            axis.legend(loc="upper right")
    return made[0]


def histograms(healthy: Array, failed: Array, point: OperatingPoint) -> Markup:
    """Scores of healthy and of failed windows on a logarithmic axis."""
    with drawing(height=3.0) as (_, axes, made):
        both = np.maximum(np.concatenate([healthy, failed]), 1e-6)
        bins = np.geomspace(both.min(), both.max() * 1.001, 60)
        axis = axes[0, 0]
        for scores, colour, name in ((healthy, BLUE, "healthy"), (failed, RED, "last 5 % of life")):
            weights = np.full(len(scores), 100.0 / max(len(scores), 1))
            axis.hist(scores, bins, weights=weights, color=colour, alpha=0.65, label=name)
        axis.axvline(point.threshold, color=ORANGE, label="threshold")
        axis.set(xscale="log", xlabel="score", ylabel="% of windows")
        _plain_logarithm(axis.xaxis)
        axis.legend()
    return made[0]


def pairs(genuine: Array, impostor: Array, point: OperatingPoint) -> Markup:
    """Cosines of pairs of one person and of two."""
    with drawing(height=3.0) as (_, axes, made):
        bins = np.linspace(min(float(impostor.min()), 0.0), 1.0, 80)
        axis = axes[0, 0]
        for scores, colour, name in ((impostor, RED, "two persons"), (genuine, BLUE, "one person")):
            weights = np.full(len(scores), 100.0 / max(len(scores), 1))
            axis.hist(scores, bins, weights=weights, color=colour, alpha=0.65, label=name)
        axis.axvline(point.threshold, color=ORANGE, label="threshold")
        axis.set(xlabel="cosine", ylabel="% of pairs")
        axis.legend(loc="upper left")
    return made[0]


def lives(watched: Sequence[Watched], alarms: Sequence[Alarms], point: OperatingPoint) -> Markup:
    """The score of every machine over its life, with learning period, threshold and alarm."""
    columns = 3
    rows = -(-len(watched) // columns)
    with drawing(rows, columns, height=1.75 * rows + 0.5, share_x=True) as (figure, axes, made):
        for axis in axes.flat[len(watched) :]:
            axis.set_axis_off()
        for axis, one, alarm in zip(axes.flat, watched, alarms, strict=False):
            life = 100.0 * one.recording.life
            # of too few windows to learn from all are learned
            until = life[min(one.recording.learn_windows, len(life)) - 1]
            axis.axvspan(0, until, color="#e3eaf0", lw=0, label="learning")
            axis.fill_between(
                life, 0, 1, where=alarm.is_raised, transform=axis.get_xaxis_transform(),
                color=RED, alpha=0.13, lw=0, step="post", label="alarm",
            )  # fmt: skip
            axis.axhline(point.threshold, color=ORANGE, lw=1, label="threshold")
            axis.semilogy(life, one.scores, color=BLUE, lw=1, label="score")
            if one.recording.onset is not None:
                at = 100.0 * one.recording.onset
                axis.axvline(at, color=GREEN, ls=":", lw=1.3, label="onset of the fault")
            axis.set_title(f"{one.recording.dataset} {one.recording.name}")
            axis.set_xlim(0, 100)
            _plain_logarithm(axis.yaxis)
        for axis in axes[-1]:
            axis.set_xlabel("% of life")
        named = {
            label: handle
            for axis in axes.flat
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(named.values(), named.keys(), loc="outside upper right", ncols=len(named))
    return made[0]


def elements(bars: Mapping[str, Mapping[str, Floats]], *, unit: str) -> Markup:
    """Values per input element, one axis for each entry, one colour for each series.

    Args:
        bars: title -> series name -> (elements,) values.
        unit: of the values.
    """
    with drawing(1, len(bars), height=2.8) as (_, axes, made):
        for axis, (title, series) in zip(axes[0], bars.items(), strict=True):
            width = 0.84 / len(series)
            for i, (name, values) in enumerate(series.items()):
                at = np.arange(values.size) + (i - (len(series) - 1) / 2) * width
                axis.bar(at, values.ravel(), width, color=(BLUE, RED)[i], label=name)
            axis.set(title=title, xlabel="input element, low to high", ylabel=unit)
            if len(series) > 1:
                axis.legend()
    return made[0]


def mistakes(shown: Sequence[tuple[str, Array, Array]]) -> Markup:
    """Model inputs with what the model made of them.

    Args:
        shown: title, inputs (n, elements) and outputs (n, elements) of one window.
    """
    columns = 3
    rows = -(-len(shown) // columns)
    with drawing(rows, columns, height=2.3 * rows + 0.3) as (figure, axes, made):
        for axis in axes.flat[len(shown) :]:
            axis.set_axis_off()
        for axis, (title, inputs, outputs) in zip(axes.flat, shown, strict=False):
            for channel, (x, y) in enumerate(zip(inputs, outputs, strict=True)):
                colour = (BLUE, ORANGE, GREEN, RED)[channel % 4]
                axis.plot(x, color=colour, lw=1.4, label=f"channel {channel}")
                axis.plot(y, color=colour, lw=1.1, ls="--", label=f"channel {channel} rebuilt")
            axis.set_title(title)
            axis.set_xlabel("input element")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=4)
    return made[0]
