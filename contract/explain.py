"""Why an alert was raised, in plain words: what changed against the healthy windows, and how much.

Level and impulsiveness first, then the spectrum and the envelope spectrum, line by line against
the same lines of the healthy windows. A line is named by its frequency, by the part of the bearing
or the multiple of the shaft's speed that it matches, and by how far it is from that. What cannot
be told is not claimed: no line that the window is too short for, no cause where several fit.

Pure and the same every time; 20 to 30 FFTs' worth of work, for when an alert is raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contract import iso20816, lines
from contract.bearings import Part
from contract.lines import Family
from contract.machine import Explanation, Machine
from contract.ops import envelope, spectrum
from contract.ops.envelope import Band
from contract.ops.spectrum import Transform
from contract.spec import Floats, Window

MAX_HEALTHY = 16  # windows compared with; more are thinned out evenly
MAX_TEXT = 1000  # characters
MAX_POINTS = 2048  # of a picture's curve: the highest of as many bins as fall on one

_WIDEST = 0.34  # of the spectrum, of a band that is demodulated: a third of it
_LOUDER, _QUIETER = 1.3, 0.6  # times the healthy level: less is not worth a sentence
_BEYOND = 1.15  # times the most, or the least, of the healthy windows
_BURSTY = 4.0  # kurtosis; 3 is that of Gaussian noise
_SLIP = 0.025  # of a fault frequency: slip of the bearing and of the motor together
_SAME = 0.01  # of a frequency: two that are taken for one
_ORDERS = 10  # multiples of the shaft's speed that are named
_ALONE = 7.0  # times the background, of a line that no others bear out
_ALONE_PERIODS = 20  # in the window: a line told from one alone is then certain to 2.5 %
_ORDER_PERIODS = 8  # enough where the speed is known
_ALONE_S = 0.5  # a shorter window shows a multiple where it cannot show the base
_ROW_PART = 5.0  # times the base: higher lines of the plain spectrum are its ringing resonances
_TONES = 2

_PARTS: dict[Part, str] = {
    "outer": "outer-race",
    "inner": "inner-race",
    "ball": "rolling-element",
    "cage": "cage",
}


@dataclass(frozen=True)
class _Tone:
    """A family of lines and where it was found.

    Attributes:
        family: its lines.
        channel: from 0.
        band: whose envelope shows it; None: the signal itself does.
    """

    family: Family
    channel: int
    band: Band | None


@dataclass(frozen=True, eq=False)
class _Seen:
    """A window beside the healthy ones.

    Attributes:
        now: (channels, samples) float32, without the mean.
        healthy: (windows, channels, samples) float32, likewise; perhaps no window.
        now_transform: (channels, bins) complex.
        healthy_transform: (windows, channels, bins) complex.
        now_lines: (channels, bins) float32 amplitudes.
        healthy_lines: (windows, channels, bins) float32 amplitudes.
        bin_hz: width of a bin.
        seconds: of the window.
    """

    now: Floats
    healthy: Floats
    now_transform: Transform
    healthy_transform: Transform
    now_lines: Floats
    healthy_lines: Floats
    bin_hz: float
    seconds: float


def explain(window: Window, healthy: Sequence[Floats], machine: Machine) -> Explanation:
    """What changed, by how much, and what it matches.

    Args:
        window: that raised the alert; data (samples, channels) float32.
        healthy: windows of the same machine while it was healthy, each (samples, channels)
            float32; those of another shape are left out.
        machine: what is known of it; the more, the more precise.

    Returns:
        The text, at most 1,000 characters; the zone where `iso_class` and `unit` are known and the
        window is long and fast enough; for a picture `frequency_hz` (points,), `present` and
        `healthy` (channels, points), `envelope_hz`, `envelope_present`, `envelope_healthy`
        likewise, of the band `envelope_band_hz` (2,). Amplitudes are in the unit of the sensor.
    """
    seen = _look(window, healthy)
    tones, band = _tones(seen, machine)
    severity, about_severity = _severity(window, machine)
    said = [
        *(_say_tone(tone, seen, machine) for tone in tones),
        *_levels(seen),
        *_impulses(seen),
        *([] if tones else _bands(seen)),
    ]
    if not len(seen.healthy):
        said.append("There are no healthy windows to compare with.")
    elif not said:
        said.append(
            f"No level, burst or tone stands out against the {len(seen.healthy)} healthy windows "
            "kept; what the detector saw is spread over the whole spectrum."
        )
    if not tones and seen.seconds < _ALONE_S:
        said.append(
            f"The window of {seen.seconds:.2g} s is too short to tell low tones apart: its lines "
            f"are {seen.bin_hz:.2g} Hz wide."
        )
    return Explanation(_within(MAX_TEXT, [*said, *about_severity]), severity, _spectra(seen, band))


def _look(window: Window, healthy: Sequence[Floats]) -> _Seen:
    """The window and the healthy ones that can be compared with it, transformed."""
    x = window.data
    same = [one for one in healthy if one.shape == x.shape]
    if len(same) > MAX_HEALTHY:
        chosen = np.linspace(0, len(same) - 1, MAX_HEALTHY).round().astype(int)
        same = [same[i] for i in chosen.tolist()]
    now = spectrum.centred(x)
    before = np.stack([spectrum.centred(one) for one in same]) if same else now[None][:0]
    now_transform, before_transform = spectrum.transform(now), spectrum.transform(before)
    return _Seen(
        now,
        before,
        now_transform,
        before_transform,
        spectrum.amplitudes(now_transform),
        spectrum.amplitudes(before_transform),
        window.rate_hz / len(x),
        len(x) / window.rate_hz,
    )


def _tones(seen: _Seen, machine: Machine) -> tuple[list[_Tone], Band]:
    """The clearest new tones, and the band whose envelope is worth a picture."""
    shaft_hz = None if machine.speed_rpm is None else machine.speed_rpm / 60.0
    # the lowest bands hold the shaft's own lines, whose beats are no blows
    among = [
        band
        for band in envelope.bands(seen.now_transform.shape[-1], widest=_WIDEST)
        if band.low > 1
    ]
    found: list[_Tone] = []
    looked: list[Band] = []
    for channel in range(len(seen.now)):
        now, before = seen.now_transform[channel], seen.healthy_transform[:, channel]
        looked += (candidates := _worth_demodulating(now, before, among))
        views: list[tuple[Band | None, Floats, Floats]] = [
            (None, seen.now_lines[channel], seen.healthy_lines[:, channel])
        ]
        views += [
            (band, envelope.envelope_spectrum(now, band), envelope.envelope_spectrum(before, band))
            for band in candidates
        ]
        for band, amplitude, usual in views:
            new = lines.new_lines(amplitude, usual, bin_hz=seen.bin_hz)
            found += [
                _Tone(family, channel, band)
                for family in lines.families(
                    new, amplitude, bin_hz=seen.bin_hz, shaft_hz=shaft_hz, at_most=_TONES
                )
            ]
    told = [tone for tone in found if _is_told(tone, seen, shaft_hz)]
    # what a bearing explains first, and an envelope before the signal, whose lines it explains
    told.sort(
        key=lambda tone: (
            _bearing(tone, seen, machine) is None,
            tone.band is None,
            -tone.family.score,
        )
    )
    kept: list[_Tone] = []
    for tone in told:
        is_alone = tone.band is not None and not tone.family.is_row
        if not any(is_alone or _is_part_of(tone, other, seen.bin_hz) for other in kept):
            kept.append(tone)
    kept = kept[:_TONES]
    shown = next((tone.band for tone in kept if tone.band is not None), looked[0])
    return kept, shown


def _worth_demodulating(now: Transform, before: Transform, among: list[Band]) -> list[Band]:
    """The burstiest band, and the one that has risen most; perhaps the same."""
    burstiest, _ = envelope.burstiest(now, among)
    if not len(before):
        return [burstiest]
    power, usual = np.cumsum(_power(now)), np.cumsum(_power(before).mean(axis=0))

    def rise(band: Band) -> float:
        return float(
            (power[band.high - 1] - power[band.low])
            / max(usual[band.high - 1] - usual[band.low], 1e-30)
        )

    risen = max(among, key=rise)
    return [burstiest] if risen == burstiest else [burstiest, risen]


def _is_told(tone: _Tone, seen: _Seen, shaft_hz: float | None) -> bool:
    """Whether a tone is clear enough, and the window long enough, to be sure of it."""
    if tone.family.is_row and tone.band is not None:
        return True
    if not len(seen.healthy) or tone.family.base.prominence < _ALONE:
        return False
    periods = tone.family.base.hz / seen.bin_hz
    if tone.band is None and shaft_hz is not None and _order(tone, seen, shaft_hz) is not None:
        return periods >= _ORDER_PERIODS
    return periods >= _ALONE_PERIODS and (tone.band is None or seen.seconds >= _ALONE_S)


def _is_part_of(tone: _Tone, other: _Tone, bin_hz: float) -> bool:
    """Whether a tone only repeats what another one says already."""
    base_hz, other_hz = tone.family.base.hz, other.family.base.hz
    if tone.band is None and other.band is not None and base_hz > _ROW_PART * other_hz:
        return True
    low, high = sorted((base_hz, other_hz))
    multiple = round(high / low)
    is_same = abs(high - multiple * low) <= max(1.5 * bin_hz, _SAME * high) and multiple <= _ORDERS
    beside_hz = other.family.beside_hz
    return is_same or (beside_hz is not None and abs(base_hz - beside_hz) <= 1.5 * bin_hz)


def _order(tone: _Tone, seen: _Seen, shaft_hz: float) -> int | None:
    """Which multiple of the shaft's speed a tone is."""
    hz = tone.family.base.hz
    order = round(hz / shaft_hz)
    off_hz = abs(hz - order * shaft_hz)
    room_hz = max(_SAME * hz, 0.5 * seen.bin_hz)
    return order if 1 <= order <= _ORDERS and off_hz <= room_hz else None


