"""`python -m export.liveness`: are attacks told of a kind never trained on, or other data sets?

Everything is simulated from pictures of living people and trained anew without each kind of attack
(or each data set), int8, on the device's engine. It takes minutes for each.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from contract.fold import Model
from contract.manifest import ModelFile
from contract.spec import Engine, Floats
from edge.bundle import Bundle
from edge.engines import open_engine
from edge.errors import VedetteError
from edge.pipeline import run_rows
from export import bundle, device, tflite
from training import backend, datasets, liveness
from training import liveness_protocol as protocol
from training.console import fail, print_json, say
from training.datasets import DataError
from training.liveness import Portrait
from training.weights import faces

ENGINE = "tflite"
_SETS = (*faces.CHOSEN_ON, "faces_london_groups")


def quantized(model: Any, calibration: Floats, file: Path) -> tuple[ModelFile, Engine]:
    """An int8 model on the device's engine, and what a manifest says of its file.

    Args:
        model: Keras model with one input and one output.
        calibration: (n, *input_shape) float32.
        file: to write.

    Raises:
        ConversionError: the model lost its weights on the way.
    """
    tflite.convert(model, calibration, file)
    weights = sum(weight.size for weight in model.get_weights() if weight.ndim >= 2)
    ends = tflite.check(file, weights=weights)
    described = ModelFile(file.name, bundle.sha256(file), file.stat().st_size, *ends)
    return described, open_engine(ENGINE, file.read_bytes(), described)


def stage(
    shown: Sequence[Portrait],
    file: Path,
    *,
    seed: int = 0,
    epochs: int = liveness.EPOCHS,
    told: Callable[[str], None] = lambda _text: None,
) -> tuple[ModelFile, Engine, float]:
    """The model of the stage `live`, trained on four fifths of the persons.

    Args:
        shown: pictures of living people.
        file: to write.
        seed: of persons, replays and weights.
        epochs: of the training.
        told: what is being done.

    Returns:
        what a manifest says of the file, its engine, and `least_live` for the operating point,
        chosen on the other persons with that engine.

    Raises:
        ConversionError: the model lost its weights on the way.
    """
    backend.quiet()
    is_apart = protocol.apart(shown, seed)
    told(f"simulating attacks, {len(shown)} pictures")
    learned = liveness.examples(shown, seed=seed)
    is_kept = np.array([person not in is_apart for person in learned.persons])
    model = liveness.train(
        learned.only(is_kept),
        learned.only(~is_kept),
        seed=seed,
        epochs=epochs,
        progress=lambda epoch, loss, _val_loss: told(f"epoch {epoch}, loss {loss:.3f}"),
    )
    rows = liveness.calibration(learned.only(is_kept))
    described, engine = quantized(model, rows, file)
    others = [one for one in shown if one.person in is_apart]
    return described, engine, protocol.chosen(partial(run_rows, engine), others, seed=seed)


def portraits(root: Path, opened: Bundle) -> list[Portrait]:
    """Everybody in the data sets of faces below `root`, their faces found by a bundle.

    Raises:
        DataError: there is no such data set.
    """
    folders = [root / name for name in _SETS if (root / name).is_dir()]
    if not folders:
        raise DataError(f"{root}: none of {', '.join(_SETS)} is there; fix: --data DIR")
    workload = protocol.only_finding(opened.workload)
    engines = {ENGINE: opened.engines}
    return protocol.seen_by(
        lambda one: device.see(workload, engines, one)[ENGINE],
        [recording for f in folders for recording in datasets.open_folder(f).recordings],
    )


def main(argv: Sequence[str]) -> int:
    """Run it; the exit code is returned."""
    parser = argparse.ArgumentParser(
        "python -m export.liveness", description=__doc__, epilog="exit codes: 0 done, 1 failed"
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", required=True, help="holds the data sets of faces")
    add("--bundle", type=Path, metavar="DIR", default=Path("bundles/faces"), help="finds the faces")
    add("--by", choices=["attack", "dataset"], default="attack", help="what is left out in turn")
    add("--epochs", type=int, default=liveness.EPOCHS, help="of each training")
    add("--seed", type=int, default=0, help="of persons, replays and weights")
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    asked = parser.parse_args(argv)
    backend.quiet()
    try:
        shown = portraits(asked.data, Bundle.open(asked.bundle, ENGINE))
        with tempfile.TemporaryDirectory() as folder:
            folds = protocol.leave_one_out(
                shown,
                by=asked.by,
                quantize=partial(_on_engine, file=Path(folder, "LIVE.tflite")),
                seed=asked.seed,
                epochs=asked.epochs,
                told=say,
            )
    except (DataError, VedetteError, OSError) as error:
        return fail("liveness", error)
    over_all = protocol.worst(folds)
    say("  ".join(f"{name} {value:.4g}" for name, value in over_all.items()))
    if asked.json:
        print_json(
            {
                "by": asked.by,
                "portraits": len(shown),
                "persons": len({one.person for one in shown}),
                "metrics": over_all,
                "folds": [dataclasses.asdict(fold) for fold in folds],
            }
        )
    return 0


def _on_engine(model: Any, calibration: Floats, *, file: Path) -> Model:
    return partial(run_rows, quantized(model, calibration, file)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
