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
from training.watch import judged_by

HERE = Path(__file__).parent
RATE_HZ, SAMPLES, WINDOWS, LEARN = 12_800.0, 768, 36, 20
HOP_S = 120.0  # so that the recording outlasts all that a condition looks back on
SCALE = 1e-4  # g per count


def golden_file(name: str) -> Path:
    """The recording of a workload's present revision."""
    return HERE / f"{name}-r{workloads.load(name).revision}.npz"


def play(recording: Path) -> dict[str, Array]:
    """What was said of the windows after learning; the network rebuilds half of everything.

    Returns:
        `scores` (labels, windows, levels) float64, `labels` and `levels` of the same shape; each
        time another label is given ten times the weight of the others.
    """
    workload = workloads.load(recording.stem.rpartition("-r")[0])
    config = Config(path=str(recording), window_s=SAMPLES / RATE_HZ, hop_s=HOP_S, speed=0.0)
    windows = list(open_source(config, name="golden", base=HERE).windows())
    models = {stage.name: lambda rows: rows / 2 for stage in workload.stages if stage.input_shape}
    found, _ = fold(workload, models, windows)
    vectors = np.stack([[d.vector for d in of_window] for of_window in found[:LEARN]])
    assert workload.learn is not None
    learned, later = workload.learn(vectors), range(LEARN, len(found))
    judged = []
    for emphasised in workload.labels:  # so that a part that moves cannot hide behind a higher one
        scales = dict.fromkeys(workload.labels, 10.0) | {emphasised: 1.0}
        point = OperatingPoint(1.0, 1.0, "nothing", {}, scales)
        judge = judged_by(workload, Profile(point, learned, "golden", LEARN))
        judged.append([judge(windows[i].t_ns, found[i]) for i in later])
    return {
        "scores": np.array([[[d.score for d in one] for one in by] for by in judged]),
        "labels": np.array([[[d.label for d in one] for one in by] for by in judged]),
        "levels": np.array([[[d.level for d in one] for one in by] for by in judged]),
    }


def record(name: str) -> Path:
    """A simulated machine from healthy to failed, in counts, with the scores it gives now."""
    machine = RunToFailure(3, windows=WINDOWS, onset=0.7, rate_hz=RATE_HZ, samples=SAMPLES)
    counts = np.stack([machine.window(i) for i in range(WINDOWS)]) / SCALE
    arrays = {"acc": np.clip(counts, -32768, 32767).astype(np.int16), "scale": SCALE, "fs": RATE_HZ}
    file = golden_file(name)
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, file.name)
        np.savez_compressed(bare, **arrays)
        said = play(bare)
    np.savez_compressed(file, **arrays, **said)
    return file


if __name__ == "__main__":
    print(record("machine_condition"))
