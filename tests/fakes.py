"""Stand-ins that obey the protocols and record what they saw; and a tiny real bundle."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from contract import manifest, workloads
from contract.machine import Machine
from contract.manifest import GOLDEN, MANIFEST, Manifest, ModelFile, Tensor
from contract.messages import Address, Encoded
from contract.shelf import Shelf
from contract.spec import (
    Array,
    Detection,
    Floats,
    OperatingPoint,
    Profile,
    SignalSpec,
    Stage,
    Window,
)
from contract.spec import Workload as WorkloadSpec
from edge.recorder import Recorder

POINT = OperatingPoint(threshold=1.0, clear_threshold=0.5, chosen_on="nothing", measured={})


class FakeClock:
    """Wall and monotonic time that move only when told to."""

    def __init__(self, *, wall_ns: int = 1_800_000_000 * 10**9, mono_ns: int = 10**12) -> None:
        self.wall = wall_ns
        self.mono = mono_ns
        self.synced = True

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks alike."""
        self.wall += int(seconds * 1e9)
        self.mono += int(seconds * 1e9)

    def wall_ns(self) -> int:
        return self.wall

    def mono_ns(self) -> int:
        return self.mono

    def is_kernel_synced(self) -> bool:
        return self.synced


class FakeEngine:
    """An engine that subtracts a constant and remembers its inputs."""

    def __init__(self, constant: float = 0.0) -> None:
        self.constant = constant
        self.seen: list[Floats] = []

    def run(self, x: Floats) -> Floats:
        self.seen.append(x)
        return (x - np.float32(self.constant)).astype(np.float32)


class FakeSource:
    """A source that yields given windows, then ends, or hangs until closed."""

    def __init__(self, windows: Iterable[Window], *, hangs: bool = False) -> None:
        self._windows = windows
        self._hangs = hangs
        self._closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def windows(self) -> Iterator[Window]:
        for window in self._windows:
            if self.is_closed:
                return
            yield window
        if self._hangs:
            self._closed.wait()

    def close(self) -> None:
        self._closed.set()


@dataclass
class Sink:
    """Takes messages as an outbox would and keeps them."""

    taken: list[Encoded] = field(default_factory=list)

    def put(self, message: Encoded) -> None:
        self.taken.append(message)

    @property
    def kinds(self) -> list[str]:
        return [message.kind for message in self.taken]


def recorder(folder: Path) -> Recorder:
    """Of a pipeline whose machine nobody has described."""
    address = Address("vedette", "d1", "p")
    return Recorder(Machine(), address, Shelf(folder / "evidence", max_bytes=1 << 20))


def window(data: Floats, *, seq: int = 0, rate_hz: float = 25_600.0) -> Window:
    """A window around samples, (samples, channels)."""
    return Window("fake", seq, int(seq * 1e9), 1_800_000_000 * 10**9, data, rate_hz)


def toy_workload(*, learns: bool = True) -> WorkloadSpec:
    """Two stages, the second with a model; scores how far the mean is from the learned one."""

    def mean(seen: Window, _found: tuple[Detection, ...]) -> Floats:
        return seen.data.mean(axis=0, keepdims=True).astype(np.float32)

    def as_vector(
        _seen: Window, _found: tuple[Detection, ...], _rows: Floats, outputs: Floats
    ) -> tuple[Detection, ...]:
        return tuple(Detection("mean", vector=row) for row in outputs)

    def again(_seen: Window, found: tuple[Detection, ...]) -> Floats:
        return np.stack([d.vector for d in found if d.vector is not None])

    def learn(vectors: Floats) -> dict[str, Floats]:
        return {"centre": vectors.mean(axis=0)}

    def judge(found: tuple[Detection, ...], profile: Profile) -> tuple[Detection, ...]:
        centre = profile.learned.get("centre", np.zeros(1, np.float32))
        (only,) = found
        assert only.vector is not None
        return (Detection("far", score=float(np.abs(only.vector - centre).max())),)

    return WorkloadSpec(
        name="toy",
        revision=1,
        input=SignalSpec(1.0, 1, 10.0, 10, 1),
        stages=(
            Stage("first", mean, as_vector),
            Stage("second", again, as_vector, input_shape=(1,)),
        ),
        judge=judge,
        policy=lambda _point: pytest.fail("the toy has no policy"),
        tolerances={},
        learn=learn if learns else None,
        learn_windows=3,
    )


