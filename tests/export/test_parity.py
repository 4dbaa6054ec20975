from dataclasses import replace

import numpy as np
import pytest

from contract.spec import Detection, OperatingPoint
from contract.workloads.machine_condition import WORKLOAD
from export.parity import ParityError, compare, gate
from training.datasets import Recording
from training.recipes import Recipe
from training.watch import Seen

POINT = OperatingPoint(1.0, 0.8, "", {})
SIMPLE = replace(
    WORKLOAD,
    learn=None,
    follow=None,
    judge=lambda found, _profile: found,
    tolerances={"error": 0.1, "hits": 0.05},
)
RECIPE = Recipe(
    sources=lambda _root, _seed: (),
    stages={"spectrum": None},
    metrics=lambda watched: {
        "error": float(np.mean([w.scores.mean() for w in watched])),
        "hits": float(np.mean([1.0 - w.scores.mean() for w in watched])),
    },
    bigger_is_better={"error": False, "hits": True},
    operating_point=lambda _seen: POINT,
)


def seen(score, outputs):
    life = np.float32([0.5, 1.0])
    made = Recording("m", "made", life, 0, None, "", lambda _i: None)
    found = ((Detection("novelty", score=score),),) * 2
    rows = np.float32(outputs).reshape(1, -1)
    return Seen(made, (0, 1), found, {"spectrum": ((rows, rows),)})


def compared(float_score, int8_score, outputs=(1.0, 1.1)):
    one = {"float": [seen(float_score, [1.0, 1.0])], "tflite": [seen(int8_score, outputs)]}
    return compare(SIMPLE, RECIPE, one, POINT)


def test_losses_point_the_same_way_for_both_kinds_of_metric():
    losses = compared(0.20, 0.24).losses["tflite"]
    assert losses == {"error": pytest.approx(0.04), "hits": pytest.approx(0.04)}
    gains = compared(0.24, 0.20).losses["tflite"]
    assert gains == {"error": pytest.approx(-0.04), "hits": pytest.approx(-0.04)}


def test_the_gate_lets_a_loss_within_tolerance_pass_and_any_gain():
    gate(compared(0.20, 0.24))
    gate(compared(0.90, 0.10))


def test_the_gate_names_metric_float_int8_and_tolerance():
    with pytest.raises(ParityError) as refused:
        gate(compared(0.20, 0.27))
    text = str(refused.value)
    assert "hits with tflite: float 0.8, int8 0.73, tolerance 0.05" in text
    assert "error" not in text
    assert "no bundle written" in text


def test_a_metric_that_is_not_a_number_never_passes():
    with pytest.raises(ParityError, match="int8 nan"):
        gate(compared(0.2, float("nan")))


def test_sqnr_is_that_of_the_outputs():
    # noise 0.1 squared beside a signal of 2 times 1 squared
    assert compared(0.2, 0.2).metrics["tflite"]["sqnr_db"] == pytest.approx(23.0, abs=0.1)


def test_a_tolerance_without_its_metric_is_refused():
    strange = replace(SIMPLE, tolerances={"unheard_of": 0.1})
    with pytest.raises(ParityError, match=r"unheard_of.*bigger_is_better"):
        compare(strange, RECIPE, {"float": [seen(0.1, [1.0])]}, POINT)


def test_a_recipe_knows_what_few_data_can_tell():
    wide = replace(RECIPE, tolerances=lambda stated, _measured: {"hits": 2 * stated["hits"]})
    few = {name: [seen(score, [1.0])] for name, score in (("float", 0.20), ("tflite", 0.29))}
    gate(compare(SIMPLE, wide, few, POINT))
    with pytest.raises(ParityError, match="hits with tflite"):
        gate(compare(SIMPLE, RECIPE, few, POINT))
