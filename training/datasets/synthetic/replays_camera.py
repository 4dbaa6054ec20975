"""The camera that all simulated pictures go through, of living faces and of pictures alike.

If only one kind were resampled, blurred or compressed, a network would learn that and nothing else.
Light is linear inside, 1.0 is white; pixels of files are sRGB (IEC 61966-2-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array, Floats

_MONO = np.array([0.2126, 0.7152, 0.0722], np.float32)  # luminance, ITU-R BT.709


@dataclass(frozen=True)
class Camera:
    """What is the same in all pictures of one camera in one place.

    Attributes:
        zoom: pixels of the camera for one of the picture it is shown.
        blur_px: standard deviation of the lens' point spread, in its own pixels.
        fill: side of what a pixel collects light from, in pixels; below 1 where a sensor skips
            lines to be faster, so that fine patterns alias.
        bayer: colours are interpolated from one per pixel.
        gain: exposure, relative to the picture's own.
        balance: (3,) white balance.
        noise: of a white pixel, standard deviation; shot noise falls with the root of light.
        contrast: exponent of the tone curve beside that of sRGB.
        sharpening: share of the second derivative that is added.
        saturation: 0 is a camera for black and white.
        jpeg: quality, 0: not compressed.
    """

    zoom: float
    blur_px: float
    fill: float
    bayer: bool
    gain: float
    balance: tuple[float, float, float]
    noise: float
    contrast: float
    sharpening: float
    saturation: float
    jpeg: int


def draw(rng: np.random.Generator) -> Camera:
    """Some camera, from a good one that changes next to nothing to a cheap one."""
    plain = rng.random() < 0.25
    much = 0.15 if plain else 1.0
    return Camera(
        zoom=float(np.exp(rng.uniform(np.log(0.55), np.log(1.15)))) if rng.random() < 0.7 else 1.0,
        blur_px=float(rng.uniform(0.0, 0.8) * much),
        fill=float(rng.uniform(0.35, 0.75) if rng.random() < 0.35 else 1.0),
        bayer=bool(rng.random() < 0.6 and not plain),
        gain=float(np.exp(rng.normal(0.0, 0.2 * much))),
        balance=(
            float(np.exp(rng.normal(0.0, 0.06 * much))),
            1.0,
            float(np.exp(rng.normal(0.0, 0.06 * much))),
        ),
        noise=float(np.exp(rng.uniform(np.log(0.002), np.log(0.03))) * much),
        contrast=float(np.exp(rng.normal(0.0, 0.1 * much))),
        sharpening=float(rng.uniform(0.0, 0.8) * much),
        saturation=0.0 if rng.random() < 0.08 else float(np.exp(rng.normal(0.0, 0.15 * much))),
        jpeg=0 if rng.random() < 0.35 else int(rng.integers(88 if plain else 60, 98)),
    )


def take(light: Floats, camera: Camera, rng: np.random.Generator, *, is_mono: bool) -> Array:
    """(height, width, 3) uint8 sRGB: what a camera makes of the light on its sensor.

    Args:
        light: (height, width, 3) float32, linear, in pixels of the camera.
        camera: takes it.
        rng: of the noise of this picture.
        is_mono: the picture shown has no colours, so those that a camera adds would tell nothing
            of a living face: it has none either.
    """
    if camera.blur_px > 0.15:
        light = blurred(light, camera.blur_px)
    light = light * np.float32(camera.gain) * np.array(camera.balance, np.float32)
    grain = rng.standard_normal(light.shape, dtype=np.float32)
    shot = np.sqrt(np.clip(light, 0.0, 1.0) + np.float32(0.02))
    light = light + np.float32(camera.noise) * shot * grain
    if camera.bayer:
        light = _from_mosaic(light)
    grey = (light @ _MONO)[..., None]
    vivid = np.float32(0.0 if is_mono else camera.saturation)
    light = np.asarray(grey + vivid * (light - grey), np.float32)
    seen = to_srgb(np.clip(light, 0.0, 1.0) ** np.float32(camera.contrast))
    if camera.sharpening > 0.0:
        seen = seen + np.float32(camera.sharpening) * (seen - blurred(seen, 1.0))
    pixels = np.clip(seen * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return _compressed(pixels, camera.jpeg)


def blurred(light: Floats, sigma_px: float) -> Floats:
    """By a Gaussian; beyond the picture its edge goes on."""
    soft = cv2.GaussianBlur(light, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft, np.float32)


def to_linear(pixels: Array) -> Floats:
    """Light of sRGB pixels, (...,) uint8 to float32 from 0 to 1."""
    return _LINEAR[pixels]


def to_srgb(light: Floats) -> Floats:
    """SRGB values from 0 to 1 of light from 0 to 1."""
    found: Floats = np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055
    ).astype(np.float32)
    return found


def _linear_of_all() -> Floats:
    x = np.arange(256) / 255.0
    found: Floats = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )
    return found


_LINEAR = _linear_of_all()


def _from_mosaic(light: Floats) -> Floats:
    """One colour per pixel in B. E. Bayer's pattern (US patent 3,971,065), then interpolated."""
    mosaic = light[..., 1].copy()
    mosaic[0::2, 0::2] = light[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = light[1::2, 1::2, 2]
    sixteen = np.clip(mosaic * 32768.0, 0, 65535).astype(np.uint16)
    colours: Floats = cv2.cvtColor(sixteen, cv2.COLOR_BayerRGGB2RGB).astype(np.float32) / 32768.0
    return colours


def _compressed(pixels: Array, quality: int) -> Array:
    if quality == 0:
        return pixels
    _, raw = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    again = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    assert again is not None, "it has just been encoded"
    return np.ascontiguousarray(again[:, :, ::-1])