@dataclass(frozen=True)
class _Fit:
    """A fault frequency that a tone is near.

    Attributes:
        off: by what share the tone lies above it; negative: below.
        part: of the bearing.
        bearing: its name.
    """

    off: float
    part: Part
    bearing: str


def _bearing(tone: _Tone, seen: _Seen, machine: Machine) -> _Fit | None:
    """The nearest fault frequency of the machine's bearings, if one is near enough."""
    if machine.speed_rpm is None:
        return None
    hz, shaft_hz = tone.family.base.hz, machine.speed_rpm / 60.0
    fits = [
        _Fit(hz / (times * shaft_hz) - 1.0, part, bearing.name)
        for bearing in machine.geometries()
        for part, times in [*bearing.orders().items(), ("ball", bearing.bsf)]
    ]
    nearest = min(fits, key=lambda fit: abs(fit.off), default=None)
    if nearest is None or abs(nearest.off) > max(_SLIP, 0.25 * seen.bin_hz / hz):
        return None
    order = _order(tone, seen, shaft_hz)
    if order is not None:
        off = abs(hz / (order * shaft_hz) - 1.0)
        if tone.band is None or off < 0.5 * abs(nearest.off):
            return None
    return nearest


def _match(tone: _Tone, seen: _Seen, machine: Machine) -> str | None:
    """What a tone matches, in words; None without a speed."""
    if machine.speed_rpm is None:
        return None
    hz, shaft_hz = tone.family.base.hz, machine.speed_rpm / 60.0
    at_speed = f"at {machine.speed_rpm:g} rpm"
    order = _order(tone, seen, shaft_hz)
    fit = _bearing(tone, seen, machine)
    if fit is None:
        if order is None:
            return f"{hz / shaft_hz:.2f} × shaft speed {at_speed}"
        return f"{order} × shaft speed {at_speed}{_usual_cause(tone, order)}"
    frequency = f"{_PARTS[fit.part]} frequency of bearing {fit.bearing} {at_speed}"
    percent = 100 * abs(fit.off)
    text = (
        f"matches {frequency} within {max(percent, 0.1):.1f} %"
        if percent < 0.95
        else f"{percent:.1f} % {'above' if fit.off > 0 else 'below'} {frequency}, "
        "as slip or another speed can make it"
    )
    return text if order is None else f"{text}; {order} × shaft speed is as near"


