"""The smaller copy of the published embedding: how it begins, what it learns, what it costs."""

from pathlib import Path

import numpy as np
import pytest
from weights_files import fetched

from contract.ops import drawn
from contract.spec import Window
from export import tflite
from training import backend, face_chips, loop, recipes
from training.datasets import DataError, Recording
from training.recipes.faces import student
from training.verification import paired_cosines
from training.weights import DLIB_RESNET, dlib_resnet
from training.weights import faces as published

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


@pytest.fixture(scope="module", autouse=True)
def weights_at_hand():
    file = fetched(DLIB_RESNET)
    with pytest.MonkeyPatch.context() as patch:
        for module in (student, dlib_resnet, published):
            patch.setattr(module, "fetch", lambda _weight: file)
        yield


def faces(count):
    """(count, 150, 150, 3) float32."""
    return np.stack([drawn.face(n, height=150, width=150) for n in range(count)]).astype(np.float32)


def people(count):
    """With three chips each, as `face_chips` gives them."""

    def window(number, i):
        chip = drawn.face(number, height=150, width=150)
        return Window("drawn", i, i, 0, np.roll(chip, 4 * i, axis=1), 0.0)

    life = np.linspace(0.3, 1, 3, dtype=np.float32)
    return [
        Recording(f"p{n}", "drawn", life, 0, None, f"{n}", lambda i, n=n: window(n, i))
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def begun():
    backend.quiet()
    return student.network()


@pytest.mark.parametrize(
    ("size", "how"),
    [
        ((17, 19), {"padding": "same"}),
        ((17, 19), {"padding": "valid", "strides": 2, "activation": "relu"}),
        ((1, 1), {"padding": "same"}),  # as the last one: only the middle of the kernel is kept
    ],
)
def test_with_all_of_a_kernels_energy_both_halves_are_the_convolution(size, how):
    backend.quiet()
    from keras import Input, Model

    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 5, 7)).astype(np.float32)
    bias = rng.normal(size=7).astype(np.float32)
    x = Input((*size, 5))
    one = Model(x, dlib_resnet.convolved(x, kernel, bias, **how))
    two = Model(x, student._in_two(x, kernel, bias, share=1.0, **how))
    rows = rng.normal(size=(2, *size, 5)).astype(np.float32)
    np.testing.assert_allclose(one(rows), two(rows), atol=1e-4)


def test_it_has_no_more_numbers_than_allowed_and_nearly_as_many(begun):
    assert 0.97 * student.NUMBERS < begun.count_params() <= student.NUMBERS
    ranks = {
        one.filters for one in begun.layers if one.name.startswith("conv") and not one.use_bias
    }
    assert all(rank % 8 == 0 for rank in ranks)


def test_in_int8_it_stays_below_one_and_a_half_megabytes(begun, tmp_path):
    file = Path(tmp_path, "EMBED.tflite")
    tflite.convert(begun, faces(8), file)
    assert file.stat().st_size < 1_500_000


def test_the_published_network_misses_nothing_of_itself():
    teacher = dlib_resnet.model()
    shares = student.beside_the_published(teacher, None)(faces(4))
    assert shares.shape == (4, 15)
    np.testing.assert_allclose(shares, 0.0, atol=1e-9)
    np.testing.assert_allclose(student.missed(None, np.ones((4, 15), np.float32)), 3.0)
    examples = face_chips.chips(people(3))
    assert student.unlike(teacher, examples) == 0.0


def test_what_the_beginning_misses_is_told(begun):
    shares = np.asarray(student.beside_the_published(begun, None)(faces(4)))
    assert (shares > 0.01).all()
    assert student.unlike(begun, face_chips.chips(people(3))) > 0.1


def test_a_third_of_the_faces_are_two_in_one():
    chips = np.zeros((400, 150, 150, 3), np.float32)
    chips[::2] = 200.0
    seen, targets = student.of_more_people(chips, np.arange(400), np.random.default_rng(0))
    assert (targets == np.arange(400)).all()
    middle = np.median(seen, axis=(1, 2, 3))
    mixed = (middle > 40) & (middle < 120)  # black with white; half of the pairs are
    assert 0.1 < mixed.mean() < 0.25
    assert (seen.min(), seen.max()) >= (0.0, 100.0)
    assert seen.dtype == np.float32


def test_it_learns_what_the_published_network_says(begun):
    """Of a few drawn faces, in a few steps: closer to it than in the beginning."""
    from dataclasses import replace

    recipe = recipes.load("faces", "student").stages["embed"]
    assert recipe.weights == (DLIB_RESNET,)
    training = face_chips.chips(people(2))
    model, history = loop.fit(
        replace(
            recipe,
            epochs=6,
            batch=6,
            learning_rate=1e-4,
            augment=lambda chips, targets, _rng: (chips, targets),
        ),
        input_shape=face_chips.SHAPE,
        training=training,
        validation=training,
        seed=0,
    )
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["val_loss"]) < 0.9 * student.unlike(begun, training)
    assert model.name == "student"
    rows = faces(4)
    teacher = np.asarray(dlib_resnet.model()(rows))
    before, after = (
        paired_cosines(np.asarray(one(rows)), teacher).mean() for one in (begun, model)
    )
    assert after > before


def test_too_few_faces_to_compare_are_told(begun):
    chips, targets = face_chips.chips(people(1))
    with pytest.raises(DataError, match="show 1 faces, too few to compare; fix:"):
        student.unlike(begun, (chips[np.arange(1)], targets[:1]))
