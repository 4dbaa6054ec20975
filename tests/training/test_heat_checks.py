import numpy as np
import pytest

pytestmark = [pytest.mark.training, pytest.mark.slow]


def a_detector():
    """A network whose map is how bright a place is, out of two features: bright, and dark."""
    import keras
    from keras import layers

    pixels = keras.Input((256, 256, 3))
    x = layers.AveragePooling2D(8)(pixels)
    x = layers.Conv2D(2, 1, name="features")(x)
    x = layers.Conv2D(2, 1, name="mixed")(layers.ReLU(name="tap")(x))
    model = keras.Model(pixels, layers.Conv2D(1, 1, name="defect")(x))
    bright = np.array([[1.0, -1.0]] * 3, np.float32)[None, None] / 30
    model.get_layer("features").set_weights([bright, np.array([-15.0, 15.0], np.float32)])
    model.get_layer("mixed").set_weights([np.eye(2, dtype=np.float32)[None, None], np.zeros(2)])
    weight = np.array([1.0, -1.0], np.float32)[None, None, :, None]
    model.get_layer("defect").set_weights([weight, np.array([-3.0], np.float32)])
    return model


def bright_squares():
    from training.heat_checks import Squares

    rng = np.random.default_rng(0)
    pixels = rng.uniform(60, 100, (3, 256, 256, 3)).astype(np.float32)
    masks = np.zeros((3, 256, 256), bool)
    for i, (top, left) in enumerate([(40, 40), (120, 160), (200, 80)]):
        masks[i, top : top + 24, left : left + 24] = True
    pixels[masks] = 250.0
    return Squares(pixels, masks)


def test_the_gradient_of_a_score_is_that_of_finite_differences():
    from keras import ops

    from training import backend
    from training.gradients import gradients

    model, of = a_detector(), bright_squares()
    rows = of.pixels[:2]
    said, by = gradients(model, "tap", lambda maps: ops.sum(maps**2, axis=(1, 2, 3)), rows=2)(rows)

    maps = backend.as_model(model)(rows)
    assert said.shape == by.shape == (2, 32, 32, 2)
    # the map is bright - dark - 3, so by the chain rule
    np.testing.assert_allclose(by[..., 0], 2 * maps[..., 0], rtol=1e-4)
    np.testing.assert_allclose(by[..., 1], -2 * maps[..., 0], rtol=1e-4)
    np.testing.assert_array_equal(backend.as_model(model)(rows), maps)


def test_grad_cam_keeps_only_what_speaks_for_a_defect():
    from training import heat_checks

    of = bright_squares()
    cams = heat_checks.grad_cam(a_detector(), "tap")(of.pixels)

    assert cams.shape == (3, 32, 32)
    assert heat_checks.places(cams, of.masks)["pointing"] == 1.0
    assert (cams >= 0).all()
    assert cams[0][of.masks[0][::8, ::8]].min() > 10 * cams[0][~of.masks[0][::8, ::8]].max()


def test_the_best_threshold_lies_between_what_is_drawn_and_the_rest():
    from training import heat_checks

    of = bright_squares()
    maps = of.masks[:, ::8, ::8].astype(np.float32)
    threshold, iou = heat_checks.best_iou(maps, of.masks)

    assert 0.0 <= threshold < 1.0
    assert iou > 0.6
    assert heat_checks.best_iou(1.0 - maps, of.masks)[1] < 0.1


def test_agreement_is_of_ranks_and_none_for_flat_maps():
    from training import heat_checks

    one = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    assert heat_checks.agreement(one, np.exp(one)) == pytest.approx(1.0)
    assert heat_checks.agreement(one, -one) == pytest.approx(-1.0)
    assert heat_checks.agreement(one, np.zeros((8, 8), np.float32)) == 0.0


def test_all_checks_of_a_map_that_is_right_and_of_one_that_is_not():
    from training import heat_checks

    def loss(_wanted, said):
        return said

    model = a_detector()
    model.compile("sgd", loss=loss)  # as a model is that has just been trained
    found = heat_checks.check(model, bright_squares(), tap="tap", seed=0)

    of = found.figures
    assert of["pointing"] == of["cam_pointing"] == 1.0
    assert of["squares"] == 3
    assert next(iter(found.randomised)) == "defect"
    section = heat_checks.section(found)
    assert section.figures
    assert ("peak on the drawn defect", "100.0%; Grad-CAM 100.0%") in section.rows


def test_squares_show_the_drawn_defect(tmp_path):
    import cv2

    from training import heat_checks
    from training.datasets import inspect_parts
    from training.parts import items

    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    picture = np.full((300, 500, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "images/good.png"), picture)
    mask = np.zeros((300, 500), np.uint8)
    mask[250:270, 450:480] = 255
    picture[mask > 0] = 250
    cv2.imwrite(str(tmp_path / "images/bad.png"), picture)
    cv2.imwrite(str(tmp_path / "masks/bad.png"), mask)
    rows = "file,label,mask\nimages/good.png,good,\nimages/bad.png,defect,masks/bad.png\n"
    (tmp_path / "labels.csv").write_text(rows)

    of = heat_checks.squares(items(inspect_parts.open_folder(tmp_path).recordings), most=5)

    assert len(of) == 1
    assert of.masks[0].sum() == 600
    assert (of.pixels[0][of.masks[0]] == 250).all()