def _usual_cause(tone: _Tone, order: int) -> str:
    """What a shaft order hints at, where it does."""
    if tone.band is not None:
        return ""
    if order == 1 and len(tone.family.multiples) >= 4:
        return " and its multiples; looseness is a usual cause"
    if order == 1:
        return "; unbalance is a usual cause"
    return "; misalignment is a usual cause" if order == 2 else ""


def _guess(tone: _Tone, machine: Machine) -> str | None:
    """Without a speed: at which speeds the first of the bearings would sound like this."""
    if machine.speed_rpm is not None or tone.band is None or not machine.bearings:
        return None
    bearing, hz = machine.geometries()[0], tone.family.base.hz
    return (
        f"it would be the outer race of bearing {bearing.name} at {60 * hz / bearing.bpfo:.0f} "
        f"rpm, its inner race at {60 * hz / bearing.bpfi:.0f} rpm"
    )


def _say_tone(tone: _Tone, seen: _Seen, machine: Machine) -> str:
    """One sentence about a tone."""
    family = tone.family
    where = f"on channel {tone.channel + 1}"
    is_vague = tone.band is not None and family.base.hz < _ALONE_PERIODS * seen.bin_hz
    if tone.band is not None:
        low_hz, high_hz = tone.band.hz(seen.bin_hz)
        where = f"in the envelope of {low_hz / 1e3:.1f}-{high_hz / 1e3:.1f} kHz {where}"
    kind = "New tone" if family.base.ratio is not None and not family.base.was_there else "Tone"
    text = f"{kind} at {'about ' if is_vague else ''}{_hz(family.base.hz)} Hz {where}"
    if family.base.ratio is not None:
        text += f", {_times(family.base.ratio)} its healthy level"
    if harmonics := len(family.multiples) - 1:
        text += f", with {harmonics} harmonic{'s' if harmonics > 1 else ''}"
    if family.beside_hz is not None:
        text += f"{' and' if harmonics else ', with'} sidebands {_hz(family.beside_hz)} Hz apart"
    matched = _match(tone, seen, machine) or _guess(tone, machine)
    return f"{text}; {matched}." if matched else f"{text}."


