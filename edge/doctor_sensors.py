"""`vedette doctor`: which sensors there are, and what one hears while somebody mounts it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge import iio, sources
from edge.config import PipelineConfig
from edge.errors import SourceError
from edge.finding import Finding, failed
from edge.listening import Ear, Heard
from edge.sources import microphone

_WINDOW_S = 0.2
_CLIPPED = 0.001  # more than a knock
_RATE_OFF = 0.005
_FIXES = {
    "stuck": "its cable; automatic gain and mute of a sound card: off",
    "clipped": "a larger range or less gain",
    "disconnected": "its cable and plug",
    "not_finite": "its scale in [pipeline.source]",
}


def there_are(root: Path = Path("/")) -> Iterator[Finding]:
    """Every sound input, accelerometer with a driver, and SPI device."""
    found = [*_sound_inputs(root), *_accelerometers(root)]
    found += [Finding("SPI device", f"/dev/{path.name}") for path in _sorted(root, "dev/spidev*")]
    yield from found or [Finding("sensors", "no sound input, IIO accelerometer or SPI device here")]


def _sorted(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern))


def _sound_inputs(root: Path) -> Iterator[Finding]:
    """As ALSA lists them; PortAudio calls them by the same name and number."""
    names, pcms = "", ""
    with contextlib.suppress(OSError):
        names = (root / "proc/asound/cards").read_text(encoding="utf-8", errors="replace")
        pcms = (root / "proc/asound/pcm").read_text(encoding="utf-8", errors="replace")
    cards = dict(re.findall(r"^ *(\d+) \[.*?\]: .*? - (.*)$", names, flags=re.MULTILINE))
    for card, number, what in re.findall(r"^(\d+)-(\d+): (.*)$", pcms, flags=re.MULTILINE):
        if "capture" in what:
            name = cards.get(str(int(card)), "?").strip()
            yield Finding("sound input", f"{name} (hw:{int(card)},{int(number)})")


def _accelerometers(root: Path) -> Iterator[Finding]:
    for device, name in iio.devices(root).items():
        folder = root / "sys/bus/iio/devices" / device
        if not list(folder.glob("in_accel*")):
            continue
        axes = [one for one in iio.channels(folder) if one.startswith("accel")]
        if axes:
            yield Finding("accelerometer", f"{name} ({device}): {', '.join(axes)}")
        else:
            fix = "wire its interrupt line and declare it in the device tree"
            yield Finding("accelerometer", f"{name} ({device}) has no buffer", "warn", fix)


def listen(
    pipeline: PipelineConfig, base: Path, *, seconds: float, each: Callable[[Heard], object]
) -> tuple[Heard | None, list[Finding]]:
    """Open a pipeline's source and say what comes.

    Args:
        pipeline: of the config.
        base: folder that relative paths start from.
        seconds: of signal to listen to.
        each: is told every second what has come so far.

    Returns:
        What was heard, None where nothing was; and findings about it.
    """
    config: Any = pipeline.source
    if not hasattr(config, "rate_hz"):
        return None, [Finding(pipeline.name, "no signal but pictures: vedette check opens it")]
    step_s = min(_WINDOW_S, config.window_s)
    config = msgspec.structs.replace(config, window_s=step_s, hop_s=step_s)
    has_crystal = isinstance(config, microphone.Config)
    ear = Ear(pipeline, counts_itself=has_crystal)
    try:
        source = sources.open_source(config, name=pipeline.name, base=base)
        with contextlib.closing(source):
            told_s = 0
            for window in source.windows():
                ear.take(window, time.monotonic_ns())
                if ear.seconds + 1e-6 >= told_s + 1:
                    told_s = int(ear.seconds + 1e-6)
                    each(ear.heard())
                if ear.seconds + 1e-6 >= seconds:
                    break
    except SourceError as error:
        return None, [failed(pipeline.name, error, otherwise="the sensor, or [pipeline.source]")]
    if not ear.seconds:
        text = f"ends before {step_s:g} s have come"
        return None, [Finding(pipeline.name, text, "fail", "a longer recording")]
    heard = ear.heard()
    return heard, list(_judged(heard, has_crystal=has_crystal))


def line(heard: Heard) -> str:
    """One second's line for whoever watches: RMS and peak of every channel."""
    levels = "   ".join(f"{one.rms:8.4g} {one.peak:8.4g}" for one in heard.channels)
    rate = f"{heard.rate_hz:.2f} Hz" if heard.rate_hz else "measuring"
    return f"{heard.pipeline} {heard.seconds:5.1f} s  {rate:>12}  RMS and peak: {levels}"


def _judged(heard: Heard, *, has_crystal: bool) -> Iterator[Finding]:
    text = f"{heard.seconds:.1f} s at {heard.rate_hz:.2f} Hz" if heard.rate_hz else "rate unknown"
    asked_hz = heard.asked_hz or heard.rate_hz
    if asked_hz != heard.rate_hz:
        text += f", asked for {asked_hz:g}"
    fix = None
    if heard.gaps:
        text += f", samples lost {heard.gaps} times"
        fix = "a lower rate_hz, or less work for this device"
    elif not heard.rate_hz:
        fix = "listen for longer: --seconds 10"
    elif has_crystal and abs(heard.rate_hz / asked_hz - 1) > _RATE_OFF:
        fix = "as rate_hz a rate that the sound card has: no crystal is so far off"
    yield Finding(heard.pipeline, text, "warn" if fix else "ok", fix)
    for number, one in enumerate(heard.channels, start=1):
        text = f"RMS {one.rms:.4g}, peak {one.peak:.4g}, noise floor {one.noise:.3g} /√Hz"
        share = one.clipped or 0.0
        text += ", full scale unknown" if one.clipped is None else f", clipped {100 * share:.2g} %"
        fix = _FIXES["clipped"] if share > _CLIPPED else None
        yield Finding(f"{heard.pipeline} channel {number}", text, "warn" if fix else "ok", fix)
    for reason, share in heard.refused.items():
        text = f"{100 * share:.0f} % of the signal would be refused: {reason}"
        yield Finding(f"{heard.pipeline} gate", text, "warn", _FIXES.get(reason, "the sensor"))
