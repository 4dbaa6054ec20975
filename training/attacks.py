"""`python -m training.attacks`: are attacks on a classifier of parts noticed?

A small classifier is trained on crops of parts, its crops are attacked in five ways, and two
detections are asked which crops were: the entropy of response maps and feature squeezing, and then
both together with what else an attack leaves behind. How the entropy is read and all traces are
weighed is chosen on validation crops; the figures are of test crops, of other items.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.spec import Floats
from training import (
    attacks_crops,
    attacks_detect,
    attacks_joint,
    attacks_net,
    attacks_page,
    attacks_run,
    backend,
)
from training.attacks_crops import Crops
from training.attacks_detect import Rates, Reading
from training.attacks_run import ATTACKS, SLOW, Attacked
from training.console import fail, print_json, say
from training.datasets import DataError, inspect_parts

_LEARNED_FROM = ("fgsm", "deepfool")  # attacks on validation crops that the way is chosen by
_CLEAN = 300  # validation crops, for the choice
_WEIGHTS = (0.0, 10.0, 100.0)  # of the entropy in the adaptive attack
_EXAMPLE = """example:
  python -m training.attacks --data parts/ --out attacks.html
  python -m training.attacks --data parts/ --model small.keras --json

exit codes: 0 done, 1 failed, 2 wrong usage
"""


@dataclass(frozen=True, eq=False)
class Found:
    """One attack and how well it is noticed.

    Attributes:
        name: of the attack.
        attacked: what became of it.
        entropy: rates of the entropy; None where no attack succeeded.
        squeezing: rates of feature squeezing, likewise.
        joint: rates of all traces together, likewise.
        scores: (n,) entropies of the attacked crops, bits.
    """

    name: str
    attacked: Attacked
    entropy: Rates | None
    squeezing: Rates | None
    joint: Rates | None
    scores: Floats


@dataclass(frozen=True, eq=False)
class Study:
    """All that was measured.

    Attributes:
        accuracy: of the classifier on the test crops.
        reading: how the entropy is read.
        clean: test crops that the classifier takes for what they are.
        scores: (n,) their entropies, bits.
        found: of each attack, then of the adaptive ones.
        shifts: share of harmless crops above the threshold that 1 % of clean ones are above, by
            what was done to them.
    """

    accuracy: float
    reading: Reading
    clean: Crops
    scores: Floats
    found: tuple[Found, ...]
    shifts: Mapping[str, float]


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is returned."""
    asked = _parser().parse_args(argv)
    try:
        start = time.monotonic()
        dataset = inspect_parts.open_folder(asked.data)
        names = _names(asked.attacks)
        splits = attacks_crops.cut(dataset, side=asked.side, most=asked.most, seed=asked.seed)
        model = _model(asked, splits)
        found = study(model, splits, names=names, crops=asked.crops, slow=asked.slow_crops)
        if asked.out:
            command = " ".join(["python -m training.attacks", *argv])
            page = attacks_page.write(
                asked.out, found, model, dataset=dataset.name, command=command
            )
            say(f"report: {page}")
    except (DataError, OSError) as error:
        return fail("attacks", error)
    except KeyboardInterrupt:
        return fail("attacks", "interrupted; fix: run it again")
    for one in found.found:
        told = {"entropy": one.entropy, "all traces": one.joint}
        caught = "; ".join(f"{name} {_caught(of)}" for name, of in told.items() if of)
        tried = f"{one.attacked.success:.0%} of {one.attacked.tried}"
        say(f"{one.name:<14} succeeds on {tried}; {caught or '-'}")
    if asked.json:
        print_json(as_json(found) | {"seconds": round(time.monotonic() - start, 1)})
    return 0


