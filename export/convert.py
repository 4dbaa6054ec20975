"""Conversions, all in one child process: a converter that crashes takes nothing with it.

`python -m export.convert FOLDER` turns every `STAGE.keras` in the folder, with the calibration set
`STAGE.npy` beside it, into files for each engine, their names the stage's in capitals.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

_LAST_WORDS = 300  # characters of a converter's own message that are passed on


class ConversionError(RuntimeError):
    """A model could not be converted, or its file is not what it should be."""


def start(folder: Path) -> subprocess.Popen[str]:
    """Begin to convert the models in `folder`; `finish` waits for the end."""
    return subprocess.Popen(
        [sys.executable, "-m", "export.convert", str(folder)],
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> None:
    """Wait for the conversions.

    Raises:
        ConversionError: the child failed or crashed, with the end of what it said.
    """
    said, _ = child.communicate()
    if child.returncode:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"code {child.returncode}"
        last = (said.strip().splitlines() or ["no message"])[-1][-_LAST_WORDS:]
        raise ConversionError(
            f"the converter ended with {how}: {last}; fix: use only layers that TFLite has in int8 "
            "(docs/training.md names the traps)"
        )


def _convert_all(folder: Path) -> None:
    """What the child does."""
    from export import onnx, tflite
    from training import backend

    for file in sorted(folder.glob("*.keras")):
        model = backend.load(file)
        calibration = np.load(file.with_suffix(".npy"), allow_pickle=False)
        made = folder / file.stem.upper()
        tflite.convert(model, calibration, made.with_suffix(".tflite"))
        onnx.convert(model, calibration, made.with_suffix(".onnx"))


if __name__ == "__main__":
    _convert_all(Path(sys.argv[1]))
