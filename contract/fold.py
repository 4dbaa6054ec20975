"""A workload's stages over many windows at once, the same wherever it is not done live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from contract.spec import Detections, Floats, Window, Workload

Model = Callable[[Floats], Floats]
Pass = tuple[Floats, Floats]


def fold(
    workload: Workload, models: Mapping[str, Model], windows: Sequence[Window]
) -> tuple[list[Detections], dict[str, list[Pass]]]:
    """Fold the stages over windows, stage by stage, so that a model sees all its rows together.

    Args:
        workload: what watches.
        models: by stage: (n, *input_shape) -> (n, *output_shape), float32.
        windows: at least one.

    Returns:
        what the last stage found in each window; and by stage with a model, for each window its
        inputs (n, *input_shape) and outputs (n, *output_shape).
    """
    found: list[Detections] = [()] * len(windows)
    passes: dict[str, list[Pass]] = {}
    for stage in workload.stages:
        inputs = [stage.preprocess(w, f) for w, f in zip(windows, found, strict=True)]
        outputs = inputs
        if stage.input_shape is not None:
            ends = np.cumsum([len(rows) for rows in inputs])[:-1]
            outputs = np.split(models[stage.name](np.concatenate(inputs)), ends)
            passes[stage.name] = list(zip(inputs, outputs, strict=True))
        of_windows = zip(windows, found, inputs, outputs, strict=True)
        found = [stage.postprocess(*one) for one in of_windows]
    return found, passes
