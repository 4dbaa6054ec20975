"""What every workload must be, run over every name found in the folder."""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pytest

from contract import messages, workloads
from contract.manifest import ModelFile
from contract.messages import Address, Stamp
from contract.spec import Detection, ImageSpec, OperatingPoint, Profile, SignalSpec
from edge.pipeline import run_rows
from training import recipes
from training.weights import faces

ADDRESS = Address("vedette", "device", "pipeline")
STAMP = Stamp(ts_ns=1, mono_ns=1, boot_id="boot", seq=1, clock_synced=True)
POINT = OperatingPoint(
    threshold=1.0,
    clear_threshold=0.5,
    chosen_on="nothing",
    measured={},
    scales=defaultdict(lambda: 1.0),  # whichever a workload asks for
)

ALL = [workloads.load(name) for name in workloads.names()]
PUBLISHED = {"faces": faces.STAGES}  # by others, so that nothing is trained


def over(those):
    return pytest.mark.parametrize("workload", [pytest.param(one, id=one.name) for one in those])


every_workload = over(ALL)
every_signal = over([one for one in ALL if isinstance(one.input, SignalSpec)])
every_picture = over([one for one in ALL if isinstance(one.input, ImageSpec)])
every_recipe = pytest.mark.parametrize("name", recipes.names())


def fold(workload, window):
    """Detections of the last stage, and each stage's rows; every model gives back its input."""
    found, rows = (), {}
    for stage in workload.stages:
        inputs = stage.preprocess(window, found)
        rows[stage.name] = inputs
        found = stage.postprocess(window, found, inputs, inputs.copy())
    return found, rows


def profile(workload, windows):
    """What a device would have learned from these windows."""
    learned = {}
    if workload.learn is not None:
        found = [fold(workload, window)[0] for window in windows]
        learned = workload.learn(np.stack([[d.vector for d in one] for one in found]))
    return Profile(POINT, learned, "model", len(windows))


def examples(workload, count):
    return [workload.input.example(seed=seed) for seed in range(count)]


def test_there_are_workloads():
    """An empty folder would pass all that follows."""
    assert workloads.names()


def test_unknown_name_is_refused_with_the_known_ones():
    """Whoever mistypes a name is told the names."""
    with pytest.raises(LookupError, match=workloads.names()[0]):
        workloads.load("no-such-workload")


@every_workload
def test_workload_has_the_name_of_its_file(workload, request):
    """Bundles name their workload, devices find it by that name."""
    assert request.node.callspec.id == workload.name
    assert messages.check_name(workload.name.replace("_", "-")) is None


@every_workload
def test_revision_is_positive(workload):
    """It counts from one."""
    assert workload.revision >= 1


@every_signal
def test_its_own_example_is_judged(workload):
    """The window that tests and benchmarks use is a typical one."""
    window = workload.input.example(seed=0)
    assert workload.input.refuse(window) is None
    assert window.data.dtype == np.float32


def not_finite(data):
    data[len(data) // 2, 0] = np.nan


def infinite(data):
    data[-1, -1] = np.inf


def stuck(data):
    data[:, -1] = data[0, -1]


@every_signal
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(not_finite, "not_finite"), (infinite, "not_finite"), (stuck, "stuck")],
)
def test_spoilt_window_is_refused_by_reason(workload, spoil, reason):
    """A broken sensor is counted by what is wrong with it, never judged."""
    window = workload.input.example(seed=0)
    spoil(window.data)
    assert workload.input.refuse(window) == reason


@every_signal
def test_window_outside_of_the_limits_is_refused(workload):
    """Fewer samples or a lower rate than the features need."""
    window, spec = workload.input.example(seed=0), workload.input
    short = replace(window, data=window.data[: spec.min_samples - 1])
    assert spec.refuse(short) == "too_short"
    assert spec.refuse(replace(window, rate_hz=spec.min_rate_hz * 0.99)) == "rate_too_low"


@every_signal
def test_smallest_window_that_is_not_refused_can_be_judged(workload):
    """The limits promise that everything within them works."""
    spec = workload.input
    windows = [
        replace(w, data=w.data[: spec.min_samples], rate_hz=spec.min_rate_hz)
        for w in examples(workload, 8)
    ]
    assert spec.refuse(windows[0]) is None
    judged = workload.judge(fold(workload, windows[0])[0], profile(workload, windows))
    assert np.isfinite([detection.score for detection in judged]).all()


@every_signal
def test_rows_have_the_declared_shape_and_type(workload):
    """What a stage prepares is what its model takes: any number of rows, float32, finite."""
    _, rows = fold(workload, workload.input.example(seed=1))
    for stage in workload.stages:
        made = rows[stage.name]
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
        if stage.input_shape is not None:
            assert made.shape[1:] == stage.input_shape


