"""The faces bundle in the repository: what a device gets, out of the box."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from contract import npz
from contract.fold import fold
from contract.ops import drawn
from contract.spec import Window
from edge.bundle import Bundle
from edge.errors import BundleError
from edge.pipeline import run_rows
from export import published
from export.evaluate import evaluate, main
from training import datasets
from training.weights import DLIB_RESNET

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "faces"


@pytest.fixture(scope="module")
def bundle():
    """It proves itself here, or is refused."""
    return Bundle.open(SHIPPED, "tflite")


def real(name: str) -> Path:
    folder = Path(os.environ.get("VEDETTE_DATA", "data"), name)
    if not folder.is_dir():
        pytest.skip(f"{folder}: no such folder; set VEDETTE_DATA")
    return folder


def faces_in(bundle, picture):
    models = {stage: partial(run_rows, engine) for stage, engine in bundle.engines.items()}
    (found,), _ = fold(bundle.workload, models, [Window("camera", 0, 0, 0, picture, 0.0)])
    return tuple(one for one in found if one.label == "face")


def test_it_says_whose_work_it_is(bundle):
    licence = bundle.manifest.licence
    assert "CC0" in licence
    assert "Apache" in licence
    assert set(bundle.manifest.stages) == {stage.name for stage in bundle.workload.stages}


def test_of_an_embedding_that_was_trained_here_nobody_else_is_named():
    said = published._licences(published.Trained(None, {"training": []}))
    assert "CC0" not in said
    assert "dlib" not in said
    assert said.endswith("embed: trained here, on the data named")


def test_of_an_embedding_that_learned_from_published_weights_their_terms_are_told():
    learned = published.Trained(None, {"training": []}, weights=(DLIB_RESNET,))
    said = published._licences(learned)
    assert "embed, from dlib_face_recognition_resnet_model_v1.dat: CC0" in said
    assert "Davis E. King" in said


def test_another_processor_may_differ_in_the_last_digits_and_in_nothing_else(bundle):
    golden = npz.read(SHIPPED / "golden.npz")
    assert bundle.reproduce({**golden, "place.input": golden["place.input"] + 0.02}) > 0.0
    with pytest.raises(BundleError, match="preprocessing of stage 'embed'"):
        bundle.reproduce({**golden, "embed.input": golden["embed.input"][..., ::-1]})
    with pytest.raises(BundleError, match="preprocessing of stage 'embed'"):
        bundle.reproduce({**golden, "embed.input": np.roll(golden["embed.input"], 1, axis=2)})
    with pytest.raises(BundleError, match="'place' not reproduced"):
        bundle.reproduce({**golden, "place.tflite": golden["place.tflite"] + 0.02})


def test_the_embedding_is_int8_throughout_and_close_to_float(bundle):
    model = bundle.manifest.stages["embed"]["tflite"]
    assert (model.input.dtype, model.output.dtype) == ("int8", "int8")
    metrics = bundle.manifest.metrics["tflite"]
    assert metrics["cosine_to_float_min"] >= 1 - bundle.manifest.tolerances["cosine_to_float"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_face_is_found_where_it_is(bundle, turned):
    picture = drawn.face(5)
    (face,) = faces_in(bundle, picture[:, ::-1].copy() if turned else picture)
    eyes = face.points[:2]
    assert eyes[0, 0] < eyes[1, 0]
    assert face.points[3, 1] > face.points[:2, 1].max()
    left, top, right, bottom = face.box
    assert 0 < left < right < 320
    assert 0 < top < bottom < 240
    assert face.vector.shape == (128,)


@pytest.mark.parametrize("shape", [(480, 640), (16, 16), (16, 900), (1200, 40)])
def test_nobody_is_found_in_noise_or_in_a_wall(bundle, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert faces_in(bundle, noise) == ()
    assert faces_in(bundle, np.full((*shape, 3), 130, np.uint8)) == ()


def test_every_box_of_small_faces_is_found_and_none_beside(bundle):
    metrics = evaluate(bundle, datasets.open_folder(real("faces_detect_small"))).metrics
    assert metrics["found"] >= metrics["faces"] - 1
    assert metrics["unmatched"] == 0


@pytest.mark.parametrize("name", ["pronostia", "cwru"])
def test_a_signal_is_no_picture_and_is_told_so(capsys, name):
    folder = real(name)
    assert main("evaluate", ["faces", "--data", str(folder), "--bundle", str(SHIPPED)]) == 1
    assert "faces takes pictures; fix: another data set" in capsys.readouterr().err


@pytest.mark.slow
def test_the_enrolled_are_known_and_strangers_are_not(bundle):
    metrics = evaluate(bundle, datasets.open_folder(real("faces_orl"))).metrics
    assert metrics["closed_set_accuracy"] == 1.0
    assert metrics["open_set_correct"] >= 0.98
    assert metrics["strangers_accepted"] == 0
    assert metrics["cosine_float_int8_min"] >= 0.995