class RunningSum:
    """A follower that adds up what was judged."""

    def __init__(self, _profile: Profile) -> None:
        self.total = 0.0
        self.seen_ns: list[int] = []

    def update(self, found: tuple[Detection, ...], t_ns: int) -> tuple[Detection, ...]:
        self.seen_ns.append(t_ns)
        self.total += sum(detection.score for detection in found)
        return (Detection("sum", score=self.total, level="notice"),)

    def state(self) -> dict[str, Array]:
        return {"total": np.array([self.total])}

    def resume(self, state: Mapping[str, Array]) -> None:
        (self.total,) = state["total"].tolist()


def tiny_bundle(path: Path, *, gain: float = 0.0, windows: int = 2) -> Path:
    """A real bundle of machine_condition without any training: the network multiplies by `gain`.

    With 1 it rebuilds everything and leaves no residual; with 0 it rebuilds nothing.

    Args:
        path: the directory to make.
        gain: what the network multiplies its input by.
        windows: golden windows.
    """
    pytest.importorskip("onnx", reason="onnx is not installed: the tiny bundle cannot be built")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    workload = workloads.load("machine_condition")
    path.mkdir(parents=True)
    model = _tiny_onnx(path / "spectrum.onnx", gain)
    seen = [workload.input.example(seed=seed) for seed in range(windows)]
    levels, spectrum = workload.stages
    inputs = []
    for one in seen:
        rows = levels.preprocess(one, ())
        found = levels.postprocess(one, (), rows, rows)
        inputs.append(spectrum.preprocess(one, found))
    stacked = np.concatenate(inputs)
    np.savez(
        path / GOLDEN,
        windows=np.stack([one.data for one in seen]),
        rate_hz=np.array(seen[0].rate_hz),
        **{"spectrum.input": stacked, "spectrum.onnx": stacked * np.float32(gain)},
    )
    made = Manifest(
        format_version=manifest.FORMAT_VERSION,
        workload=workload.name,
        revision=workload.revision,
        created="2026-01-01T00:00:00Z",
        stages={"spectrum": {"onnx": model}},
        golden_sha256=hashlib.sha256((path / GOLDEN).read_bytes()).hexdigest(),
        operating_point=OperatingPoint(
            threshold=1.0,
            clear_threshold=0.8,
            chosen_on="nothing",
            measured={},
            scales={"spectrum": 3.0, "impulses": 0.7, "level": 0.8, "novelty": 1.0},
        ),
        labels=list(workload.labels),
        metrics={},
        tolerances={},
        float_bytes={"spectrum": model.bytes},
        data={"name": "none"},
        commit="unknown",
        licence="Apache-2.0",
        versions={},
    )
    (path / MANIFEST).write_bytes(manifest.encode(made))
    return path


def plain_manifest(workload: str, labels: list[str]) -> Manifest:
    """Of a bundle that is never read from a disk."""
    return Manifest(
        *(2, workload, 1, "2026-01-01T00:00:00Z", {}, "0" * 64, POINT, labels),
        metrics={},
        tolerances={},
        float_bytes={},
        data={},
        commit="unknown",
        licence="Apache-2.0",
        versions={},
    )


def _tiny_onnx(path: Path, gain: float) -> ModelFile:
    """(1, 32) float32 -> the same times `gain`."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 32]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "gain"], ["y"])],
        "tiny",
        [ends[0]],
        [ends[1]],
        [helper.make_tensor("gain", TensorProto.FLOAT, [1], [gain])],
    )
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="fakes"
    )
    raw = model.SerializeToString()
    path.write_bytes(raw)
    tensor = Tensor((1, 32), "float32")
    return ModelFile(path.name, hashlib.sha256(raw).hexdigest(), len(raw), tensor, tensor)
