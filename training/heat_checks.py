"""Whether heat maps can be believed: three checks, as figures and pictures of a report.

- **Where**: the peak lies on the drawn defect (pointing game, `training.inspection_metrics`), and
  how well the map above one threshold covers it (intersection over union).
- **Against Grad-CAM** (Selvaraju et al., ICCV 2017), which asks the same network in another way:
  rank correlation of both maps.
- **Weights made random**, layer after layer from the output on (Adebayo et al., "Sanity Checks for
  Saliency Maps", NeurIPS 2018): a map that stays as it was shows edges of the picture, not what the
  network has learned.

Deletion and insertion (Petsiuk, Das and Saenko, "RISE", BMVC 2018) say nothing here: a place that
is blurred, filled in or put back alone is a defect itself to a network that looks for what does not
belong (measured: the logit rises from 4 to 11, in whatever order).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from contract.inspection import REJECT, Part
from contract.ops import tiles
from contract.ops.tiles import SIDE
from contract.spec import Array, Floats
from training import backend, inspection_metrics
from training.figures import BLUE, ORANGE, RED, drawing
from training.gradients import gradients
from training.inspection_metrics import Decided
from training.parts import DEFECT, Item, Shown
from training.report import Section

_WORST = 4  # places whose mean is the score, as `contract.defects.score` has it
_THRESHOLDS = 200
_LOOKED = 8  # layers, of those that turn random
_SHOWN = 6
_FEW = 8  # squares, for what asks the network many times of each


@dataclass(frozen=True, eq=False)
class Squares:
    """Pieces of defective pictures that show their drawn defects.

    Attributes:
        pixels: (n, 256, 256, 3) float32 from 0 to 255.
        masks: (n, 256, 256) bool.
    """

    pixels: Floats
    masks: Array

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, eq=False)
class Checked:
    """What the checks found.

    Attributes:
        figures: `pointing`, `iou` at `iou_threshold`, `aupro` of the maps; of Grad-CAM
            `cam_pointing`, `cam_iou` and `cam_agreement` (mean rank correlation with the map);
            `randomised` (mean rank correlation left when all layers are random); `squares`.
        randomised: layer -> rank correlation with the trained network's map, when it and all
            layers after it are random: first of the network's map, then of Grad-CAM.
        squares: that it was found on.
        maps: (n, rows, columns) float32, of the network.
        cams: (n, rows, columns) float32, Grad-CAM.
    """

    figures: dict[str, float]
    randomised: dict[str, tuple[float, float]]
    squares: Squares
    maps: Floats
    cams: Floats


def squares(of: Sequence[Item], *, most: int) -> Squares:
    """The square of each defective picture that shows most of the defect, evenly over all items."""
    drawn = [
        (one, i)
        for one in of
        for i, shown in enumerate(one.shown)
        if shown.label == DEFECT and shown.mask is not None
    ]
    some = np.linspace(0, len(drawn) - 1, min(most, len(drawn))).astype(int)
    pixels, masks = [], []
    for item, i in (drawn[k] for k in some):
        mask = item.mask(i)
        if mask is None:
            continue
        shown = np.repeat(mask.astype(np.uint8)[..., None], 3, axis=2)
        cut = tiles.cut(tiles.enlarged(shown, is_mask=True))[..., 0] > 0
        best = int(cut.sum(axis=(1, 2)).argmax())
        pixels.append(tiles.cut(tiles.enlarged(item.window(i).data))[best])
        masks.append(cut[best])
    shape = (len(pixels), SIDE, SIDE)
    return Squares(
        np.array(pixels, np.float32).reshape(*shape, 3), np.array(masks, bool).reshape(shape)
    )


def check(model: Any, of: Squares, *, tap: str, seed: int) -> Checked:
    """All checks of a network that gives a score map.

    Args:
        model: Keras model, (n, 256, 256, 3) -> (n, rows, columns, 1) logits.
        of: at least one square.
        tap: layer that Grad-CAM is put on.
        seed: of random weights and orders.
    """
    import keras

    rng = np.random.default_rng(seed)
    maps = backend.as_model(model)(of.pixels)[..., 0]
    # one that was trained would bring its loss along
    copy = keras.models.clone_model(keras.Model(model.inputs, model.outputs))
    copy.set_weights(model.get_weights())
    cam_of = grad_cam(copy, tap)
    cams = cam_of(of.pixels)
    randomised = _randomised(copy, cam_of, of.pixels[:_FEW], (maps[:_FEW], cams[:_FEW]), rng)
    threshold, iou = best_iou(maps, of.masks)
    last = list(randomised.values())[-1]
    figures = {
        "squares": float(len(of)),
        **places(maps, of.masks),
        "iou": iou,
        "iou_threshold": threshold,
        "cam_pointing": places(cams, of.masks)["pointing"],
        "cam_iou": best_iou(cams, of.masks)[1],
        "cam_agreement": float(np.mean([agreement(a, b) for a, b in zip(maps, cams, strict=True)])),
        "randomised": last[0],
        "cam_randomised": last[1],
    }
    return Checked(figures, randomised, of, maps, cams)


def grad_cam(model: Any, tap: str) -> Callable[[Floats], Floats]:
    """Where a layer's features speak for a defect; 0 elsewhere.

    The class score of the paper is here what a part is judged by, the mean of the map's highest
    places; alpha_k is the mean of its gradient by feature k.

    Args:
        model: Keras model with a score map; it is frozen.
        tap: layer.

    Returns:
        (n, 256, 256, 3) float32 pixels -> (n, rows, columns) float32.
    """
    asked = gradients(model, tap, _score, rows=1)

    def cams(pixels: Floats) -> Floats:
        found = []
        for one in pixels:
            said, by = asked(one[None])
            alpha = by.mean(axis=(1, 2), keepdims=True)
            found.append(np.maximum((said * alpha).sum(axis=-1)[0], 0.0))
        return np.stack(found).astype(np.float32)

    return cams


def _score(maps: Any) -> Any:
    from keras import ops

    flat = ops.reshape(maps, (-1, maps.shape[1] * maps.shape[2]))
    return ops.mean(ops.top_k(flat, _WORST)[0], axis=1)


def places(maps: Floats, masks: Array) -> dict[str, float]:
    """`pointing` and `aupro` of maps, as `training.inspection_metrics.figures` has them.

    Args:
        maps: (n, rows, columns) float32.
        masks: (n, height, width) bool.
    """
    shown = Shown(Path(), DEFECT)
    figures = inspection_metrics.figures(
        [
            Decided(shown, Part(REJECT, score=float(one.max()), heat=one), mask)
            for one, mask in zip(maps, masks, strict=True)
        ]
    )
    return {name: figures[name] for name in ("pointing", "aupro")}


def best_iou(maps: Floats, masks: Array) -> tuple[float, float]:
    """The one threshold for all maps that covers what is drawn best, and the mean IoU there."""
    large = [inspection_metrics.enlarged(one, *masks.shape[1:]) for one in maps]
    thresholds = np.quantile(np.stack(large), np.linspace(0.5, 1.0, _THRESHOLDS, endpoint=False))
    mean = []
    for threshold in thresholds:
        hot = [one > threshold for one in large]
        both = [(h & m).sum() / max((h | m).sum(), 1) for h, m in zip(hot, masks, strict=True)]
        mean.append(float(np.mean(both)))
    best = int(np.argmax(mean))
    return float(thresholds[best]), mean[best]


def agreement(one: Floats, other: Floats) -> float:
    """Rank correlation (Spearman) of two maps of one picture, the smaller enlarged; 0 where flat.

    Args:
        one: (rows, columns) float32.
        other: likewise, of any size.
    """
    from scipy.stats import rankdata

    shape = np.maximum(one.shape, other.shape)
    ranks = [rankdata(inspection_metrics.enlarged(of, *shape)) for of in (one, other)]
    if min(float(of.std()) for of in ranks) == 0.0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _randomised(
    model: Any,
    cam_of: Callable[[Floats], Floats],
    pixels: Floats,
    trained: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Rank correlation with the maps of the trained network, as layer after layer turns random.

    A layer turns random by its weights changing places, so that their distribution stays. The
    model does not come back from it.
    """
    with_weights = [one for one in model.layers if one.weights][::-1]
    told = {with_weights[k].name for k in _evenly(len(with_weights))}
    found = {}
    for one in with_weights:
        one.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in one.get_weights()])
        if one.name in told:
            maps = (backend.as_model(model)(pixels)[..., 0], cam_of(pixels))
            map_left, cam_left = (
                float(np.mean([abs(agreement(a, b)) for a, b in zip(was, now, strict=True)]))
                for was, now in zip(trained, maps, strict=True)
            )
            found[one.name] = (map_left, cam_left)
    return found


