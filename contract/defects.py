"""What a network says of every place of a part, to a decision: pass, reject, or a person decides.

A supervised network gives the score of each place itself. Where only good parts were learned from
it gives features, and how far they are from what good parts have there is the score; what good
parts have travels with the bundle (`learn` of `training.good_parts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from contract.inspection import PASS, REJECT, REVIEW, Part
from contract.spec import Array, Box, Detections, Floats, OperatingPoint, Profile

MEAN, WHITEN, BLOCK, BANK = "good.mean", "good.whiten", "good.block", "good.bank"
MIDDLE, SPREAD = "good.middle", "good.spread"
_WORST = 4  # places whose mean is the score of a part: one alone may be noise
_AT_ONCE = 4096  # places that are compared with the bank at once


def judge(found: Detections, profile: Profile) -> Detections:
    """Parts with score, heat map and decision.

    At or above the threshold a part is rejected, below the clear threshold it passes; between them
    a person decides. A clear threshold equal to the threshold leaves nothing to a person.

    Args:
        found: parts with features.
        profile: thresholds, and what was learned of good parts.
    """
    return tuple(_decided(one, profile) for one in found if isinstance(one, Part))


def heat(features: Floats, learned: Mapping[str, Array]) -> Floats:
    """(rows, columns) float32, the score of each place.

    Args:
        features: (rows, columns, d) float32.
        learned: of good parts, by names beginning with `good.`: `mean` (r, c, d) and `whiten`
            (r, c, d, d), a Gaussian for each rectangle of `block` (2,) rows and columns (PaDiM:
            Defard et al., ICPR workshops 2021), with `middle` and `spread` (r, c), the distances to
            it that become 0 and 1, where these are known; or `bank` (m, d), features that good
            parts have anywhere (PatchCore: Roth et al., CVPR 2022). Neither: the features are the
            score, (rows, columns, 1).
    """
    if BANK in learned:
        return _to_nearest(features, learned[BANK])
    return _to_mean(features, learned) if MEAN in learned else features[..., 0]


def score(of: Floats) -> float:
    """How much of a defect there is: the mean of the highest places of a heat map."""
    most = min(_WORST, of.size)
    return float(np.partition(of.ravel(), of.size - most)[-most:].mean())


def _to_mean(x: Floats, learned: Mapping[str, Array]) -> Floats:
    """(rows, columns) distance to the Gaussian of each place (Mahalanobis).

    The places of a block are multiplied together: that takes a fifth of the time.
    """
    mean, whiten = learned[MEAN], learned[WHITEN]
    down, across = (int(length) for length in learned[BLOCK])
    rows, columns, d = x.shape
    r, c = -(-rows // down), -(-columns // across)
    # a picture of another size than was learned: its edge counts beyond it
    at = np.ix_(*(np.minimum(np.arange(n), mean.shape[i] - 1) for i, n in enumerate((r, c))))
    x = np.pad(x, ((0, r * down - rows), (0, c * across - columns), (0, 0)))
    by_block = x.reshape(r, down, c, across, d).swapaxes(1, 2).reshape(r, c, down * across, d)
    away = (by_block - mean[at][:, :, None]) @ whiten[at]
    found = np.sqrt(np.square(away).mean(axis=-1))
    if SPREAD in learned:
        found = (found - learned[MIDDLE][at][..., None]) / learned[SPREAD][at][..., None]
    found = found.reshape(r, c, down, across).swapaxes(1, 2)
    found = found.reshape(r * down, c * across)[:rows, :columns]
    return np.asarray(found, np.float32)


def _to_nearest(x: Floats, bank: Floats) -> Floats:
    """(rows, columns) distance to the nearest of the bank."""
    places = x.reshape(-1, x.shape[-1])
    lengths = np.square(bank).sum(axis=1)
    nearest = [
        np.min(lengths - 2.0 * (some @ bank.T), axis=1) + np.square(some).sum(axis=1)
        for some in np.array_split(places, len(places) // _AT_ONCE + 1)
    ]
    found: Floats = np.sqrt(np.maximum(np.concatenate(nearest), 0.0)).reshape(x.shape[:2])
    return found.astype(np.float32)


def _decided(part: Part, profile: Profile) -> Part:
    assert part.features is not None, "parts come with features out of their stage"
    point = profile.operating_point
    map_of = heat(part.features, profile.learned)
    much = score(map_of)
    label = PASS if much < point.clear_threshold else REJECT
    if label == REJECT and much < point.threshold:
        label = REVIEW
    limit = point.clear_threshold if label == PASS else point.threshold
    told = replace(part, label=label, score=much, heat=map_of, threshold=limit)
    if label == PASS:
        return replace(told, reason=f"worst place {much:.3g}, passes below {limit:.3g}")
    return _explained(told, point)


def _explained(part: Part, point: OperatingPoint) -> Part:
    """The same, with where and how large it is, and why it was decided so."""
    assert part.heat is not None
    places, area = _around_peak(part.heat, at_least=point.clear_threshold)
    left, top, right, bottom = (part.step_px * edge for edge in places)
    sizes = {
        "width_px": right - left,
        "height_px": bottom - top,
        "area_px2": area * part.step_px**2,
    }
    where = f"{right - left:.0f} x {bottom - top:.0f} px at ({left:.0f}, {top:.0f})"
    why = f"score {part.score:.3g}, rejected from {point.threshold:.3g} on"
    if part.label == REVIEW:
        why += f", passes below {point.clear_threshold:.3g}"
    box = (left, top, right, bottom)
    return replace(part, box=box, sizes=sizes, reason=f"{where}: {why}")


def _around_peak(of: Floats, *, at_least: float) -> tuple[Box, int]:
    """Box of the places that hang together with the highest and reach `at_least`, and how many.

    Places beside it that lie lower belong to other defects, or to none.
    """
    peak = np.unravel_index(int(of.argmax()), of.shape)
    is_high = of >= min(at_least, float(of[peak]))
    region = np.zeros(of.shape, bool)
    region[peak] = True
    while True:
        grown = np.pad(region, 1)
        wider = is_high & (
            region | grown[2:, 1:-1] | grown[:-2, 1:-1] | grown[1:-1, 2:] | grown[1:-1, :-2]
        )
        if (wider == region).all():
            break
        region = wider
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    return box, int(region.sum())