def study(
    model: Any, splits: Mapping[str, Crops], *, names: Sequence[str], crops: int, slow: int
) -> Study:
    """Attack, choose how to read the entropy, and measure.

    Args:
        model: of `attacks_net.network`, trained.
        splits: as `attacks_crops.cut` gives them.
        names: of the attacks.
        crops: attacked by each.
        slow: attacked by each of the attacks that ask the network thousands of times.
    """
    validation, test = (attacks_run.right(model, splits[name]) for name in ("validation", "test"))
    attacked = _attacked(model, validation, crops)
    reading = choose(model, _some(validation, _CLEAN), attacked)
    joint = attacks_joint.learn(model, validation.pixels, attacked)
    clean = attacks_detect.entropies(model, test.pixels, reading.way)
    usual = reading.unusual(clean, test.is_defect)
    squeezed = attacks_detect.squeezed(model, test.pixels)
    plain = joint.unusual(attacks_joint.traces(model, test.pixels), test.is_defect)
    found = []
    for name in names:
        some = _some(test, slow if name in SLOW else crops)
        say(f"{name}: {len(some)} crops")
        found.append((name, attacks_run.attack(name, model, some)))
    for weight in _WEIGHTS:
        some = _some(test, crops)
        given = attacks_run.adaptive(model, some, reading, weight=weight)
        found.append((f"adaptive, {weight:g}", given))
    measured = []
    for name, one in found:
        if not len(one.pixels):
            measured.append(Found(name, one, None, None, None, np.zeros(0, np.float32)))
            continue
        scores = attacks_detect.entropies(model, one.pixels, reading.way)
        classes = attacks_net.classes(model, one.pixels)
        entropy = attacks_detect.rates(usual, reading.unusual(scores, classes))
        moved = attacks_detect.squeezed(model, one.pixels)
        squeezing = attacks_detect.rates(squeezed, moved)
        odd = joint.unusual(attacks_joint.traces(model, one.pixels), classes)
        together = attacks_detect.rates(plain, odd)
        measured.append(Found(name, one, entropy, squeezing, together, scores))
    accuracy = len(test) / len(splits["test"])
    shifts = _shifts(model, test.pixels, usual, reading)
    return Study(accuracy, reading, test, clean, tuple(measured), shifts)


def _attacked(model: Any, validation: Crops, crops: int) -> list[Floats]:
    """Validation crops on which each of the attacks learned from succeeded.

    Raises:
        DataError: none does.
    """
    some = _some(validation, crops)
    attacked = [attacks_run.attack(name, model, some).pixels for name in _LEARNED_FROM]
    attacked = [one for one in attacked if len(one)]
    if not attacked:
        raise DataError("no attack on validation crops succeeds; fix: --crops, more of them")
    return attacked


def choose(model: Any, clean: Crops, attacked: Sequence[Floats]) -> Reading:
    """The reading whose worst area under the curve is best on attacked validation crops.

    Args:
        model: of `attacks_net.network`.
        clean: validation crops that it takes for what they are.
        attacked: (n, side, side, 3) of each attack.
    """
    taken = [attacks_net.classes(model, one) for one in attacked]
    classes = np.concatenate(taken)
    of_clean = attacks_detect.by_way(model, clean.pixels)
    of_attacks = [attacks_detect.by_way(model, one) for one in attacked]
    best: tuple[float, Reading] | None = None
    for column, way in enumerate(attacks_detect.tried(model)):
        usual = of_clean[:, column]
        scores = [one[:, column] for one in of_attacks]
        every = np.concatenate(scores)
        good, defect = (
            attacks_detect.calm(usual[clean.is_defect == label], every[classes == label])
            for label in (0, 1)
        )
        reading = Reading(way, (good, defect))
        quiet = reading.unusual(usual, clean.is_defect)
        worst = min(
            attacks_detect.rates(quiet, reading.unusual(one, seen)).auc
            for one, seen in zip(scores, taken, strict=True)
        )
        if best is None or worst > best[0]:
            best = (worst, reading)
    assert best is not None
    return best[1]


