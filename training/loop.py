"""The training loop: plain, from top to bottom, the same numbers whether interrupted or not.

Every epoch draws its order and its augmentation from a generator of its own, made of seed and
epoch, so an epoch depends on nothing but the state it starts from; that state is on disk.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contract.spec import Array
from training import backend
from training.datasets import DataError
from training.recipes import Examples, StageRecipe

_SAVE_EVERY_S = 2.0  # of work that an interruption may cost
Progress = Callable[[int, float, float], None]


@dataclass
class _State:
    """What an epoch starts from."""

    epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=lambda: {"loss": [], "val_loss": []})
    best: list[Array] = field(default_factory=list)


def fit(
    recipe: StageRecipe,
    *,
    input_shape: tuple[int, ...],
    training: Examples,
    validation: Examples,
    seed: int,
    epochs: int | None = None,
    checkpoint: Path | None = None,
    progress: Progress = lambda _epoch, _loss, _val_loss: None,
) -> tuple[Any, dict[str, list[float]]]:
    """Train one stage's model, or go on where `checkpoint` stands; return it at its best epoch.

    Args:
        recipe: model, augmentation and hyperparameters.
        input_shape: of one row.
        training: inputs (n, *input_shape) and targets (n, ...), float32.
        validation: likewise, of other groups.
        seed: of weights, order and augmentation.
        epochs: instead of the recipe's.
        checkpoint: file that holds the state after an epoch, written every few seconds.
        progress: told epoch (from 1), loss and validation loss.

    Returns:
        the Keras model, without its head, with the weights of the lowest validation loss once it
        has settled, and `loss` and `val_loss` of each epoch.

    Raises:
        DataError: there is nothing to learn from, or the checkpoint belongs to another model.
    """
    epochs = (epochs or recipe.epochs) if recipe.epochs else 0
    inputs, targets = training
    if not len(inputs):
        raise DataError("nothing in the data to learn from; fix: --data with other recordings")
    batch = min(recipe.batch, len(inputs))
    steps = recipe.steps or len(inputs) // batch
    kept, model = _compiled(recipe, input_shape, training, seed=seed, steps=steps, epochs=epochs)
    state = _restore(model, checkpoint) if checkpoint and checkpoint.exists() else _State()
    saved_s = time.monotonic()
    first = int(recipe.settles * epochs)  # epoch that may be the best
    while state.epoch < epochs:
        rng = np.random.default_rng([seed, state.epoch])
        asked = recipe.schedule(targets, state.epoch / epochs) if recipe.schedule else targets
        x, y = (inputs, asked) if recipe.by_batch else recipe.augment(inputs, asked, rng)
        rows = rng.permutation(len(x)) if recipe.rows is None else recipe.rows(kept, training, rng)
        order = rows[: steps * batch].reshape(steps, batch)
        model.reset_metrics()
        for some_rows in order:
            some = x[some_rows], y[some_rows]
            # a running mean over the epoch
            loss = model.train_on_batch(*(recipe.augment(*some, rng) if recipe.by_batch else some))
        val_loss = _validation_loss(recipe, kept, model, validation)
        settled = state.history["val_loss"][first:]
        if state.epoch >= first and val_loss < min(settled, default=np.inf):
            state.best = [np.array(weight) for weight in model.get_weights()]
        state.history["loss"].append(float(loss))
        state.history["val_loss"].append(val_loss)
        state.epoch += 1
        if checkpoint and (state.epoch == epochs or time.monotonic() - saved_s > _SAVE_EVERY_S):
            _save(model, state, checkpoint)
            saved_s = time.monotonic()
        progress(state.epoch, float(loss), val_loss)
    if state.best:
        model.set_weights(state.best)
    return kept, state.history


def _compiled(
    recipe: StageRecipe,
    input_shape: tuple[int, ...],
    training: Examples,
    *,
    seed: int,
    steps: int,
    epochs: int,
) -> tuple[Any, Any]:
    """A fresh model, and with its head, the optimizer built, with weights made by the seed."""
    backend.quiet()
    import keras

    keras.utils.set_random_seed(seed)
    inputs, targets = training
    kept = recipe.model(input_shape, inputs)
    model = recipe.head(kept, targets) if recipe.head else kept
    if recipe.optimizer:
        optimizer = recipe.optimizer(recipe.learning_rate, steps, epochs)
    else:
        rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, max(steps * epochs, 1))
        optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, loss=recipe.loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return kept, model


def _validation_loss(recipe: StageRecipe, kept: Any, model: Any, validation: Examples) -> float:
    """What says which epoch was the best."""
    if recipe.validate:
        return recipe.validate(kept, validation)
    inputs, targets = validation
    batch = recipe.batch if recipe.by_batch else len(inputs)
    model.reset_metrics()
    for start in range(0, len(inputs), batch):
        rows = np.arange(start, min(start + batch, len(inputs)))
        some = (inputs[rows], targets[rows]) if recipe.by_batch else validation
        loss = model.test_on_batch(*some)  # a running mean
    return float(loss)


def _variables(model: Any) -> list[Any]:
    """Everything that training changes."""
    return [*model.variables, *model.optimizer.variables]


def _save(model: Any, state: _State, file: Path) -> None:
    """Replace the checkpoint in one step."""
    import keras

    numbers = [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]
    arrays = {f"variable{i}": array for i, array in enumerate(numbers)}
    arrays |= {f"best{i}": array for i, array in enumerate(state.best)}
    header = np.array(json.dumps({"epoch": state.epoch, "history": state.history}))
    temporary = file.with_suffix(".tmp")
    with temporary.open("wb") as opened:
        np.savez(opened, allow_pickle=False, header=header, **arrays)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(file)


def _restore(model: Any, file: Path) -> _State:
    """Put a checkpoint back into a freshly made model."""
    variables = _variables(model)
    try:
        with np.load(file, allow_pickle=False) as stored:
            header = json.loads(str(stored["header"]))
            best = [stored[f"best{i}"] for i in range(len(model.weights)) if "best0" in stored]
            for i, variable in enumerate(variables):
                variable.assign(stored[f"variable{i}"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file}: not a checkpoint of this model ({error}); fix: train without --resume"
        ) from None
    return _State(header["epoch"], header["history"], best)
