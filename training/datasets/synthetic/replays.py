"""Faces held up to a camera: prints and screens, simulated from pictures of living people.

A presentation attack (ISO/IEC 30107-3) here is a picture shown on a medium (`replays_media`), flat
or bent, held at some angle before some background, and taken by a camera (`replays_camera`). The
living face is taken by the same camera. Both begin from the same picture, so that nothing about
person, data set, framing or camera tells them apart; what does is what the medium adds: moiré,
dots, grain, another gamut and gamma, its light, reflections, edges.

What this is not: attacks by people. Nobody held anything up to a camera for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from contract.spec import Array, Box, Floats
from training.datasets.synthetic import replays_camera, replays_held, replays_media
from training.datasets.synthetic.replays_media import Medium

KINDS: Mapping[str, Callable[[np.random.Generator], Medium]] = {
    "matte_print": replays_media.matte_print,
    "glossy_print": replays_media.glossy_print,
    "laser_print": replays_media.laser_print,
    "lcd_screen": replays_media.lcd_screen,
    "oled_phone": replays_media.oled_phone,
    "cut_out": replays_media.cut_out,
}
_AROUND = 1.3  # sides of a face that a camera sees to each side of its middle, at most
_LEAST_PX, _MOST_PX = 40.0, 200.0  # side of a face as taken
_FILLS = 0.75  # of the picture's shorter side: what such a face is mirrored to is a kaleidoscope


@dataclass(frozen=True, eq=False)
class Taken:
    """What a camera saw.

    Attributes:
        picture: (height, width, 3) uint8, RGB.
        box: of the face in it.
    """

    picture: Array
    box: Box


@dataclass(frozen=True, eq=False)
class _Scene:
    """A picture as light, and how it is taken."""

    light: Floats
    middle: Array  # of the face, x and y
    side: float  # of it
    is_mono: bool
    camera: replays_camera.Camera
    reach: Array  # (4,) left, top, right, bottom from the middle, in pixels of the camera


def living(picture: Array, box: Box, *, setup: int, moment: int = 0) -> Taken:
    """A living face before a camera.

    Args:
        picture: (height, width, 3) uint8, RGB, of a living face.
        box: of it.
        setup: seed of camera and place.
        moment: seed of what changes between two pictures.
    """
    scene = _scene(picture, box, setup)
    rng = np.random.default_rng([setup, moment, 2])
    at = _sight(scene, _held(rng, scene, np.zeros(3), np.zeros(2), 1.0))
    return _taken(scene, _seen(scene, scene.light, at), at, rng)


def replay(kind: str, picture: Array, box: Box, *, setup: int, moment: int = 0) -> Taken:
    """A picture of a face before a camera: the same as `living` with these seeds has.

    Args:
        kind: one of `KINDS`.
        picture: (height, width, 3) uint8, RGB, of a living face.
        box: of it.
        setup: seed of camera, place and medium.
        moment: seed of what changes between two pictures.
    """
    scene = _scene(picture, box, setup)
    rng = np.random.default_rng([setup, list(KINDS).index(kind), 1])
    medium = KINDS[kind](rng)
    shows_edge = rng.random() < medium.shows_edge
    shown = scene.reach
    if shows_edge:
        reach = scene.side * scene.camera.zoom * rng.uniform(1.0, _AROUND)
        scene = replace(scene, reach=np.array([-reach, -reach, reach, reach]))
    tilt = np.radians(rng.normal(0.0, [9.0, 9.0, 4.0]))
    shift = rng.normal(0.0, 0.05, 2)
    size = float(rng.uniform(0.8, 1.15)) if shows_edge else float(rng.uniform(1.0, 1.2))
    side = scene.side * scene.camera.zoom
    sheet = replays_held.sheet(rng, medium, side, shown=shown)
    fingers = replays_held.hand(rng, sheet, side) if rng.random() < 0.4 else []
    bend = float(rng.normal(0.0, 0.5) * medium.bend), float(rng.uniform(0, np.pi))
    moving = np.random.default_rng([setup, moment, 2])
    at = _bent(_sight(scene, _held(moving, scene, tilt, shift, size)), scene, *bend)
    light = _seen(scene, medium.tone(scene.light), at)
    light = _patterned(medium, light, at, scene, size)
    light = medium.lamps(at, light, side)
    if shows_edge:
        behind = replays_held.background(rng, scene.light, side, at.shape[:2])
        light = replays_held.with_hand(sheet.over(behind, light, at), at, fingers)
    return _taken(scene, _as_bright(scene, light, at), at, moving)


def _scene(picture: Array, box: Box, setup: int) -> _Scene:
    """What is the same for a living face and a picture of it."""
    rng = np.random.default_rng([setup, 0])
    camera = replays_camera.draw(rng)
    left, top, right, bottom = box
    side = max(right - left, bottom - top, 8.0)
    zoom = float(np.clip(camera.zoom, _LEAST_PX / side, _MOST_PX / side))
    camera = replace(camera, zoom=zoom)
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    light = replays_camera.to_linear(picture)
    is_grey = bool(np.abs(picture[..., 0].astype(np.int16) - picture[..., 2]).mean() < 1.0)
    is_mono = is_grey and rng.random() < 0.5
    if is_grey and not is_mono:  # a colour for skin and everything, so that grey tells nothing
        light = light ** (1.0 + rng.uniform(-0.05, 0.25, 3).cumsum()).astype(np.float32)
    if rng.random() < 0.5 and side < _FILLS * min(light.shape[:2]):
        light, middle = _extended(rng, light, middle, side)
    height, width = light.shape[:2]
    ends = np.array([0, 0, width, height]) - np.tile(middle, 2)
    reach = np.clip(ends, -_AROUND * side, _AROUND * side) * zoom
    return _Scene(light, middle, side, is_mono, camera, reach)


def _extended(
    rng: np.random.Generator, light: Floats, middle: Array, side: float
) -> tuple[Floats, Array]:
    """More surroundings than the picture has: it goes on mirrored, behind it walls and frames.

    Without these, straight edges and surroundings as such would mean a picture of a face.
    """
    height, width = light.shape[:2]
    more = np.array([middle[1], height - middle[1], middle[0], width - middle[0]])
    top, bottom, left, right = np.clip(1.25 * side - more, 0, 4 * side).astype(int).tolist()
    wide = cv2.copyMakeBorder(light, top, bottom, left, right, cv2.BORDER_REFLECT_101)
    new = middle + np.array([left, top])
    for _ in range(rng.integers(0, 4)):
        away = rng.uniform(0.72, 1.25) * side
        grey = rng.uniform(0.01, 0.9) * np.exp(rng.normal(0, 0.15, 3))
        x, y = new + away * rng.choice([-1.0, 1.0], 2)
        thick = rng.choice([0.02, 0.06, 2.0]) * side
        if rng.random() < 0.6:  # a door frame, a shelf
            begin, end = sorted([x, x + np.sign(x - new[0]) * thick])
            wide[:, max(int(begin), 0) : max(int(end), 0)] = grey
        elif y < new[1]:
            wide[max(int(y - thick), 0) : max(int(y), 0)] = grey
    return np.asarray(wide, np.float32), new


def _held(rng: np.random.Generator, scene: _Scene, tilt: Array, shift: Array, size: float) -> Array:
    """(3, 3) from the sheet to the camera's pixels, both from the middle of the face.

    Args:
        rng: of the small movements of hand and head between two pictures.
        scene: what is taken.
        tilt: (3,) radians about the axes down, across and towards the camera.
        shift: (2,) in sides of the face.
        size: of it, beside the camera's zoom.
    """
    yaw, pitch, roll = tilt + np.radians(rng.normal(0.0, [0.7, 0.7, 1.0]))
    size *= float(np.exp(rng.normal(0.0, 0.02)))
    side = scene.side * scene.camera.zoom
    x, y = side * (shift + rng.normal(0.0, 0.02, 2))
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    about_z = np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    turn = about_y @ about_x @ about_z
    far = 5.0 * side  # a face fills a fifth of a camera's 53 degrees
    flat = np.column_stack([turn[:, 0], turn[:, 1], [0.0, 0.0, far / size]])
    seen = np.diag([far, far, 1.0]) @ flat
    moved: Array = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ seen
    return moved


def _sight(scene: _Scene, held: Array) -> Floats:
    """(height, width, 2) float32 where each pixel of the camera looks, as in `replays_media`."""
    left, top, right, bottom = scene.reach
    x = np.arange(left + 0.5, right, dtype=np.float32)
    y = np.arange(top + 0.5, bottom, dtype=np.float32)[:, None]
    (a, b, c), (d, e, f), (g, h, i) = np.linalg.inv(held).tolist()
    depth = g * x + h * y + i
    return np.stack([(a * x + b * y + c) / depth, (d * x + e * y + f) / depth], -1)


def _bent(at: Floats, scene: _Scene, bend: float, axis: float) -> Floats:
    """A sheet bent about an axis: it is seen shortened towards its sides."""
    if bend == 0.0:
        return at
    side = scene.side * scene.camera.zoom
    across = np.array([np.cos(axis), np.sin(axis)], np.float32)
    t = (at @ across) / side
    longer = (side * bend * t * np.abs(t))[..., None] * across
    found: Floats = (at + longer).astype(np.float32)
    return found


def _seen(scene: _Scene, light: Floats, at: Floats) -> Floats:
    """The picture where each pixel looks; reduced without aliasing."""
    zoom = scene.camera.zoom
    if zoom < 1.0:
        blur = 0.45 * np.sqrt(1.0 / zoom**2 - 1.0)
        light = replays_camera.blurred(light, max(blur, 0.05))
    where = (at / zoom + scene.middle - 0.5).astype(np.float32)
    x, y = np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1])
    found = cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def _patterned(medium: Medium, light: Floats, at: Floats, scene: _Scene, size: float) -> Floats:
    """With what is on the sheet finer than the picture."""
    camera = scene.camera
    wide = float(np.hypot(camera.fill, 2.0 * camera.blur_px)) / size  # a lens blurs it first
    return medium.pattern(at, light, wide).astype(np.float32)


def _as_bright(scene: _Scene, light: Floats, at: Floats) -> Floats:
    """Exposed so that the face is as bright as the living one: brightness tells nothing."""
    third = scene.side * scene.camera.zoom / 3
    inside = np.maximum(np.abs(at[..., 0]), np.abs(at[..., 1])) < third
    before = float(_seen(scene, scene.light, at)[inside].mean())
    now = float(light[inside].mean())
    return light * np.float32(before / max(now, 1e-4))


def _taken(scene: _Scene, light: Floats, at: Floats, rng: np.random.Generator) -> Taken:
    picture = replays_camera.take(light, scene.camera, rng, is_mono=scene.is_mono)
    away = at[..., 0] ** 2 + at[..., 1] ** 2
    y, x = (int(one) for one in np.unravel_index(np.argmin(away), away.shape))
    half = 0.5 * scene.side * scene.camera.zoom * _scale(at, y, x)
    return Taken(picture, (x + 0.5 - half, y + 0.5 - half, x + 0.5 + half, y + 0.5 + half))


def _scale(at: Floats, y: int, x: int) -> float:
    """Pixels for one unit of the sheet, in the middle of the face."""
    x = min(max(x, 1), at.shape[1] - 2)
    y = min(max(y, 1), at.shape[0] - 2)
    area = np.linalg.det(
        np.stack([at[y, x + 1] - at[y, x - 1], at[y + 1, x] - at[y - 1, x]]).astype(float) / 2
    )
    return float(1.0 / np.sqrt(max(abs(area), 1e-6)))