@every_signal
def test_same_window_gives_the_same_rows_and_stays_as_it_was(workload):
    """Training, export and device must see the same numbers."""
    window = workload.input.example(seed=2)
    before = window.data.copy()
    (_, first), (_, again) = fold(workload, window), fold(workload, window)
    for name, rows in first.items():
        np.testing.assert_array_equal(rows, again[name])
    np.testing.assert_array_equal(window.data, before)


@every_signal
def test_other_windows_give_other_rows(workload):
    """A stage that ignores its input would pass every test of shape."""
    rows = [fold(workload, window)[1] for window in examples(workload, 2)]
    for stage in workload.stages:
        assert not np.array_equal(rows[0][stage.name], rows[1][stage.name])


@every_workload
def test_stage_names_are_one_file_name_each(workload):
    """They name model files and manifest entries."""
    names = [stage.name for stage in workload.stages]
    assert len(set(names)) == len(names) > 0
    assert all(name.isidentifier() and name.islower() for name in names)


@every_signal
def test_learning_is_announced_and_repeatable(workload):
    """A workload that learns says from how many windows, and learns the same from the same."""
    assert (workload.learn_windows > 0) == (workload.learn is not None)
    windows = examples(workload, 8)
    first, again = profile(workload, windows), profile(workload, windows)
    for name, array in first.learned.items():
        assert np.isfinite(array).all()
        np.testing.assert_array_equal(array, again.learned[name])


@every_signal
def test_judged_detections_have_a_label_and_a_finite_score(workload):
    """What the policy sees."""
    windows = examples(workload, 8)
    judged = workload.judge(fold(workload, windows[0])[0], profile(workload, windows))
    assert judged
    assert all(detection.label for detection in judged)
    assert np.isfinite([detection.score for detection in judged]).all()


def said(workload, found, *, windows=100):
    """All that a fresh policy says when every window shows the same."""
    policy = workload.policy(POINT)
    seconds = [i * 10 * 10**9 for i in range(windows)]
    return [body for t_ns in seconds for body in policy.update(found, t_ns)]


@every_signal
def test_policy_speaks_when_something_lasts(workload):
    """Messages that can be sent, under the workload's own name."""
    bodies = said(workload, (Detection("something", score=10.0 * POINT.threshold),))
    assert bodies
    for body in bodies:
        sent = messages.encode(body, ADDRESS, STAMP)
        read = messages.decode(sent.topic, sent.payload, prefix=ADDRESS.prefix)
        assert read.body.workload == workload.name
        assert read.body.label == "something"


@every_workload
def test_policy_is_silent_when_nothing_is_found(workload):
    """While a device learns, and when a window is empty."""
    assert said(workload, ()) == []


@every_workload
def test_policy_forgets_nothing_between_two_made_from_it(workload):
    """Two pipelines of one workload do not share a state."""
    found = (Detection("something", score=10.0 * POINT.threshold),)
    assert said(workload, found) == said(workload, found)


@every_workload
def test_what_has_a_model_has_a_tolerance(workload):
    """The export gate must know how much may be lost, in which metric."""
    has_model = any(stage.input_shape is not None for stage in workload.stages)
    assert bool(workload.tolerances) == has_model
    assert all(name and loss >= 0 for name, loss in workload.tolerances.items())


@every_workload
def test_every_model_has_a_recipe_or_is_published(workload):
    """Each stage with a model is trained, and its tolerances are measured by the recipe."""
    trained = {stage.name for stage in workload.stages if stage.input_shape is not None}
    if not trained or workload.name in PUBLISHED:
        assert workload.name not in recipes.names()
        assert trained == set(PUBLISHED.get(workload.name, ()))
        return
    for method in recipes.methods(workload.name) or [""]:
        recipe = recipes.load(workload.name, method)
        assert set(recipe.stages) == trained
        assert set(workload.tolerances) <= set(recipe.bigger_is_better)


@every_picture
def test_a_typical_picture_is_taken_and_stays_as_it_was(workload):
    """What the first stage prepares of it is what its model takes, the same each time."""
    window = workload.input.example(seed=0)
    assert workload.input.refuse(window) is None
    before = window.data.copy()
    first = workload.stages[0]
    rows, again = first.preprocess(window, ()), first.preprocess(window, ())
    assert rows.dtype == np.float32
    if first.input_shape is not None:
        assert rows.shape[1:] == first.input_shape
    np.testing.assert_array_equal(rows, again)
    np.testing.assert_array_equal(window.data, before)
    assert not np.array_equal(rows, first.preprocess(workload.input.example(seed=1), ()))


@every_picture
@pytest.mark.parametrize(
    ("shape", "reason"),
    [((0, 0, 3), "corrupt"), ((2, 2, 3), "too_small"), ((480, 640), "not_an_image")],
)
def test_what_is_no_picture_is_refused_by_reason(workload, shape, reason):
    window = replace(workload.input.example(seed=0), data=np.zeros(shape, np.uint8))
    assert workload.input.refuse(window) == reason


