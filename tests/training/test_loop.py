from dataclasses import replace

import numpy as np
import pytest

from training.recipes.machine_condition import RECIPE

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]
STAGE = replace(RECIPE.stages["spectrum"], epochs=6, batch=4)


def shapes(n, seed):
    x = np.random.default_rng(seed).normal(size=(n, 32)).astype(np.float32)
    return x, x


def fit(stage=STAGE, **more):
    from training import loop

    data = {"training": shapes(32, 0), "validation": shapes(8, 1), "seed": 3, "input_shape": (32,)}
    return loop.fit(stage, **(data | more))


def test_it_overfits_eight_windows():
    eight = shapes(8, 0)
    plain = replace(
        STAGE, epochs=200, batch=8, learning_rate=1e-2, augment=lambda x, y, _rng: (x, y)
    )
    _, history = fit(plain, training=eight, validation=eight)
    assert min(history["val_loss"]) < 0.05 * history["val_loss"][0]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    (one, first), (two, again), (_, other) = fit(), fit(), fit(seed=4)
    assert first == again != other
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_interrupted_run_ends_at_the_same_numbers(tmp_path, monkeypatch):
    from training import loop

    monkeypatch.setattr(loop, "_SAVE_EVERY_S", 0.0)
    whole, expected = fit()
    checkpoint = tmp_path / "spectrum.checkpoint.npz"

    def interrupt(epoch, _loss, _val_loss):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=checkpoint, progress=interrupt)
    seen = []
    resumed, history = fit(checkpoint=checkpoint, progress=lambda epoch, *_: seen.append(epoch))
    assert seen == [4, 5, 6]
    assert history == expected
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_best_epoch_is_kept():
    model, history = fit()
    x, y = shapes(8, 1)
    kept = float(np.mean(np.square(np.asarray(model(x)) - y)))
    assert kept == pytest.approx(min(history["val_loss"]), rel=1e-4)


def test_before_a_stage_has_settled_no_epoch_is_the_best():
    said = iter([0.1, 0.2, 0.9, 0.8, 0.7, 0.75])
    weights = []

    def validate(model, _examples):
        weights.append(model.get_weights())
        return next(said)

    model, _ = fit(replace(STAGE, validate=validate, settles=0.5))
    for kept, fifth in zip(model.get_weights(), weights[4], strict=True):
        np.testing.assert_array_equal(kept, fifth)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    from training.datasets import DataError

    checkpoint = tmp_path / "spectrum.checkpoint.npz"
    np.savez(checkpoint, header=np.array("{}"))
    with pytest.raises(DataError, match="fix: train without --resume"):
        fit(checkpoint=checkpoint)
