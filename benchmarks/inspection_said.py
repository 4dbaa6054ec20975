"""The section about parts on a line, out of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import stats

if TYPE_CHECKING:
    from inspection import Found
    from inspection_turns import Contender

GOAL = 3.0
THEIRS = {
    "padim": "PaDiM, ResNet-18",
    "patchcore": "PatchCore, ResNet-18, 1 %",
    "patchcore-wide": "PatchCore, Wide ResNet-50-2, 10 %",
    "efficientad": "EfficientAD-S",
}
_STEPS = 70_000  # of EfficientAD's training (Batzner et al., WACV 2024)
_SHIPPED = "tflite"  # the engine that a device takes where both are installed
_ALONE = """anomalib was not there to be measured; fix: `python -m venv ENV && ENV/bin/pip install
anomalib==2.7.0 torch torchvision`, then `python benchmarks/run.py --only inspection --anomalib
ENV/bin/python`."""
_BESIDE = """Theirs is anomalib {anomalib} (PyTorch {torch}, float32, CPU), from the picture in
memory through the transform of its own pre-processor and the model to map, score and comparison,
at the picture's own size, without Lightning and post-processing; its exports to other engines
were not measured. **Its backbones have random weights**, for those of ImageNet could not be had
offline: that does not change speed, but what they find means nothing, so AUROC on equal terms is
not known from here."""


def section(found: Found, *, rounds: int, turns: Mapping[int, int]) -> str:
    """Markdown.

    Args:
        found: measured.
        rounds: pictures in a turn.
        turns: of each contender, by side of the pictures.
    """
    sizes = list(turns)
    some = found.timed[sizes[0], 1]
    versions = next((c.ready["versions"] for c in some.values() if "versions" in c.ready), None)
    beside = _BESIDE.format(**versions) if versions else _ALONE
    counts = " and ".join(f"{rounds * turns[size]} at {size} x {size}" for size in sizes)
    tables = "\n\n".join(
        f"Pictures of {size} x {size}{_looks(found.timed[size, 1])}:\n\n{_times(found, size)}"
        for size in sizes
    )
    return f"""## 8. A part on a line

Simulated catheters; all learned from the same {found.good} pictures of good parts or, ours, from
four fifths of them, `edge` from the defective ones of that folder too and once for all sizes. Every
contender is a process of its own; they look at the same pictures in turns of {rounds}, one alone at
a time, after one picture that is not counted ({counts} in all). Ours is int8 in the device's own
pipeline: a picture in memory in, the decision with heat map, box, sizes, reason and drift out;
*network* is the engine alone. The device's engines use one thread; two are what more would bring.
{beside}

{tables}

{_ratios(found) if versions else ""}

{_learning(found)}
"""


def _looks(contenders: Mapping[str, Contender]) -> str:
    counts = {one.ready["looks"] for one in contenders.values() if "looks" in one.ready}
    return f", at which ours looks {max(counts)} times, 256 x 256 each" if max(counts) > 1 else ""


def _times(found: Found, size: int) -> str:
    one, two = found.timed[size, 1], found.timed[size, 2]
    rows = []
    for name in one:
        row = [name]
        for contender in (one[name], two[name]):
            whole, network = contender.took_ms["whole"], contender.took_ms["network"]
            p50, p99 = np.percentile(whole, [50, 99])
            row += [f"{p50:.1f}", f"{p99:.1f}", f"{np.median(network):.1f}"]
        rows.append([*row, f"{one[name].peak_mb:.0f}", f"{two[name].peak_mb:.0f}"])
    threads = [
        f"{n}, {what}" for n in ("1 thread", "2 threads") for what in ("p50", "p99", "network")
    ]
    return stats.table(["ms a part", *threads, "MB, 1 thread", "MB, 2"], rows)


def _ratios(found: Found) -> str:
    """How many times as fast as the fastest of theirs, and whether that is enough."""
    columns: list[dict[str, float]] = []
    head = ["times as fast"]
    for (size, threads), contenders in found.timed.items():
        medians = {name: float(np.median(c.took_ms["whole"])) for name, c in contenders.items()}
        best = min(THEIRS.values(), key=lambda name: medians.get(name, np.inf))
        head.append(f"{size}, {threads} thread{'s' * (threads > 1)}: {best}")
        columns.append(
            {n: medians[best] / ms for n, ms in medians.items() if n not in THEIRS.values()}
        )
    rows = [[name, *(f"{column[name]:.2f}" for column in columns)] for name in columns[0]]
    shipped = [r for column in columns for name, r in column.items() if name.endswith(_SHIPPED)]
    lowest, highest = min(shipped), max(shipped)
    met = "**Met**" if lowest >= GOAL else "**Partly met**" if highest >= GOAL else "**Not met**"
    return f"""Beside the fastest of theirs, which is named above each column, medians:

{stats.table(head, rows)}

Goal: {GOAL:g} times as fast at equal or better AUROC. {met} in speed: {lowest:.2f} to
{highest:.2f} times with `{_SHIPPED}`, one value for each method, size and number of threads. The
other half of the goal is open, see above."""


def _learning(found: Found) -> str:
    rows = []
    for (size, name), made in found.made.items():
        if name == THEIRS["efficientad"]:
            minutes = f"({made.seconds * _STEPS / 60:,.0f})"
        else:
            minutes = f"{made.seconds / 60:.2f}"
        export = f"{made.export_s / 60:.2f}" if made.export_s else "-"
        size_mb = f"{made.file_mb:.1f}" if made.file_mb >= 0.05 else "-"
        rows.append([name, str(size), minutes, export, f"{made.peak_mb:.0f}", size_mb])
    head = ["learning", "pictures", "minutes", "export, minutes", "MB at most", "MB on disk"]
    return f"""{stats.table(head, rows)}

Ours is the whole command, from start to report; theirs is features and fit alone. The one in
parentheses is the measured time of one step times the {_STEPS:,} that are published. On disk: our
bundle with both engines' models and golden vectors; of theirs what was fitted, without the
backbone. MB at most: resident memory of the process (VmHWM); those in the tables of milliseconds
are of processes that only look at parts."""
