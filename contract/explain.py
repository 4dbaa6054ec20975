"""Why an alert was raised, in plain words: what changed against the healthy windows, and how much.

New tones first, then level and impulsiveness, then severity. A tone is named by its frequency, by
the part of the bearing or the multiple of the shaft's speed that it matches, and by how far it is
from that. What cannot be told is not claimed: no line that the window is too short for, no cause
where several fit. Pure, and the same every time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from contract import iso20816, tones
from contract.compared import Compared, compare, crest, kurtosis, rms
from contract.machine import Explanation, Machine
from contract.ops import envelope
from contract.ops.envelope import Band
from contract.spec import Floats, Window
from contract.tones import in_hz, times

MAX_TEXT = 1000  # characters
MAX_POINTS = 2048  # of a picture's curve: the highest of as many bins as fall on one

_LOUDER, _QUIETER = 1.3, 0.6  # times the healthy level: less is not worth a sentence
_BEYOND = 1.15  # times the most, or the least, of the healthy windows
_BURSTY = 4.0  # kurtosis; 3 is that of Gaussian noise
_SHORT_S = 0.5  # of a window


def explain(window: Window, healthy: Sequence[Floats], machine: Machine) -> Explanation:
    """What changed, by how much, and what it matches.

    Args:
        window: that raised the alert; data (samples, channels) float32, of which all but severity
            looks at the last 65,536 samples.
        healthy: windows of the same machine while it was healthy, each (samples, channels)
            float32; those of another shape are left out, and more than 12 thinned out.
        machine: what is known of it; the more, the more precise.

    Returns:
        The text, at most 1,000 characters; the zone where `iso_class` and `unit` are known and the
        window is long and fast enough; for a picture `frequency_hz` (points,), `present` and
        `healthy` (channels, points), `envelope_hz`, `envelope_present`, `envelope_healthy`
        likewise, of the band `envelope_band_hz` (2,). Amplitudes are in the unit of the sensor;
        the two of healthy windows are missing where there are none.
    """
    seen = compare(window, healthy)
    found, band = tones.find(seen, machine)
    severity, about_severity = _severity(window, machine)
    said = [tones.say(tone, seen, machine) for tone in found]
    if len(seen.healthy):
        said += [*_levels(seen), *_impulses(seen), *(() if found else _bands(seen))]
        if not said:
            said.append(
                f"No level, burst or tone stands out against {len(seen.healthy)} healthy windows; "
                "what the detector saw is spread over the whole spectrum."
            )
    else:
        said.append("There are no healthy windows to compare with.")
    if not found and seen.seconds < _SHORT_S:
        said.append(
            f"The window of {seen.seconds:.2g} s is too short to tell low tones apart: its lines "
            f"are {seen.bin_hz:.2g} Hz wide."
        )
    said += about_severity
    return Explanation(_within(MAX_TEXT, said), severity, _spectra(seen, band))


def _levels(seen: Compared) -> Iterator[str]:
    """Channels that are louder or quieter than healthy ones were."""
    now, before = rms(seen.now), rms(seen.healthy)
    said: list[str] = []
    for channel in range(len(now)):
        usual, ratio = before[:, channel], float(now[channel] / np.median(before[:, channel]))
        louder = ratio >= _LOUDER and now[channel] > _BEYOND * usual.max()
        quieter = ratio <= _QUIETER and now[channel] < usual.min() / _BEYOND
        if louder or quieter:
            its = "" if said else "its healthy level "
            said.append(f"{times(ratio)} {its}on channel {channel + 1}")
    if said:
        yield f"Vibration {', '.join(said)}."


def _impulses(seen: Compared) -> Iterator[str]:
    """The channel that has become most impulsive, if one has."""
    now, before = kurtosis(seen.now), kurtosis(seen.healthy)
    rise = now / np.maximum(before.max(axis=0), 1.0)  # 0 is a channel without a signal
    channel = int(rise.argmax())
    if now[channel] < _BURSTY or rise[channel] < _LOUDER:
        return
    peak, usual = crest(seen.now[channel]), np.median(crest(seen.healthy[:, channel]))
    yield (
        f"More impulsive on channel {channel + 1}: kurtosis {now[channel]:.1f} "
        f"(healthy {np.median(before[:, channel]):.1f}), crest factor {peak:.1f} "
        f"(healthy {usual:.1f})."
    )


def _bands(seen: Compared) -> Iterator[str]:
    """The octave that has risen most, where one has risen more than the rest."""
    overall = rms(seen.now) / np.median(rms(seen.healthy), axis=0)
    power, usual = np.square(seen.now_lines), np.square(seen.healthy_lines)
    best: tuple[float, int, Band] | None = None
    top = power.shape[-1] - 1
    for octave in (Band(top >> k + 1, top >> k) for k in range(8) if top >> k >= 8):
        cut = slice(octave.low, octave.high)
        now, before = np.sqrt(power[:, cut].sum(-1)), np.sqrt(usual[..., cut].sum(-1))
        ratios = now / np.maximum(np.median(before, axis=0), 1e-30)
        # the level of few bins wanders by itself
        at_least = _LOUDER * np.maximum(overall, 1 + 1.5 / math.sqrt(octave.high - octave.low))
        has_risen = (ratios >= at_least) & (now > _BEYOND * before.max(axis=0))
        channel = int(np.where(has_risen, ratios, 0.0).argmax())
        if has_risen[channel] and (best is None or ratios[channel] > best[0]):
            best = float(ratios[channel]), channel, octave
    if best is not None:
        ratio, channel, octave = best
        low_hz, high_hz = octave.hz(seen.bin_hz)
        yield (
            f"Rose most between {in_hz(low_hz)} and {in_hz(high_hz)} on channel {channel + 1}, "
            f"to {times(ratio)} the healthy level there."
        )


def _severity(window: Window, machine: Machine) -> tuple[iso20816.Zone | None, list[str]]:
    """The zone, and a sentence about it or why there is none; nothing where no class is given."""
    if machine.iso_class is None:
        return None, []
    if machine.unit is None:
        return None, ["No severity: the sensor's unit is not configured."]
    from_hz = iso20816.lowest_hz(machine.speed_rpm)
    try:
        velocity = iso20816.velocity_rms(
            window.data, rate_hz=window.rate_hz, unit=machine.unit, from_hz=from_hz
        )
    except ValueError as error:
        return None, [f"No severity: {str(error).partition(';')[0]}."]
    worst = float(velocity.max())
    found = iso20816.zone(worst, machine.iso_class)
    text = (
        f"Severity: {worst:.1f} mm/s RMS from {from_hz:g} to 1000 Hz, zone {found} of class "
        f"{machine.iso_class} (ISO 20816)."
    )
    return found, [text]


def _spectra(seen: Compared, band: Band) -> dict[str, Floats]:
    """Curves for a picture of before and after."""
    envelopes = envelope.envelope_spectrum(seen.now_transform, band)
    curves = {
        "frequency_hz": _first_bins(seen.now_lines) * np.float32(seen.bin_hz),
        "present": _peak_hold(seen.now_lines),
        "envelope_hz": _first_bins(envelopes) * np.float32(seen.bin_hz),
        "envelope_present": _peak_hold(envelopes),
        "envelope_band_hz": np.array(band.hz(seen.bin_hz)),
    }
    if len(seen.healthy):
        usual = envelope.envelope_spectrum(seen.healthy_transform, band).mean(axis=0)
        curves["healthy"] = _peak_hold(seen.healthy_lines.mean(axis=0))
        curves["envelope_healthy"] = _peak_hold(usual)
    return {name: curve.astype(np.float32) for name, curve in curves.items()}


def _first_bins(curve: Floats) -> Floats:
    """(points,) the first bin of each point of a picture."""
    bins = curve.shape[-1]
    return np.arange(0, bins, -(-bins // MAX_POINTS), dtype=np.float32)


def _peak_hold(curve: Floats) -> Floats:
    """(channels, points) the highest of the bins that fall on one point."""
    first = _first_bins(curve).astype(int)
    held: Floats = np.maximum.reduceat(curve, first, axis=-1)
    return held


def _within(limit: int, sentences: Sequence[str]) -> str:
    """As many sentences as fit."""
    text = ""
    for sentence in sentences:
        if len(text) + 1 + len(sentence) <= limit:
            text = f"{text} {sentence}".strip()
    return text
