"""The words all sides share: what goes into a workload, through it and out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from contract.machine import Explanation, Machine
from contract.messages import Body

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Level = Literal["notice", "alarm"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Window:
    """What one inference sees: a fixed stretch of samples, or an image.

    Attributes:
        source: name of the source that made it.
        seq: number of the window in its source, from 0; a jump means windows were dropped.
        t_ns: when the last sample was taken, nanoseconds on the source's own monotonic clock.
        wall_ns: wall clock when the window was complete on this device, nanoseconds since 1970.
        data: (samples, channels) float32 in the unit of the sensor; of images (height, width, 3)
            uint8, RGB.
        rate_hz: sample rate of `data`; of images, the frames per second the camera delivers just
            now, 0 where that is not known.
        large: of a camera that gives each picture twice, the same view larger, likewise RGB: what
            evidence is cut from. What is found in `data` lies there, scaled. None: only `data`.
    """

    source: str
    seq: int
    t_ns: int
    wall_ns: int
    data: Array
    rate_hz: float
    large: Array | None = None


@dataclass(frozen=True, eq=False)
class Detection:
    """One thing found in a window.

    Attributes:
        label: what it is.
        score: how much of it; the range is stated by the workload.
        vector: (d,) float32 that describes it, or None.
        box: where it is in a picture: left, top, right, bottom in pixels; or None.
        points: (n, 2) float32, x and y of its points in pixels, as the workload orders them; or
            None.
        level: how urgent it is: `notice`, look at it; `alarm`, act.
        threshold: what the score was judged against, where that is not the operating point's.
    """

    label: str
    score: float = 0.0
    vector: Floats | None = None
    box: Box | None = None
    points: Floats | None = None
    level: Level = "alarm"
    threshold: float | None = None


Detections = tuple[Detection, ...]


class OperatingPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The decision threshold that travels with a model, and how it was measured.

    Attributes:
        threshold: a score at or above it counts as a hit.
        clear_threshold: a score below it counts as back to normal.
        chosen_on: the data the thresholds were chosen on, after quantization.
        measured: rates measured there, by name.
        scales: what a workload's judge divides its parts by, so that one threshold serves them all.
    """

    threshold: float
    clear_threshold: float
    chosen_on: str
    measured: dict[str, float]
    scales: dict[str, float] = {}


@dataclass(frozen=True, eq=False)
class Profile:
    """What a judge goes by: the operating point of the bundle and what this device has learned.

    Attributes:
        operating_point: from the bundle.
        learned: arrays by name, as returned by the workload's `learn`; empty where it has none.
        model_id: the model it was learned with; refused under any other.
        windows: how many windows it was learned from.
    """

    operating_point: OperatingPoint
    learned: Mapping[str, Array]
    model_id: str
    windows: int


@dataclass(frozen=True)
class SignalSpec:
    """What a workload needs of a sampled signal.

    Rate, window and hop belong to the machine, not to the workload; these are the limits within
    which the workload's features mean what they should.

    Attributes:
        min_rate_hz: lowest sample rate.
        min_samples: fewest samples in a window.
        example_rate_hz: of a typical window, for tests and benchmarks.
        example_samples: likewise.
        example_channels: likewise.
    """

    min_rate_hz: float
    min_samples: int
    example_rate_hz: float
    example_samples: int
    example_channels: int

    def refuse(self, window: Window) -> str | None:
        """Why `window` must not be judged, in one word for a counter; None if it may be."""
        x = window.data
        if window.rate_hz < self.min_rate_hz:
            return "rate_too_low"
        if x.ndim != 2 or x.shape[0] < self.min_samples or x.shape[1] == 0:
            return "too_short"
        if not np.isfinite(x).all():
            return "not_finite"
        if any((x[:, channel] == x[0, channel]).all() for channel in range(x.shape[1])):
            return "stuck"
        return None

    def example(self, seed: int) -> Window:
        """A window of Gaussian noise of the typical shape: enough to time and to type-check."""
        rng = np.random.default_rng(seed)
        data = rng.normal(size=(self.example_samples, self.example_channels)).astype(np.float32)
        t_ns = int(self.example_samples / self.example_rate_hz * 1e9)
        return Window("example", 0, t_ns, 0, data, self.example_rate_hz)


