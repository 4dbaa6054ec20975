"""Every way to train `inspection` beside the edge net: on striped parts, some with a spot."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from training.recipes import load

pytestmark = [
    pytest.mark.training,
    # Keras, TensorFlow and tf2onnx are behind NumPy
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
STEPS = {  # epochs, steps of each, pictures of a step
    "quarter": (3, 4, 4),
    "autoencoder": (4, 10, 4),
    "student": (4, 5, 4),
    "fanogan": (5, 2, 5),
}
SUPERVISED = ("quarter",)
GOOD_ONLY = tuple(method for method in STEPS if method not in SUPERVISED)
SPOT = (slice(96, 136), slice(120, 160))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of 12 good and 6 defective parts: labels.csv, images and masks."""
    folder = tmp_path_factory.mktemp("striped")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,label,mask"]
    for number in range(18):
        stripes = 110 + 40 * np.sin(np.arange(256) / 6 + rng.uniform(0, 6))
        picture = np.tile(stripes, (256, 1)) + rng.normal(0, 3, (256, 256))
        mask = np.zeros((256, 256), np.uint8)
        is_defect = number >= 12
        if is_defect:
            picture[SPOT] = 245 - 230 * (np.indices((40, 40)).sum(axis=0) % 16 < 8)
            mask[SPOT] = 255
            cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask)
        file = f"images/{number}.png"
        cv2.imwrite(str(folder / file), picture.clip(0, 255).astype(np.uint8))
        lines.append(
            f"{file},{'defect' if is_defect else 'good'},{f'masks/{number}.png' * is_defect}"
        )
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def items(parts):
    from training.datasets import inspect_parts

    return inspect_parts.open_folder(parts).recordings


@pytest.fixture(scope="module", autouse=True)
def _fresh_teacher():
    """What is tested is not what ImageNet taught, and nothing is fetched."""
    from training.weights import efficientnet_lite0

    real = efficientnet_lite0.network

    def network(shape, *, is_pretrained, **more):
        assert is_pretrained
        return real(shape, is_pretrained=False, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet_lite0, "network", network)
        yield


@pytest.fixture(scope="module")
def fit(items):
    """Method -> its stage, the model after a few steps and the history; each fitted once."""
    from training import loop, part_crops

    @cache
    def fitted(method):
        stage = load("inspection", method).stages["look"]
        epochs, steps, batch = STEPS[method]
        rows = part_crops.evenly(rows=steps * batch)
        stage = replace(stage, epochs=epochs, steps=steps, batch=batch, rows=rows)
        examples = stage.data(items)
        found = loop.fit(
            stage, input_shape=(256, 256, 3), training=examples, validation=examples, seed=0
        )
        return stage, *found

    return fitted


def scores(model, pictures):
    from contract import defects

    return [defects.score(one[..., 0]) for one in np.asarray(model.predict(pictures, verbose=0))]


@pytest.mark.parametrize("method", STEPS)
def test_every_place_of_a_square_gets_a_score(method, fit):
    _, model, _ = fit(method)
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 256, 256, 3)).astype(np.float32)
    both = np.asarray(model.predict(pictures, verbose=0))
    assert both.shape == (2, 32, 32, 1)
    assert np.isfinite(both).all()
    # each is judged by itself, however many there are at once
    alone = np.asarray(model.predict(pictures[1:], verbose=0))
    np.testing.assert_allclose(alone[0], both[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", STEPS)
def test_it_learns(method, fit):
    _, _, history = fit(method)
    # the loss of a few crops depends on which of them show a defect
    of = history["val_loss" if method in SUPERVISED else "loss"]
    assert of[-1] < of[0]


@pytest.mark.parametrize("method", GOOD_ONLY)
def test_only_good_parts_are_learned_from(method, items):
    pictures, _ = load("inspection", method).stages["look"].data(items)
    assert len(pictures) == 12
    assert not pictures.is_defect.any()


@pytest.mark.parametrize("method", GOOD_ONLY)
def test_what_no_good_part_has_scores_higher(method, fit, items):
    from training import part_crops
    from training.part_crops import Pictures

    _, model, _ = fit(method)
    pictures = Pictures(items)
    shown = np.concatenate([part_crops.whole(one) for one in pictures[np.arange(18)]])
    found = np.array(scores(model, shown))
    assert found[pictures.is_defect].min() > found[~pictures.is_defect].max()
    peak = np.asarray(model.predict(shown[pictures.is_defect][:1], verbose=0))[0, ..., 0].argmax()
    row, column = np.unravel_index(peak, (32, 32))
    assert 10 <= row <= 18
    assert 13 <= column <= 21


@pytest.mark.slow
@pytest.mark.parametrize("method", STEPS)
def test_both_engines_say_what_the_float_model_does(method, fit, items, tmp_path):
    from contract.manifest import ModelFile
    from edge.engines import open_engine
    from export import onnx, tflite

    stage, model, _ = fit(method)
    calibration = stage.calibration(items)[::4]
    weights = sum(w.size for w in model.get_weights() if w.ndim >= 2)
    expected = np.asarray(model.predict(calibration, verbose=0))
    for name, module in (("tflite", tflite), ("onnx", onnx)):
        file = tmp_path / f"LOOK.{name}"
        module.convert(model, calibration, file)
        given, made = module.check(file, weights=weights)
        described = ModelFile(file.name, "", file.stat().st_size, given, made)
        engine = open_engine(name, file.read_bytes(), described)
        found = np.concatenate([engine.run(one)[None] for one in calibration])
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95, name
