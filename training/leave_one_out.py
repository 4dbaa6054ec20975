"""A bench that has never seen what it judges: everything is made again without each recording.

Network, scales and thresholds come from the other recordings alone, so that what a recipe gives on
machines it has not met is measured on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from contract.fold import Model
from contract.spec import OperatingPoint, Workload
from training.datasets import DataSet, Recording
from training.protocols import Bench
from training.recipes import Recipe
from training.watch import Seen, Watched, judge, see

T = TypeVar("T")


class LeaveOneOut:
    """A `training.protocols.Bench` for one data set; the float model, not int8.

    Attributes:
        workload: what watches.
    """

    def __init__(
        self,
        workload: Workload,
        recipe: Recipe,
        dataset: DataSet,
        *,
        seed: int,
        shown: Bench,
    ) -> None:
        """Nothing is trained yet.

        Args:
            workload: what watches.
            recipe: makes its models and its operating point.
            dataset: its recordings are left out one after the other; simulated machines never are.
            seed: of weights and order, and of the simulated machines.
            shown: shows a person whose turn it is.
        """
        self._shown = shown
        self.workload = workload
        self._recipe = recipe
        self._recordings = dataset.recordings
        # of a root without data a recipe makes all it learns from
        made = recipe.sources(Path("/nonexistent"), seed)
        self._simulated = [one for source in made for one in source.recordings]
        self._seed = seed
        self._points: dict[str, OperatingPoint] = {}

    def each(self, things: Sequence[T], named: Callable[[T], str]) -> Iterable[T]:
        """The same things, while a person sees which one's turn it is."""
        return self._shown.each(things, named)

    def see(self, recording: Recording) -> Seen:
        """What the stages find in a recording, with models made without it."""
        others = [one for one in self._recordings if one.name != recording.name]
        models = self._train([*others, *self._simulated])
        seen = [see(self.workload, models, one) for one in (*others, *self._simulated)]
        self._points[recording.name] = self._recipe.operating_point(seen)
        return see(self.workload, models, recording)

    def watch(self, recording: Recording) -> Watched:
        """A recording judged by a point chosen without it."""
        seen = self.see(recording)
        return judge(self.workload, seen, self.point(recording))

    def point(self, recording: Recording) -> OperatingPoint:
        """What was chosen when it was seen."""
        return self._points[recording.name]

    def split_of(self, _recording: Recording) -> str:
        """Each was left out."""
        return "left out"

    def _train(self, recordings: Sequence[Recording]) -> dict[str, Model]:
        from training import backend, loop

        models = {}
        for stage in self.workload.stages:
            if stage.input_shape is None:
                continue
            recipe = self._recipe.stages[stage.name]
            examples = recipe.data(recordings)
            model, _ = loop.fit(
                recipe,
                input_shape=stage.input_shape,
                training=examples,
                validation=examples,
                seed=self._seed,
            )
            models[stage.name] = backend.as_model(model)
        return models
