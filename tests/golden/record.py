"""Recordings of a few kilobytes with the scores they gave: `python tests/golden/record.py`.

Run it when a workload's `revision` was raised because its outputs are meant to move.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from contract import workloads
from contract.fold import fold
from contract.ops.simulate import RunToFailure
from contract.spec import Array, OperatingPoint, Profile
from edge.sources import open_source
from edge.sources.replay import Config

HERE = Path(__file__).parent
RATE_HZ, SAMPLES, WINDOWS, LEARN = 12_800.0, 768, 24, 16
SCALE = 1e-4  # g per count


def golden_file(name: str) -> Path:
    """The recording of a workload's present revision."""
    return HERE / f"{name}-r{workloads.load(name).revision}.npz"


def play(recording: Path) -> tuple[Array, list[str]]:
    """Scores and labels of the windows after learning; the network rebuilds half of everything."""
    workload = workloads.load(recording.stem.rpartition("-r")[0])
    config = Config(path=str(recording), window_s=SAMPLES / RATE_HZ, hop_s=10.0, speed=0.0)
    windows = list(open_source(config, name="golden", base=HERE).windows())
    models = {stage.name: lambda rows: rows / 2 for stage in workload.stages if stage.input_shape}
    found, _ = fold(workload, models, windows)
    vectors = np.stack([[d.vector for d in of_window] for of_window in found[:LEARN]])
    assert workload.learn is not None
    point = OperatingPoint(1.0, 1.0, "nothing", {}, dict.fromkeys(workload.labels, 1.0))
    profile = Profile(point, workload.learn(vectors), "golden", LEARN)
    judged = [workload.judge(of_window, profile)[0] for of_window in found[LEARN:]]
    return np.array([d.score for d in judged]), [d.label for d in judged]


def record(name: str) -> Path:
    """A simulated machine from healthy to failed, in counts, with the scores it gives now."""
    machine = RunToFailure(3, windows=WINDOWS, onset=0.7, rate_hz=RATE_HZ, samples=SAMPLES)
    counts = np.stack([machine.window(i) for i in range(WINDOWS)]) / SCALE
    arrays = {"acc": np.clip(counts, -32768, 32767).astype(np.int16), "scale": SCALE, "fs": RATE_HZ}
    file = golden_file(name)
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, file.name)
        np.savez_compressed(bare, **arrays)
        scores, labels = play(bare)
    np.savez_compressed(file, **arrays, scores=scores, labels=labels)
    return file


if __name__ == "__main__":
    print(record("machine_condition"))
