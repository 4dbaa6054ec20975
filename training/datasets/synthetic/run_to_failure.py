"""Machines that run to failure, made by the contract's simulator, with a known onset."""

from __future__ import annotations

import hashlib
from functools import partial

import numpy as np

from contract.lives import healthy_start
from contract.ops.simulate import RunToFailure
from contract.spec import Window
from training.datasets import DataSet, Recording
from training.metrics import run_to_failure
from training.protocols import over_lives

NAME = "simulated"


def simulate(machines: int, *, seed: int, windows: int = 200) -> DataSet:
    """Lives of simulated machines.

    Args:
        machines: how many.
        seed: makes the set; the same seed makes the same machines.
        windows: per life, ten seconds apart.
    """
    recordings = tuple(
        _record(RunToFailure(seed=seed * 1_000_003 + number, windows=windows), number)
        for number in range(machines)
    )
    return DataSet(
        name=NAME,
        recordings=recordings,
        licence="simulated by this project, free of rights",
        shareable=True,
        measure=partial(over_lives, recordings, run_to_failure),
    )


def _record(machine: RunToFailure, number: int) -> Recording:
    """One simulated life as a recording."""
    index = np.arange(1, machine.windows + 1)
    return Recording(
        name=f"machine{number:03d}",
        dataset=NAME,
        life=(index / machine.windows).astype(np.float32),
        learn_windows=healthy_start(index, machine.windows, at_least=0),
        onset=machine.onset,
        # a change of the simulator shows in what it makes, not in its parameters
        digest=hashlib.sha256(repr(machine).encode() + machine.window(0).tobytes()).hexdigest(),
        window=partial(_window, machine, f"machine{number:03d}"),
    )


def _window(machine: RunToFailure, name: str, i: int) -> Window:
    t_ns = int(i * machine.interval_s * 1e9)
    return Window(name, i, t_ns, 0, machine.window(i), machine.rate_hz)
