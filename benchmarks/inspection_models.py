"""What `inspection` is timed with: simulated parts, models of ours and theirs made from them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from contract.spec import Array

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
THEIR_SIDE = str(HERE / "inspection_anomalib.py")
_APART = 16  # pictures that are looked at, of another line, half of them defective


@dataclass(frozen=True)
class Made:
    """A model to be timed.

    Attributes:
        path: our bundle, or what theirs learned.
        seconds: how long learning took; a step of it where learning is not done in one pass.
        export_s: how long export took, of ours.
        peak_mb: the most memory that the process which learned held resident.
        file_mb: as it lies on the disk.
    """

    path: Path
    seconds: float
    export_s: float
    peak_mb: float
    file_mb: float


def parts(work: Path, *, size: int, quick: bool) -> tuple[Path, Path, int]:
    """A folder to learn from, a file of pictures to look at, and how many of the first are good."""
    folder, apart = work / f"parts-{size}", work / f"apart-{size}"
    _catheters(folder, parts=24 if quick else 70, seed=1, share=0.3, size=size)
    _catheters(apart, parts=_APART, seed=2, share=0.5, size=size)
    good = [picture for label, picture in _read(folder) if label == "good"]
    looked_at = [picture for _, picture in _read(apart)]
    file = work / f"pictures-{size}.npz"
    np.savez(file, good=np.stack(good), apart=np.stack(looked_at))
    return folder, file, len(good)


def ours(method: str, folder: Path, work: Path) -> Made:
    """`vedette train` and `vedette export`, each in a process of its own."""
    run, bundle = work / f"run-{method}-{folder.name}", work / f"bundle-{method}-{folder.name}"
    train = ["train", "inspection", "--method", method, "--data", str(folder), "--out", str(run)]
    seconds, peak_mb = _vedette(train)
    export_s, _ = _vedette(["export", str(run), "--out", str(bundle)])
    return Made(bundle, seconds, export_s, peak_mb, _mb(*bundle.iterdir()))


def theirs(python: Path, method: str, pictures: Path, work: Path) -> Made:
    """Learned in their environment."""
    state = work / f"theirs-{method}-{pictures.stem}.pt"
    command = [str(python), THEIR_SIDE, "fit", method, str(pictures), str(state)]
    done = subprocess.run(
        command, env=environment(2), stdout=subprocess.PIPE, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return Made(state, told["seconds"], 0.0, told["peak_mb"], _mb(state))


def environment(threads: int) -> Mapping[str, str]:
    """Of a process that computes with so many threads, whatever library it does it with."""
    libraries = ("OMP", "OPENBLAS", "MKL")
    limits = {f"{library}_NUM_THREADS": str(threads) for library in libraries}
    # their packages warn on import, and look for weights that are not used
    return {**os.environ, **limits, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}


def _catheters(folder: Path, *, parts: int, seed: int, share: float, size: int) -> None:
    options = {"--parts": parts, "--seed": seed, "--defect-share": share, "--size": size}
    command = [sys.executable, "-m", "training.datasets.synthetic.catheters", str(folder)]
    command += [str(one) for option in options.items() for one in option]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _read(folder: Path) -> list[tuple[str, Array]]:
    """Label and (height, width, 3) uint8 of each picture."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(row["label"], cv2.imread(str(folder / row["file"]), cv2.IMREAD_COLOR)) for row in rows]


def _vedette(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds, start and report included, and the most megabytes it held resident."""
    command = [sys.executable, "-m", "vedette", *arguments]
    start = time.monotonic()
    child = subprocess.Popen(command, cwd=ROOT)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return time.monotonic() - start, used.ru_maxrss / 1024


def _mb(*files: Path) -> float:
    return sum(file.stat().st_size for file in files) / 2**20