def as_json(found: Study) -> dict[str, Any]:
    """All figures, by names with units."""
    return {
        "accuracy": found.accuracy,
        "clean_crops": len(found.clean),
        "entropy": asdict(found.reading),
        "clean_entropy_bits": float(found.scores.mean()),
        "false_alarms_at_1": dict(found.shifts),
        "attacks": {
            one.name: {
                "tried": one.attacked.tried,
                "success": one.attacked.success,
                "largest_change_levels": one.attacked.largest,
                "seconds_each": one.attacked.seconds_each,
                "entropy": None if one.entropy is None else one.entropy.as_json(),
                "squeezing": None if one.squeezing is None else one.squeezing.as_json(),
                "joint": None if one.joint is None else one.joint.as_json(),
            }
            for one in found.found
        },
    }


def _shifts(model: Any, pixels: Floats, usual: Floats, reading: Reading) -> dict[str, float]:
    """What happens to pictures without any attack, and how many false alarms that would be."""
    changed = {
        "JPEG 95": attacks_detect.jpeg(pixels, 95),
        "JPEG 75": attacks_detect.jpeg(pixels, 75),
        "rescaled to 3/4 and back": attacks_detect.rescaled(pixels, 0.75),
    }
    found = {}
    for name, some in changed.items():
        entropies = attacks_detect.entropies(model, some, reading.way)
        unusual = reading.unusual(entropies, attacks_net.classes(model, some))
        found[name] = attacks_detect.rates(usual, unusual).caught[0]
    return found


def _some(of: Crops, most: int) -> Crops:
    """So many of them, evenly over all: both classes in turn."""
    numbers = np.unique(np.linspace(0, len(of) - 1, min(most, len(of))).astype(int))
    return Crops(of.pixels[numbers], of.is_defect[numbers])


def _model(asked: argparse.Namespace, splits: Mapping[str, Crops]) -> Any:
    if asked.model is not None and asked.model.exists():
        model = backend.load(asked.model)
        if model.name != attacks_net.NAME or model.input_shape[1] != asked.side:
            raise DataError(
                f"{asked.model}: {model.name} of {model.input_shape[1]} pixels, not the small "
                f"classifier of {asked.side}; fix: a file that this command has written"
            )
        return model
    backend.quiet()
    import keras

    keras.utils.set_random_seed(asked.seed)
    model = attacks_net.network(asked.side)
    attacks_net.train(
        model,
        splits["train"],
        splits["validation"],
        epochs=asked.epochs,
        seed=asked.seed,
        tell=lambda epoch, right: say(f"epoch {epoch} of {asked.epochs}: {right:.1%} right"),
    )
    if asked.model is not None:
        model.save(asked.model)
    return model


def _names(asked: str) -> list[str]:
    names = [one for one in asked.split(",") if one]
    unknown = [one for one in names if one not in ATTACKS]
    if unknown:
        raise DataError(f"--attacks {','.join(unknown)}; fix: some of {','.join(ATTACKS)}")
    return names


def _caught(rates: Rates) -> str:
    return f"AUC {rates.auc:.3f}, {rates.caught[0]:.0%} at {attacks_detect.FALSE_ALARMS[0]:.0%}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m training.attacks",
        description="Attack a small classifier of parts, and measure how well that is noticed.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="pictures of parts, with labels")
    add(
        "--model",
        type=Path,
        metavar="FILE",
        help="of the classifier; written where it is not there",
    )
    add("--attacks", default=",".join(ATTACKS), metavar="NAMES", help="default: %(default)s")
    add("--crops", type=int, default=200, metavar="N", help="that each attack is tried on (200)")
    add("--slow-crops", type=int, default=24, metavar="N", help="one pixel, boundary (24)")
    add("--side", type=int, default=64, metavar="PX", help="of a crop (64)")
    add("--most", type=int, default=3000, metavar="N", help="crops over all splits (3000)")
    add("--epochs", type=int, default=12, metavar="N", help="of training (12)")
    add("--seed", type=int, default=0, metavar="N", help="of split, crops and weights (0)")
    add("--out", type=Path, metavar="FILE.html", help="a page with figures")
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