def _levels(seen: _Seen) -> Iterator[str]:
    """Channels that are louder or quieter than healthy ones were."""
    now, before = _rms(seen.now), _rms(seen.healthy)
    said = []
    for channel in range(len(now) if len(before) else 0):
        usual, ratio = before[:, channel], float(now[channel] / np.median(before[:, channel]))
        louder = ratio >= _LOUDER and now[channel] > _BEYOND * usual.max()
        quieter = ratio <= _QUIETER and now[channel] < usual.min() / _BEYOND
        if louder or quieter:
            said.append(f"{_times(ratio)} its healthy level on channel {channel + 1}")
    if said:
        yield f"Vibration {', '.join(said)}."


def _impulses(seen: _Seen) -> Iterator[str]:
    """The channel that has become most impulsive, if one has."""
    if not len(seen.healthy):
        return
    kurtosis, before = _kurtosis(seen.now), _kurtosis(seen.healthy)
    rise = kurtosis / before.max(axis=0)
    channel = int(rise.argmax())
    if kurtosis[channel] < _BURSTY or rise[channel] < _LOUDER:
        return
    crest, usual = _crest(seen.now[channel]), np.median(_crest(seen.healthy[:, channel]))
    yield (
        f"More impulsive on channel {channel + 1}: kurtosis {kurtosis[channel]:.1f} "
        f"(healthy {np.median(before[:, channel]):.1f}), crest factor {crest:.1f} "
        f"(healthy {usual:.1f})."
    )


