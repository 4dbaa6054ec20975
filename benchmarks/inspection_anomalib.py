"""Their side of `inspection`, in anomalib's own environment and with nothing of ours.

`fit METHOD PICTURES.npz STATE`: learn from the good pictures; prints seconds and memory.
`serve METHOD PICTURES.npz STATE THREADS`: timed in turns.

Backbones have random weights: speed does not depend on them, what is found does. What is timed is
the least that anomalib does for a decision: the transform of its own pre-processor and the model,
without Lightning, its data loaders and its post-processing.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspection_turns
import numpy as np
import torch
from anomalib.models import EfficientAd, Padim, Patchcore

_STEPS = 10  # of EfficientAD that are timed; what they teach does not matter here
METHODS: dict[str, Callable[[], Any]] = {
    "padim": lambda: Padim(pre_trained=False),
    "patchcore": lambda: Patchcore(
        backbone="resnet18", pre_trained=False, coreset_sampling_ratio=0.01
    ),
    "patchcore-wide": lambda: Patchcore(pre_trained=False),
    "efficientad": EfficientAd,
}


def opened(method: str, size: int) -> tuple[Any, Callable[[np.ndarray], torch.Tensor]]:
    """The model, and what makes of a (size, size, 3) uint8 picture what it takes."""
    torch.manual_seed(0)
    made = METHODS[method]()
    transform = made.configure_pre_processor(image_size=(size, size)).transform

    def prepared(picture: np.ndarray) -> torch.Tensor:
        planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
        ready: torch.Tensor = transform(planes.float() / 255.0)
        return ready

    return made, prepared


def fit(method: str, pictures: Path, state: Path) -> None:
    with np.load(pictures) as file:
        good = file["good"]
    made, prepared = opened(method, good.shape[1])
    start = time.monotonic()
    if method == "efficientad":
        seconds = step_seconds(made, [prepared(one) for one in good[:_STEPS]])
        torch.save({}, state)
    else:
        made.model.train()
        made.model.feature_extractor.eval()
        with torch.no_grad():
            for picture in good:
                made.model(prepared(picture))
            made.fit()
        seconds = time.monotonic() - start
        torch.save(learned(made), state)
    print(json.dumps({"seconds": seconds, "peak_mb": inspection_turns.peak_mb()}))


def learned(made: Any) -> dict[str, torch.Tensor]:
    """What was fitted; the backbone is the same again by its seed."""
    if isinstance(made, Padim):
        gaussian = made.model.gaussian
        return {"mean": gaussian.mean, "inv_covariance": gaussian.inv_covariance}
    return {"memory_bank": made.model.memory_bank.clone()}


def step_seconds(made: Any, good: list[torch.Tensor]) -> float:
    """Of one step of training; a picture of the set stands in for the one of ImageNet."""
    networks = (made.model.student, made.model.ae)
    optimizer = torch.optim.Adam([p for net in networks for p in net.parameters()], lr=made.lr)
    made.model.train()
    took = []
    for picture in good:
        start = time.monotonic()
        optimizer.zero_grad()
        loss = sum(made.model(picture, picture))
        loss.backward()
        optimizer.step()
        took.append(time.monotonic() - start)
    return float(np.median(took))


def serve(method: str, pictures: Path, state: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    with np.load(pictures) as file:
        apart = file["apart"]
    made, prepared = opened(method, apart.shape[1])
    model = made.model.eval()
    owner = model.gaussian if method == "padim" else model
    for name, tensor in torch.load(state, weights_only=True).items():
        setattr(owner, name, tensor)
    inputs = [prepared(one) for one in apart]

    @torch.inference_mode()
    def whole(number: int) -> object:
        """From a picture in memory to score, map and decision."""
        given = model(prepared(apart[number % len(apart)]))
        return given.anomaly_map[0].numpy(), float(given.pred_score) >= 0.5

    @torch.inference_mode()
    def network(number: int) -> object:
        """The networks alone."""
        given = inputs[number % len(inputs)]
        if method == "efficientad":
            return model.teacher(given), model.student(given), model.ae(given, given.shape[-2:])
        return model.feature_extractor(given)

    versions = {name: importlib.metadata.version(name) for name in ("anomalib", "torch")}
    inspection_turns.serve({"whole": whole, "network": network}, versions=versions)


if __name__ == "__main__":
    if sys.argv[1] == "fit":
        fit(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        serve(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