def _evenly(count: int) -> Array:
    """Numbers of the layers that are looked at: the first four, then fewer and fewer."""
    return np.unique(np.round(np.geomspace(1, count, _LOOKED)).astype(int) - 1)


def section(found: Checked) -> Section:
    """What a report says of the checks."""
    of = found.figures
    rows = [
        ("peak on the drawn defect", f"{of['pointing']:.1%}; Grad-CAM {of['cam_pointing']:.1%}"),
        ("overlap at the best threshold", f"IoU {of['iou']:.2f}; Grad-CAM {of['cam_iou']:.2f}"),
        ("overlap of regions (AUPRO)", f"{of['aupro']:.3f}"),
        ("rank correlation of map and Grad-CAM", f"{of['cam_agreement']:.2f}"),
        (
            "rank correlation left, all weights random",
            f"{of['randomised']:.2f}; Grad-CAM {of['cam_randomised']:.2f}",
        ),
    ]
    return Section(
        "believed",
        "Whether the heat maps can be believed",
        f"{of['squares']:.0f} squares with drawn defects. A map that explains the network points "
        "at the defect, agrees with Grad-CAM, and is lost when the weights turn random.",
        rows=rows,
        figures=[_correlations(found), _sheet(found)],
    )


def _correlations(found: Checked) -> Markup:
    with drawing(1, 1, height=2.6) as (_, axes, made):
        axis = axes[0, 0]
        for k, (name, colour) in enumerate((("map", BLUE), ("Grad-CAM", ORANGE))):
            kept = [both[k] for both in found.randomised.values()]
            axis.plot(range(len(kept)), kept, "o-", color=colour, label=name)
        axis.set_xticks(range(len(found.randomised)), found.randomised, fontsize=7)
        axis.set(ylabel="rank correlation", ylim=(-0.05, 1.05))
        axis.set_title("random from the output to this layer")
        axis.legend()
    return made[0]


def _sheet(found: Checked) -> Markup:
    shown = min(len(found.squares), _SHOWN)
    with drawing(3, shown, height=5.6, as_png=True) as (_, axes, made):
        for axis in axes.flat:
            axis.set_axis_off()
        for i, of_square in enumerate(axes.T):
            pixels = found.squares.pixels[i].astype(np.uint8)
            for axis, heat in zip(of_square, (None, found.maps[i], found.cams[i]), strict=True):
                axis.imshow(pixels)
                axis.contour(found.squares.masks[i], [0.5], colors=RED, linewidths=0.7)
                if heat is not None:
                    large = inspection_metrics.enlarged(heat, *pixels.shape[:2])
                    axis.imshow(large, cmap="inferno", alpha=0.6)
        for axis, name in zip(axes[:, 0], ("picture", "heat map", "Grad-CAM"), strict=True):
            axis.set_title(name, fontsize=7)
    return made[0]