def test_no_recipe_without_a_workload():
    """It could never be run."""
    assert set(recipes.names()) <= set(workloads.names())


@pytest.fixture
def datasets(name, tmp_path, monkeypatch):
    """What a recipe learns from where there is no data but what it can make, cached apart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return recipes.load(name).sources(tmp_path, 0)


@every_recipe
def test_recipe_has_data_on_a_bare_machine(datasets):
    """Whoever clones the repository can train at once."""
    assert all(len(dataset.recordings) >= 3 for dataset in datasets)
    assert datasets


@every_recipe
def test_data_are_rows_for_the_model(name, datasets):
    """Inputs as the stage prepares them, one target each, float32."""
    workload, recipe = workloads.load(name), recipes.load(name)
    shapes = {stage.name: stage.input_shape for stage in workload.stages}
    for stage, trained in recipe.stages.items():
        inputs, targets = trained.data(datasets[0].recordings[:2])
        assert inputs.shape[1:] == shapes[stage]
        assert len(inputs) == len(targets) > 0
        assert inputs.dtype == targets.dtype == np.float32
        augmented = trained.augment(inputs, targets, np.random.default_rng(0))
        assert [a.shape for a in augmented] == [inputs.shape, targets.shape]
        assert [a.dtype for a in augmented] == [np.float32, np.float32]


@every_recipe
def test_same_seed_makes_the_same_data_and_another_seed_other(name, datasets, tmp_path):
    """A run can be repeated, and repeated differently."""
    sources = recipes.load(name).sources
    assert [d.digest for d in sources(tmp_path, 0)] == [d.digest for d in datasets]
    assert [d.digest for d in sources(tmp_path, 1)] != [d.digest for d in datasets]


@dataclass
class Fitted:
    """One stage after one epoch: the float model's outputs, and its converted files."""

    before: float
    after: float
    rows: np.ndarray
    outputs: np.ndarray
    engines: dict


@pytest.fixture(scope="module")
def fitted(request, tmp_path_factory):
    """Every stage of a recipe, fitted for one epoch to two groups, converted, opened."""
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed (make setup)")
    from edge.engines import open_engine
    from export import bundle, convert, onnx, tflite
    from training import backend, loop

    folder = tmp_path_factory.mktemp(request.param)
    shapes = {stage.name: stage.input_shape for stage in workloads.load(request.param).stages}
    recipe = recipes.load(request.param)
    recordings = recipe.sources(folder, 0)[0].recordings[:2]
    models = {}
    for name, stage in recipe.stages.items():
        training = stage.data(recordings)
        untrained, trained = (
            loop.fit(
                replace(stage, learning_rate=rate),
                input_shape=shapes[name],
                training=training,
                validation=training,
                seed=0,
                epochs=1,
            )
            for rate in (0.0, stage.learning_rate)
        )
        models[name] = (training[0], untrained[1]["val_loss"][-1], *trained)
        models[name][2].save(folder / f"{name}.keras")
        np.save(folder / f"{name}.npy", training[0][:100])
    convert.finish(convert.start(folder))
    made = {}
    for name, (rows, before, model, history) in models.items():
        engines = {}
        for engine, check in (("tflite", tflite.check), ("onnx", onnx.check)):
            file = folder / f"{name.upper()}.{engine}"
            tensors = check(file, weights=1)
            about = ModelFile(file.name, bundle.sha256(file), file.stat().st_size, *tensors)
            engines[engine] = open_engine(engine, file.read_bytes(), about)
        outputs = backend.as_model(model)(rows)
        made[name] = Fitted(before, history["val_loss"][-1], rows, outputs, engines)
    return made


def with_every_recipe_fitted(test):
    """Once per recipe; one process makes all of it."""
    each = pytest.mark.parametrize("fitted", recipes.names(), indirect=True, scope="module")
    quiet = pytest.mark.filterwarnings("ignore:::(tensorflow|keras|google|numpy|jax)")
    return pytest.mark.training(pytest.mark.slow(quiet(each(test))))


@with_every_recipe_fitted
def test_one_epoch_lowers_the_loss(fitted):
    """Data, model and loss belong together."""
    assert fitted
    for stage in fitted.values():
        assert np.isfinite(stage.after)
        assert stage.after < stage.before


@with_every_recipe_fitted
@pytest.mark.parametrize("engine", ["tflite", "onnx"])
def test_engine_gives_what_the_float_model_gives(fitted, engine):
    """Exported to int8, a stage differs by quantization noise and by nothing else."""
    from training.metrics import sqnr_db

    for stage in fitted.values():
        rows = np.linspace(0, len(stage.rows) - 1, 50).astype(int)
        made = run_rows(stage.engines[engine], stage.rows[rows])
        assert made.dtype == np.float32
        assert made.shape == stage.outputs[rows].shape
        assert sqnr_db(stage.outputs[rows], made) > 20.0