def _bands(seen: _Seen) -> Iterator[str]:
    """The octave that has risen most, where one has risen more than the rest."""
    if not len(seen.healthy):
        return
    overall = _rms(seen.now) / np.median(_rms(seen.healthy), axis=0)
    power, usual = np.square(seen.now_lines), np.square(seen.healthy_lines)
    best: tuple[float, int, Band] | None = None
    high = power.shape[-1]
    for octave in (Band(high >> k + 1, high >> k) for k in range(8) if high >> k >= 8):
        cut = slice(octave.low, octave.high)
        now, before = np.sqrt(power[:, cut].sum(-1)), np.sqrt(usual[..., cut].sum(-1))
        ratios = now / np.maximum(np.median(before, axis=0), 1e-30)
        is_risen = (
            (ratios >= _LOUDER)
            & (ratios >= _LOUDER * overall)
            & (now > _BEYOND * before.max(axis=0))
        )
        channel = int(np.where(is_risen, ratios, 0.0).argmax())
        if is_risen[channel] and (best is None or ratios[channel] > best[0]):
            best = float(ratios[channel]), channel, octave
    if best is not None:
        ratio, channel, octave = best
        low_hz, high_hz = octave.hz(seen.bin_hz)
        yield (
            f"Rose most between {_hz(low_hz)} and {_hz(high_hz)} Hz on channel {channel + 1}, "
            f"to {_times(ratio)} the healthy level there."
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
    return found, [
        f"Severity: {worst:.1f} mm/s RMS from {from_hz:g} to 1000 Hz, "
        f"zone {found} of class {machine.iso_class} (ISO 20816)."
    ]


def _spectra(seen: _Seen, band: Band) -> dict[str, Floats]:
    """Curves for a picture of before and after."""
    envelope_now = envelope.envelope_spectrum(seen.now_transform, band)
    curves = {
        "frequency_hz": _bin_numbers(seen.now_lines.shape[-1]) * np.float32(seen.bin_hz),
        "present": _peak_hold(seen.now_lines),
        "envelope_hz": _bin_numbers(envelope_now.shape[-1]) * np.float32(seen.bin_hz),
        "envelope_present": _peak_hold(envelope_now),
        "envelope_band_hz": np.array(band.hz(seen.bin_hz), dtype=np.float32),
    }
    if len(seen.healthy):
        envelopes = envelope.envelope_spectrum(seen.healthy_transform, band)
        curves["healthy"] = _peak_hold(seen.healthy_lines.mean(axis=0))
        curves["envelope_healthy"] = _peak_hold(envelopes.mean(axis=0))
    return {name: curve.astype(np.float32) for name, curve in curves.items()}


def _bin_numbers(bins: int) -> Floats:
    """(points,) the first bin of each point of a picture."""
    return np.arange(0, bins, -(-bins // MAX_POINTS), dtype=np.float32)


def _peak_hold(curve: Floats) -> Floats:
    """(channels, points) the highest of the bins that fall on one point."""
    each = -(-curve.shape[-1] // MAX_POINTS)
    held: Floats = np.maximum.reduceat(curve, np.arange(0, curve.shape[-1], each), axis=-1)
    return held


def _power(transform: Transform) -> Floats:
    """Squared magnitudes."""
    squared: Floats = np.square(transform.real) + np.square(transform.imag)
    return squared


def _rms(rows: Floats) -> Floats:
    """Of (..., channels, samples): (..., channels)."""
    square: Floats = np.einsum("...i,...i->...", rows, rows) / np.float32(rows.shape[-1])
    return np.sqrt(np.maximum(square, np.float32(1e-30)))


def _kurtosis(rows: Floats) -> Floats:
    """Of (..., channels, samples): (..., channels); 3 for Gaussian noise."""
    ratio: Floats = np.square(_rms(np.square(rows)) / np.square(_rms(rows)))
    return ratio


def _crest(rows: Floats) -> Floats:
    """Of (..., channels, samples): (..., channels), peak over RMS."""
    peak: Floats = np.maximum(rows.max(axis=-1), -rows.min(axis=-1))
    return peak / _rms(rows)


def _hz(hz: float) -> str:
    return f"{hz:.1f}" if hz < 1000 else f"{hz:.0f}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} ×" if ratio >= 10 else f"{ratio:.1f} ×"


def _within(limit: int, sentences: Sequence[str]) -> str:
    """As many sentences as fit."""
    text = ""
    for sentence in sentences:
        if len(text) + 1 + len(sentence) <= limit:
            text = f"{text} {sentence}".strip()
    return text