@dataclass(frozen=True)
class ImageSpec:
    """What a workload needs of a picture.

    Attributes:
        min_height: fewest rows.
        min_width: fewest columns.
        example_height: of a typical picture, for tests and benchmarks.
        example_width: likewise.
    """

    min_height: int
    min_width: int
    example_height: int
    example_width: int

    def refuse(self, window: Window) -> str | None:
        """Why `window` must not be judged, in one word for a counter; None if it may be."""
        x = window.data
        if x.dtype != np.uint8 or x.ndim != 3 or x.shape[2] != 3:
            return "not_an_image"
        if x.size == 0:  # so a camera says that a picture came damaged
            return "corrupt"
        if x.shape[0] < self.min_height or x.shape[1] < self.min_width:
            return "too_small"
        return None

    def example(self, seed: int) -> Window:
        """A picture of noise of the typical size: enough to time and to type-check."""
        shape = (self.example_height, self.example_width, 3)
        data = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        return Window("example", 0, 0, 0, data, 0.0)


InputSpec = SignalSpec | ImageSpec


@dataclass(frozen=True)
class Stage:
    """One step of a workload: prepare, run a model or none, interpret.

    Stages are folded over a window, each seeing what the one before it found.

    Attributes:
        name: names the model file and its entry in the manifest.
        preprocess: (window, found) -> (n, *input_shape) float32, one row per inference.
        postprocess: (window, found, inputs, outputs) -> what is found now; `outputs` are `inputs`
            where the stage has no model.
        input_shape: shape of one model input without the batch axis; None: no model.
    """

    name: str
    preprocess: Callable[[Window, Detections], Floats]
    postprocess: Callable[[Window, Detections, Floats, Floats], Detections]
    input_shape: tuple[int, ...] | None = None


class Follower(Protocol):
    """Judged detections over time to scored ones, where a window alone does not decide.

    Pure: time is an argument. It belongs to one profile, and its memory is bounded.
    """

    def update(self, found: Detections, t_ns: int) -> Detections:
        """What is known after one window.

        Args:
            found: the judged detections of the window.
            t_ns: the window's own time.
        """

    def state(self) -> dict[str, Array]:
        """What a restart must not forget."""

    def resume(self, state: Mapping[str, Array]) -> None:
        """Go on from an earlier `state`.

        Raises:
            KeyError: an array is missing.
            ValueError: an array has another shape; the follower stays as it was.
        """


class Policy(Protocol):
    """Detections over time to messages. Pure: time is an argument."""

    def update(self, found: Detections, t_ns: int) -> tuple[Body, ...]:
        """Messages due after one window; most windows give none.

        Args:
            found: the judged detections of the window.
            t_ns: the window's own time.
        """

    def state(self) -> bytes:
        """What a restart must not forget; committed together with the messages of `update`."""

    def resume(self, state: bytes) -> None:
        """Go on from an earlier `state`; called before the first `update`."""


class Engine(Protocol):
    """Runs one model file. Float in, float out; quantization stays inside."""

    def run(self, x: Floats) -> Floats:
        """Outputs for one input.

        Args:
            x: (*input_shape,) float32.

        Returns:
            (*output_shape,) float32.
        """


@dataclass(frozen=True)
class Workload:
    """One thing a device can notice, defined once.

    Attributes:
        name: the name of its file.
        revision: bumped when the meaning of input or output moves; bundles of another are refused.
        input: what it needs of the sensor.
        stages: folded over one window.
        judge: (found, profile) -> scored detections; nothing where there is nothing to judge, such
            as of a machine that stands still.
        follow: profile -> what scores the judged detections by those before them; None: each
            window stands for itself.
        policy: makes a fresh policy for an operating point.
        tolerances: how much worse the device's engine may be than the float model, by metric; the
            export gate refuses a model beyond them.
        labels: what its detections can say.
        learn: (windows, detections, d) vectors of healthy windows -> arrays of the profile;
            None: nothing is learned on site.
        learn_windows: how many windows are learned from unless the device's config says otherwise.
        explain: (window that raised, healthy windows' data, machine) -> why, for people; None:
            its alerts say no more than their label.
    """

    name: str
    revision: int
    input: InputSpec
    stages: tuple[Stage, ...]
    judge: Callable[[Detections, Profile], Detections]
    policy: Callable[[OperatingPoint], Policy]
    tolerances: Mapping[str, float]
    labels: tuple[str, ...] = ()
    learn: Callable[[Floats], dict[str, Array]] | None = None
    learn_windows: int = 0
    follow: Callable[[Profile], Follower] | None = None
    explain: Callable[[Window, Sequence[Floats], Machine], Explanation] | None = None
