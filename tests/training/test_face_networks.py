import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from weights_files import fetched

from contract.ops import drawn
from contract.spec import Window
from export.__main__ import main as export
from training import backend, face_chips, identities, recipes
from training.__main__ import main
from training.datasets import DataError, Recording
from training.recipes.faces import mobilefacenet, se_resnet50
from training.weights import faces as published

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]
PERSON, SET, MARGIN = 0, 1, 2


def targets(persons, margin=0.0):
    rows = np.zeros((len(persons), 3), np.float32)
    rows[:, PERSON], rows[:, MARGIN] = persons, margin
    return rows


def loss(function, persons, outputs, margin=0.0):
    backend.quiet()
    return np.asarray(function(targets(persons, margin), np.asarray(outputs, np.float32)))


def test_softmax_is_the_cross_entropy():
    logits = [[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    expected = [np.log(np.exp([2, 0, 1]).sum()) - 1.0, np.log(3)]
    np.testing.assert_allclose(loss(identities.softmax, [2, 0], logits), expected, rtol=1e-6)


def test_arcface_widens_the_angle_to_the_right_person():
    """Against the formula of the paper, with an arc cosine."""
    cosines = np.random.default_rng(0).uniform(-0.8, 0.95, (6, 4))
    persons, margin, scale = np.arange(6) % 4, 0.3, 24.0
    logits = cosines.copy()
    own = np.arange(6), persons
    logits[own] = np.cos(np.arccos(cosines[own]) + margin)
    powers = np.exp(scale * logits)
    expected = -np.log(powers[own] / powers.sum(axis=1))
    found = loss(identities.arcface, persons, cosines, margin)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert (found > loss(identities.arcface, persons, cosines)).all()


def test_arcface_has_a_finite_slope_everywhere_and_always_downhill():
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed (make setup)")
    own = np.array([-1.0, -0.97, -0.5, 0.0, 0.9, 1.0], np.float32)
    cosines = tf.constant(np.column_stack([own, np.zeros(6, np.float32)]))
    with tf.GradientTape() as tape:
        tape.watch(cosines)
        found = identities.arcface(targets(np.zeros(6), 0.3), cosines)
    slopes = tape.gradient(found, cosines).numpy()
    assert np.isfinite(slopes).all()
    assert (slopes[:, 0] <= 0).all()
    assert (np.diff(found.numpy()) <= 0).all()  # the nearer, the smaller


def test_the_margin_grows_over_the_first_half():
    few = targets([0, 1, 2])
    grown = [identities.growing_margin(few, share)[0, MARGIN] for share in (0, 0.25, 0.5, 1)]
    assert grown == pytest.approx([0.0, 0.15, 0.3, 0.3])
    many = identities.growing_margin(targets([0, identities.FEW - 1]), 1.0)
    assert many[:, MARGIN] == pytest.approx([0.5, 0.5])
    assert many[1, PERSON] == identities.FEW - 1


def test_pairs_are_of_one_person_or_of_two_of_one_set():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    genuine, impostor = identities.compared(vectors, np.array([0, 0, 1, 2]), np.array([0, 0, 0, 1]))
    assert genuine.tolist() == [1.0]
    assert impostor.tolist() == [0.0, 0.0]  # nobody is compared with the one of the other set
    with pytest.raises(DataError, match=r"3 people kept apart show 3 faces.*fix:"):
        identities.compared(vectors[1:], np.array([0, 1, 2]), np.array([0, 0, 1]))


def test_augmented_faces_are_other_faces_of_the_same_kind():
    chips = np.stack([drawn.face(i)[45:195, 85:235] for i in range(4)]).astype(np.float32)
    asked = targets(range(4))
    found, kept = identities.augment(chips, asked, np.random.default_rng(0))
    again, _ = identities.augment(chips, asked, np.random.default_rng(0))
    np.testing.assert_array_equal(found, again)
    assert kept is asked
    assert found.shape == chips.shape
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 255
    for before, after in zip(chips, found, strict=True):
        assert 2 < np.abs(before - after).mean() < 90


def trained_numbers(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def test_mobilefacenet_has_fewer_than_a_million_numbers():
    """0.99 million, as published: kernels, slopes, and a bias where normalization is folded in."""
    model = mobilefacenet.network()
    folded = [layer for layer in model.layers if "normalization" in layer.name]
    biases = sum(layer.gamma.shape[0] for layer in folded)
    assert trained_numbers(model) - biases == 993_344
    (last,) = [one for one in model.layers if "depthwise" in one.name][-1:]
    assert last.kernel.shape[:2] == (7, 7)  # global: one number for each place and channel
    assert last.output.shape[1:3] == (1, 1)
    assert model(np.zeros((2, 150, 150, 3), np.float32)).shape == (2, 128)


@pytest.mark.parametrize("dimensions", [128, 256])
def test_se_resnet50_has_the_published_size(dimensions):
    """28,088,024 with 1,000 classes on 2,048 features; here a short embedding is on them."""
    model = se_resnet50.network(dimensions)
    head = 2048 * dimensions + dimensions
    assert trained_numbers(model) - head == 28_088_024 - (2048 * 1000 + 1000)
    assert model.get_layer("features").output.shape == (None, 2048)
    assert model.output_shape == (None, dimensions)


def test_every_network_comes_with_both_losses():
    assert "faces" in recipes.with_methods()
    known = recipes.methods("faces")
    for network in ("mobilefacenet", "se-resnet50-128", "se-resnet50-256"):
        for of_loss in ("softmax", "arcface"):
            assert f"{network}-{of_loss}" in known
    for method in known:
        assert set(recipes.load("faces", method).stages) == {"embed"}


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [("faces", "", "no method named; known: mobilefacenet-arcface"), ("faces", "no", "'no'"),
     ("machine_condition", "mobilefacenet-softmax", "known: none"), ("nothing", "", "no recipe")],
)  # fmt: skip
def test_an_unknown_method_is_refused_by_name(name, method, said):
    with pytest.raises(LookupError, match=said):
        recipes.load(name, method)


@pytest.mark.parametrize(
    "arguments",
    [["faces"], ["faces", "--method", "no"], ["machine_condition", "--method", "no"],
     ["faces", "--resume", "run", "--method", "mobilefacenet-softmax"]],
)  # fmt: skip
def test_wrong_usage_names_the_ways(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main("train", arguments)
    assert left.value.code == 2
    assert "error: --" in capsys.readouterr().err


def people(count, pictures, *, dataset="coloured"):
    """Chips of one colour each, a little lighter in every picture; as `face_chips` gives them."""
    colours = np.random.default_rng(1).integers(20, 180, (count, 3))

    def window(number, i):
        chip = np.full(face_chips.SHAPE, colours[number] + 10 * i, np.uint8)
        return Window("coloured", i, i, 0, chip if i < pictures else chip[:0, :0], 0.0)

    life = np.linspace(0.1, 1, pictures + 1, dtype=np.float32)
    return [
        Recording(f"p{n}", dataset, life, 0, None, f"{n}", lambda i, n=n: window(n, i))
        for n in range(count)
    ]


def tiny():
    """Mean colours, turned."""
    backend.quiet()
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input(face_chips.SHAPE),
            layers.Rescaling(1 / 127.5, -1.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(8),
        ]
    )


def method(of_loss, **more):
    settings = {"epochs": 4, "batch": 8, "learning_rate": 0.05} | more
    return identities.methods("tiny", tiny, **settings)[f"tiny-{of_loss}"]["embed"]


def test_chips_are_read_when_asked_for_and_pictures_without_a_face_left_out():
    chips, of = face_chips.chips([*people(2, 3), *people(1, 2, dataset="other")])
    assert len(chips) == 8
    assert of[:, PERSON].tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert of[:, SET].tolist() == [0] * 6 + [1] * 2
    rows = chips[np.array([2, 7])]
    assert (rows.shape, rows.dtype) == ((2, 150, 150, 3), np.float32)
    assert rows[0, 0, 0, 0] == rows[1, 0, 0, 0] + 10  # the same colour, one picture earlier


def fit(stage, **more):
    from training import loop

    settings = {
        "input_shape": face_chips.SHAPE,
        "training": face_chips.chips(people(6, 4)),
        "validation": face_chips.chips(people(12, 4)[6:]),
        "seed": 0,
    }
    return loop.fit(stage, **(settings | more))


@pytest.mark.parametrize("of_loss", ["softmax", "arcface"])
def test_people_are_learned_and_the_classes_thrown_away(of_loss):
    model, history = fit(method(of_loss, epochs=8))
    assert model.output_shape == (None, 8)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    chips, of = face_chips.chips(people(6, 4))
    assert identities.validate(model, (chips, of)) < 0.2
    assert min(history["val_loss"]) < 0.5  # an equal error rate


def test_an_interrupted_training_ends_at_the_same_numbers(tmp_path, monkeypatch):
    from training import loop

    monkeypatch.setattr(loop, "_SAVE_EVERY_S", 0.0)
    whole, expected = fit(method("arcface"))
    checkpoint = tmp_path / "embed.checkpoint.npz"

    def interrupt(epoch, _loss, _val_loss):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(method("arcface"), checkpoint=checkpoint, progress=interrupt)
    resumed, history = fit(method("arcface"), checkpoint=checkpoint)
    assert history == expected
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_a_measure_of_its_own_the_loss_of_other_chips_counts():
    """What a method without classes does: here the mean colour is to be found."""
    chips, _ = face_chips.chips(people(6, 4))
    mean = chips[np.arange(len(chips))].mean(axis=(1, 2)) / 255
    stage = replace(
        method("softmax", epochs=10),
        augment=lambda rows, wanted, _rng: (rows, wanted),
        loss="mean_squared_error",
        head=lambda model, _targets: _three(model),
        validate=None,
    )
    _, history = fit(stage, training=(chips, mean), validation=(chips, mean))
    assert history["val_loss"][-1] < 0.5 * history["val_loss"][0]


def _three(model):
    from keras import Model, layers

    return Model(model.inputs, layers.Dense(3)(model.outputs[0]))


@pytest.fixture
def drawn_people(tmp_path, monkeypatch, tmp_path_factory):
    """Ten folders with two drawn faces each; the detectors' weights in this test's cache."""
    for number in range(10):
        for i, light in enumerate((1.0, 0.8)):
            file = tmp_path / "people" / f"n{number}" / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture = drawn.face(number, height=200, width=200) * light
            Image.fromarray(picture.astype(np.uint8)).save(file)
    cache = tmp_path_factory.getbasetemp() / "cache" / "vedette" / "weights"
    cache.mkdir(parents=True, exist_ok=True)
    for one in published.STAGES.values():
        link = cache / one.weight.name
        if not link.exists():
            link.symlink_to(fetched(one.weight))
    monkeypatch.setitem(mobilefacenet.METHODS, "tiny-arcface", {"embed": method("arcface")})
    return tmp_path / "people"


def test_a_folder_for_each_person_is_all_it_needs(drawn_people, tmp_path, capsys):
    """The whole command, on drawn faces, with a tiny network."""
    run = tmp_path / "run"
    arguments = ["--method", "tiny-arcface", "--data", str(drawn_people), "--out", str(run)]
    assert main("train", ["faces", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["epochs"] == {"embed": 4}
    assert said["metrics"]["test"]["persons"] == 2
    assert 0 <= said["metrics"]["test"]["eer"] <= 1
    assert "on persons never seen" in captured.err
    stored = json.loads((run / "run.json").read_text())
    assert stored["method"] == "tiny-arcface"
    assert stored["sources"][0]["name"] == "faces_folders"
    assert backend.load(run / "embed.keras").input_shape == (None, 150, 150, 3)
    html = (run / "report.html").read_text()
    for title in ("Summary", "Learning curves", "One person against two", "Worst mistakes"):
        assert f"<h2>{title}</h2>" in html
    assert re.search(r"n\d, picture 1; faces_folders n\d, picture 2", html)
    assert "image/png" not in html  # nobody's face
    assert main("train", ["faces", "--resume", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == said["metrics"]
    (run / "embed.keras").unlink()
    assert export("export", [str(run), "--out", str(tmp_path / "bundle")]) == 1
    assert "embed.keras: missing; fix: vedette train faces" in capsys.readouterr().err


def test_too_few_people_are_refused_in_one_line(tmp_path, capsys):
    for number in range(3):
        for i in range(2):
            file = tmp_path / f"n{number}" / f"{i}.png"
            file.parent.mkdir(exist_ok=True)
            Image.new("RGB", (32, 32)).save(file)
    arguments = ["--method", "mobilefacenet-softmax", "--data", str(tmp_path)]
    assert main("train", ["faces", *arguments, "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "3 people with two pictures, at least 10 are needed; fix:" in said
    assert said.count("\n") == 1
