"""A sampled signal: stuck, clipped or disconnected."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from contract.spec import Array, SignalSpec, Window
from edge.gates import Limits

_STUCK_SAMPLES = 64  # a shorter stretch without a move is chance
_STUCK_SHARE = 0.1  # of the window
_CLIPPED_SHARE = 0.02  # of the window, at exactly its highest or lowest value
_CLIPPED_SAMPLES = 8  # fewer are chance
_CLIPPED_LEVELS = 32  # a signal of fewer values has flat tops by its nature
_LEARNED = 16  # windows until the step of the converter is known
_LOUD_STEPS = 30.0  # a machine that had so many steps and has two is not one that was stopped


class SignalGate:
    """Refuses what a sensor cannot have measured, channel by channel.

    A stopped machine is quiet, not disconnected: its sensor still shows its own noise. Unless a
    `floor` is configured, only a channel that fell from a loud machine to the last steps of its
    converter is called disconnected. A failing machine is loud and may touch the end of the range;
    only a window that spends a share of its time there is called clipped.
    """

    def __init__(self, spec: SignalSpec, limits: Limits) -> None:
        self._spec = spec
        self._limits = limits
        self._last: Array | None = None
        self._step: Array | None = None  # smallest difference between two values, per channel
        self._levels: deque[Array] = deque(maxlen=256)  # standard deviations of good windows
        self._seen = 0

    def refuse(self, window: Window) -> str | None:
        """Why not; None if it may be judged."""
        if reason := self._spec.refuse(window):
            return reason
        x = np.ascontiguousarray(window.data.T)
        last, self._last = self._last, x
        is_still = x[:, 1:] == x[:, :-1]
        stills = np.count_nonzero(is_still, axis=1)
        if last is not None and 2 * stills.max() < x.shape[1] and np.array_equal(x, last):
            return "stuck"  # a driver that hands out the same buffer again
        self._learn(x)
        spread = x.std(axis=1)
        for channel, samples in enumerate(x):
            if reason := self._refuse(samples, is_still[channel], int(stills[channel])):
                return reason
            if self._is_disconnected(channel, float(spread[channel]), float(np.ptp(samples))):
                return "disconnected"
        self._levels.append(spread)
        return None

    def _learn(self, x: Array) -> None:
        """What the steps of the converter are; anew when the channels are others."""
        if self._step is not None and len(self._step) != len(x):
            self._step, self._seen = None, 0
            self._levels.clear()
        if self._seen < _LEARNED:
            self._seen += 1
            steps = np.array([_step(channel) for channel in x])
            self._step = steps if self._step is None else np.minimum(self._step, steps)

    def _refuse(self, x: Array, is_still: Array, stills: int) -> str | None:
        n = len(x)
        if stills >= max(_STUCK_SAMPLES, _STUCK_SHARE * n) - 1:
            longest = _longest(is_still)
            # how often values repeat outside of that stretch says how long one would be by chance
            repeats = (stills - longest + 1) / max(n - longest, 1)
            by_chance = math.log(n) / -math.log(repeats) if 0 < repeats < 1 else 0.0
            if repeats < 1 and longest > max(_STUCK_SAMPLES, _STUCK_SHARE * n, 4 * by_chance):
                return "stuck"
        full = self._limits.full_scale
        if full is not None and np.count_nonzero(np.abs(x) >= 0.995 * full) >= _CLIPPED_SHARE * n:
            return "clipped"
        return "clipped" if _is_clipped(x) else None

    def _is_disconnected(self, channel: int, spread: float, reach: float) -> bool:
        if self._limits.floor is not None:
            return bool(spread < self._limits.floor)
        assert self._step is not None
        step = float(self._step[channel])
        if self._seen < _LEARNED or reach > 2.5 * step:
            return False
        usual = float(np.median([levels[channel] for levels in self._levels] or [0.0]))
        return usual > _LOUD_STEPS * step


def _step(x: Array) -> float:
    """The smallest difference between two values that is not rounding."""
    steps = np.diff(np.unique(x))
    return float(steps[steps > 1e-6 * np.abs(x).max()].min(initial=np.inf))


def _is_clipped(x: Array) -> bool:
    """Whether more samples lie on the extremes than close to them."""
    high, low = x.max(), x.min()
    on = int(np.count_nonzero((x == high) | (x == low)))
    if on < max(_CLIPPED_SAMPLES, _CLIPPED_SHARE * len(x)):
        return False
    margin = 0.02 * (high - low)
    close = int(np.count_nonzero((x > high - margin) | (x < low + margin))) - on
    return on > close and len(np.unique(x)) >= _CLIPPED_LEVELS


def _longest(is_still: Array) -> int:
    """Samples in the longest stretch of one value."""
    moves = np.flatnonzero(~is_still)
    ends = np.concatenate([[-1], moves, [len(is_still)]])
    return int(np.diff(ends).max())
