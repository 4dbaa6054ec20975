"""The demo of `machine_condition`: train, export, and let a machine run to failure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from host import lives
from host.phases import Phases
from host.piece import Alerts, Piece

_REPLAY_S = 12.0  # a life of hours passes in about this long


def prepare(asked: argparse.Namespace, phases: Phases, console: Console) -> Piece:
    """A bundle that is proved, and a machine that it has not seen.

    Raises:
        DemoError: training or export failed.
        LifeError: the recording cannot be read.
    """
    folder = phases.folder
    run, bundle = folder / "run", folder / "bundle"
    data = ["--data", str(_without_recordings(folder))] if asked.simulate else []
    console.rule("1  train on the healthy starts of other machines")
    with phases.timed("train"):
        seed = ["--seed", str(asked.seed)]
        phases.finish("train", "machine_condition", "--out", str(run), *data, *seed, "--json")
    console.rule("2  quantize, prove, pack")
    with phases.timed("export"):
        phases.finish("export", str(run), "--out", str(bundle), "--json")
    console.print(f"report {run}/report.html", soft_wrap=True)
    life = lives.choose(run, simulate=asked.simulate, seed=asked.seed, folder=folder)
    return Piece(
        name=life.name,
        pipeline=_pipeline(life),
        windows=len(life.fractions),
        where=lambda window: f"{life.fractions[window]:.0%} of life",
        summarise=lambda raised: _summary(raised, life, bundle),
        lines=_lines,
        is_right=lambda _: True,
    )


def _without_recordings(folder: Path) -> Path:
    """A data root that holds no data set, so that the recipe simulates all of its machines."""
    root = folder / "no-recordings"
    root.mkdir(exist_ok=True)
    return root


def _pipeline(life: lives.Life) -> str:
    return f"""\
[[pipeline]]
name = "bearing"
bundle = "bundle"
learn_windows = {life.learn_windows}
score_interval_s = 0.0

[pipeline.source]
{life.source_toml}
speed = {life.length_s / _REPLAY_S:.1f}
"""


def _summary(raised: Alerts, life: lives.Life, bundle: Path) -> dict[str, Any]:
    first = min((life.fractions[alert["window"]] for alert in raised), default=None)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    stages = manifest["stages"].values()
    return {
        "learn_windows": life.learn_windows,
        "first_alert_fraction_of_life": None if first is None else round(first, 4),
        "onset_fraction_of_life": life.onset,
        "model": {
            "float_bytes": sum(manifest["float_bytes"].values()),
            "int8_bytes": sum(stage["tflite"]["bytes"] for stage in stages),
            "parity": manifest["metrics"],
        },
    }


def _lines(summary: dict[str, Any]) -> list[str]:
    first, model = summary["first_alert_fraction_of_life"], summary["model"]
    when = "no time" if first is None else f"{first:.0%} of life"
    return [
        f"first alert at {when}",
        f"model {model['float_bytes']} bytes float, {model['int8_bytes']} bytes int8",
    ]
