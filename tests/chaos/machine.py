"""What a device of the chaos test watches: a machine that is healthy and faulty by turns, fast."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contract.spec import Array

ROOT = Path(__file__).parents[2]
LEARN_WINDOWS = 20
_SAMPLES = 512
_RATE_HZ = 512.0
_HOP_S = 700.0  # longer than the policy's cooldown, so that none is waited for
_HEALTHY, _FAULTY = 12, 7  # windows: enough to clear, enough to raise
_COUNTS = (2.5, 20.0)  # of noise, healthy and faulty
_DEVICE = """\
[device]
name = "{name}"
state_dir = "{state_dir}"
outbox_max_bytes = {outbox_max_bytes}
health_interval_s = 2.0

{mqtt}
[[pipeline]]
name = "machine"
bundle = "{bundle}"
engine = "{engine}"
learn_windows = {learn_windows}
score_interval_s = 1.0

[pipeline.source]
type = "replay"
path = "{recording}"
window_s = {window_s}
hop_s = {hop_s}
speed = {speed}
"""


def record(path: Path, *, seed: int, windows: int) -> None:
    """A recording of so many windows, with a fault every 19, after a healthy start.

    Args:
        path: the `.npz` file to write.
        seed: of the noise.
        windows: how many.
    """
    rng = np.random.default_rng(seed)
    period = np.r_[np.zeros(_HEALTHY, int), np.ones(_FAULTY, int)]
    periods = np.tile(period, windows // len(period) + 1)
    faulty = np.r_[np.zeros(LEARN_WINDOWS, int), periods][:windows]
    acc: Array = np.empty((windows, _SAMPLES, 1), np.int8)
    for window, is_faulty in zip(acc, faulty, strict=True):
        noise = rng.standard_normal(window.shape) * _COUNTS[is_faulty]
        window[:] = noise.round().clip(-127, 127)
    np.savez(path, acc=acc, fs=_RATE_HZ, interval_s=_HOP_S, scale=0.1)


def config(
    name: str,
    *,
    state_dir: Path,
    outbox_max_bytes: int,
    recording: Path,
    engine: str,
    windows_per_s: float,
    mqtt_table: str,
) -> str:
    """The TOML file of a device that watches it."""
    return _DEVICE.format(
        name=name,
        state_dir=state_dir,
        outbox_max_bytes=outbox_max_bytes,
        mqtt=mqtt_table,
        bundle=ROOT / "bundles" / "machine_condition",
        engine=engine,
        learn_windows=LEARN_WINDOWS,
        recording=recording,
        window_s=_SAMPLES / _RATE_HZ,
        hop_s=_HOP_S,
        speed=windows_per_s * _HOP_S,
    )
