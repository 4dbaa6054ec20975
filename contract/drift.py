"""Follow what the pictures of a line look like, and say when they leave what was learned.

A lamp fades, a lens goes soft, a fixture wears: each makes a model miss before anything else tells
of it. The medians of the last 15, 30 and 60 parts are compared with those of the good parts
that were learned from; `contract.drift_learn` measures how far they wander when nothing drifts. A
median of 15 needs 8 parts: one broken picture says nothing, eight in a row do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from contract.inspection import PASS, Part
from contract.ops.looks import Looks, shift
from contract.spec import Array, Detection, Detections, Floats, Profile

LIGHTING, FOCUS, POSITION, SCORES = "lighting", "focus", "position", "scores"
KINDS = (LIGHTING, FOCUS, POSITION, SCORES)
PREFIX = "drift."
THRESHOLD = 1.0  # scores are shares of the limits that were measured

FIGURES = ("light", "contrast", "focus", "right", "down", "rank")
LAST = (15, 30, 60)  # parts whose median counts: the fewer the sooner, the more the finer
_OF = {  # which figures speak of a kind
    LIGHTING: ("light", "contrast"),
    FOCUS: ("focus",),
    POSITION: ("right", "down"),
    SCORES: ("rank",),
}
_LOOKS = len(FIGURES) - 1  # the rank is of scores
STEPS = 101  # quantiles of the scores
NOT_FOLLOWED = 0.0  # instead of a limit, of a figure that tells nothing of the parts
_NORMAL = np.array(
    [NormalDist().inv_cdf((k + 0.5) / (2 * STEPS + 1)) for k in range(2 * STEPS + 1)]
)


@dataclass(frozen=True, eq=False)
class Drifted(Detection):
    """How far one kind of figure is from what was learned.

    `label` is one of `KINDS`; `score` 1 where it is as far away as it never was while nothing
    drifted; `threshold` is 1, `level` `notice`.

    Attributes:
        text: how it differs, in plain words.
    """

    text: str = ""


def figures(of: Looks, view: Floats) -> Array:
    """(5,) float64 of one picture, named by `FIGURES` without the last.

    Args:
        of: the picture's.
        view: (VIEW, VIEW) float32, where the good parts lie.
    """
    return np.array([of.light, of.contrast, of.focus, *shift(of.view, view)])


def ranks(scores: Array, steps: Array) -> Array:
    """(n,) where scores lie among those learned, in standard deviations of a normal distribution.

    Whatever their unit: 0 is the middle, 1.3 above 90 %; what is beyond all of them is 2.8 away.

    Args:
        scores: (n,).
        steps: (101,) quantiles of the learned scores, sorted.
    """
    below = np.searchsorted(steps, scores, "left") + np.searchsorted(steps, scores, "right")
    found: Array = _NORMAL[below]
    return found


class Drift:
    """A follower: adds to each judged part how far the pictures have drifted, a detection a kind.

    What was not seen yet counts as what was learned. Parts that were rejected count for the looks,
    for a broken lamp rejects them all, but not for `scores`.
    """

    def __init__(self, profile: Profile) -> None:
        """Start with nothing seen.

        Args:
            profile: its `learned` holds what `contract.drift_learn.learn` gives.
        """
        arrays = profile.learned
        self._view = arrays[PREFIX + "view"]
        self._centre = arrays[PREFIX + "centre"].astype(np.float64)
        limits = arrays[PREFIX + "limits"].astype(np.float64)
        self._limits = np.where(limits == NOT_FOLLOWED, np.inf, limits)
        self._steps = arrays[PREFIX + "steps"].astype(np.float64)
        self._looks = np.tile(self._centre[:_LOOKS], (max(LAST), 1))
        self._scores = np.full(max(LAST), np.median(self._steps))

    def update(self, found: Detections, _t_ns: int) -> Detections:
        """The detections as they came and, where a part was among them, one per kind."""
        seen = None
        for part in found:
            if not isinstance(part, Part) or not isinstance(part.looks, Looks):
                continue
            seen = part.looks
            self._looks = np.vstack([self._looks[1:], figures(seen, self._view)])
            if part.label == PASS:
                self._scores = np.append(self._scores[1:], part.score)
        return found if seen is None else (*found, *self._drifted(seen))

    def state(self) -> dict[str, Array]:
        """What the last parts looked like."""
        return {"looks": self._looks, "scores": self._scores}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Go on from an earlier `state`.

        Raises:
            KeyError: an array is missing.
            ValueError: an array has another shape; the follower stays as it was.
        """
        seen, scores = state["looks"].astype(np.float64), state["scores"].astype(np.float64)
        for name, array, own in (("looks", seen, self._looks), ("scores", scores, self._scores)):
            if array.shape != own.shape:
                raise ValueError(f"{name} of {array.shape} were kept, {own.shape} are followed")
        self._looks, self._scores = seen, scores

    def _drifted(self, of: Looks) -> Detections:
        rows = np.column_stack([self._looks, ranks(self._scores, self._steps)])
        away = np.stack([np.median(rows[-n:], axis=0) for n in LAST]) - self._centre
        shares = np.abs(away) / self._limits
        farther = shares.argmax(axis=0)
        by_figure = dict(zip(FIGURES, shares.max(axis=0).tolist(), strict=True))
        moved = dict(zip(FIGURES, away[farther, range(len(FIGURES))].tolist(), strict=True))
        right_px, down_px = moved["right"] * of.width, moved["down"] * of.height
        texts = {
            LIGHTING: _light_text(moved, by_figure),
            FOCUS: f"picture {_word(moved['focus'], 'sharper', 'softer')}: edges "
            f"{np.exp(moved['focus']):.2f} of what they were when it was learned",
            POSITION: self._position_text(right_px, down_px),
            SCORES: self._scores_text(LAST[farther[_LOOKS]], moved["rank"]),
        }
        return tuple(
            Drifted(
                kind,
                score=max(by_figure[name] for name in _OF[kind]),
                level="notice",
                threshold=THRESHOLD,
                text=texts[kind],
            )
            for kind in KINDS
        )

    def _position_text(self, right_px: float, down_px: float) -> str:
        followed = dict(zip(FIGURES, np.isfinite(self._limits[0]).tolist(), strict=True))
        said = []
        if followed["right"]:
            said.append(f"{abs(right_px):.0f} px {_word(right_px, 'right', 'left')}")
        if followed["down"]:
            said.append(f"{abs(down_px):.0f} px {_word(down_px, 'down', 'up')}")
        return f"part sits {', '.join(said)} of where it was learned" if said else ""

    def _scores_text(self, last: int, moved: float) -> str:
        now, was = float(np.median(self._scores[-last:])), float(np.median(self._steps))
        return (
            f"scores of passed parts have {_word(moved, 'risen', 'fallen')}: half are above "
            f"{now:.3g}, above {was:.3g} when it was learned"
        )


def _light_text(moved: Mapping[str, float], shares: Mapping[str, float]) -> str:
    if shares["contrast"] > shares["light"]:
        return f"contrast {np.exp(moved['contrast']):.2f} of what it was when it was learned"
    change = float(np.expm1(moved["light"]))
    word = _word(change, "brighter", "dimmer")
    return f"light {abs(change):.0%} {word} than when it was learned"


def _word(number: float, above: str, below: str) -> str:
    return above if number > 0 else below
