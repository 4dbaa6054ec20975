"""Tones that are new or have grown, and what they match: a bearing's part or the shaft's speed.

Looked for in the signal's spectrum and in the envelope spectra of two bands: the burstiest (Antoni
2007) and the one that has risen most above its healthy level (Randall and Antoni 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contract import families, lines
from contract.bearings import Part
from contract.compared import Compared
from contract.families import Family
from contract.machine import Machine
from contract.ops import envelope
from contract.ops.envelope import Band
from contract.ops.spectrum import Transform
from contract.spec import Floats

MAX_TONES = 2

_WIDEST = 0.34  # of the spectrum, of a band that is demodulated: a third of it
_NARROWEST_HZ = 1000.0
_NEARER = 0.005  # of a frequency: by so much a fault must fit better than the shaft does
_BESIDE = 0.05  # of the shaft's speed: how far off lines beside others may be to be its
_SAME = 0.01  # of a frequency: two that are taken for one
_ORDERS = 60  # multiples of the shaft's speed that are named
_LOW_ORDERS = 10  # of them, where twice the healthy level is worth a sentence
_HIGH_GROWN = 3.0  # times the healthy level: other lines that stand alone
_ALONE = 7.0  # times the background, of a line that no others bear out
_ALONE_PERIODS = 20  # in the window: a line told from one alone is then certain to 2.5 %
_ORDER_PERIODS = 8  # enough where the speed is known
_ALONE_S = 0.5  # a shorter window shows a multiple where it cannot show the base
_RINGING = 5.0  # times the base: higher lines of the plain spectrum are resonances that it rings

_PARTS: dict[Part, str] = {
    "outer": "outer-race",
    "inner": "inner-race",
    "ball": "rolling-element",
    "cage": "cage",
}
_X = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Tone:
    """A family of lines and where it was found.

    Attributes:
        family: its lines.
        channel: from 0.
        band: whose envelope shows it; None: the signal itself does.
    """

    family: Family
    channel: int
    band: Band | None


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


def find(seen: Compared, machine: Machine) -> tuple[list[Tone], Band]:
    """The tones worth telling, at most two, and the band whose envelope is worth a picture.

    Args:
        seen: the window beside the healthy ones.
        machine: what is known of it.
    """
    shaft_hz = _shaft_hz(machine)
    bins = seen.now_transform.shape[-1]
    # half of a band's width is how far its envelope's spectrum reaches
    narrowest = min(int(_NARROWEST_HZ / seen.bin_hz), bins // 3)
    # the lowest bands hold the shaft's own lines, whose beats are no blows
    among = [
        band
        for band in envelope.bands(bins, widest=_WIDEST)
        if band.low > 1 and band.high - band.low >= narrowest
    ] or [Band(1, bins)]
    found: list[Tone] = []
    looked: list[Band] = []
    for channel in range(len(seen.now)):
        now, before = seen.now_transform[channel], seen.healthy_transform[:, channel]
        looked += (bands := _worth_demodulating(now, before, among))
        found += _families(
            seen.now_lines[channel], seen.healthy_lines[:, channel], channel, None, seen, machine
        )
        for band in bands:
            after = envelope.envelope_spectrum(now, band)
            usual = envelope.envelope_spectrum(before, band)
            found += _families(after, usual, channel, band, seen, machine)
    told = [tone for tone in found if _is_told(tone, seen, shaft_hz)]
    told.sort(key=lambda tone: _rank(tone, seen, machine))
    kept: list[Tone] = []
    for tone in told:
        # a second rate of blows is told only where a bearing explains it: the first one's lines
        # beat with each other
        is_beat = tone.band is not None and _fit(tone, seen, machine) is None
        if not any(is_beat or _is_part_of(tone, other, seen.bin_hz) for other in kept):
            kept.append(tone)
    kept = kept[:MAX_TONES]
    shown = next((tone.band for tone in kept if tone.band is not None), looked[0])
    return kept, shown


def _rank(tone: Tone, seen: Compared, machine: Machine) -> tuple[bool, bool, float]:
    """What a race or a ball explains first, an envelope before the signal, whose lines it explains.

    The cage's line stands beside those of every fault that moves with it.
    """
    fit = _fit(tone, seen, machine)
    return fit is None or fit.part == "cage", tone.band is None, -tone.family.score


def say(tone: Tone, seen: Compared, machine: Machine) -> str:
    """One sentence about a tone: where, how much, what it matches."""
    family = tone.family
    where = f"on channel {tone.channel + 1}"
    is_vague = tone.band is not None and family.base.hz < _ALONE_PERIODS * seen.bin_hz
    if tone.band is not None:
        low_hz, high_hz = tone.band.hz(seen.bin_hz)
        where = f"in the envelope of {low_hz / 1e3:.1f}-{high_hz / 1e3:.1f} kHz {where}"
    kind = "New tone" if family.base.ratio is not None and not family.base.was_there else "Tone"
    text = f"{kind} at {'about ' if is_vague else ''}{in_hz(family.base.hz)} {where}"
    if family.base.ratio is not None:
        text += f", {times(family.base.ratio)} its healthy level"
    if harmonics := len(family.multiples) - 1:
        text += f", with {harmonics} harmonic{'s' if harmonics > 1 else ''}"
    if family.beside_hz is not None:
        text += f"{' and' if harmonics else ', with'} sidebands {in_hz(family.beside_hz)} apart"
    matched = _match(tone, seen, machine) or _guess(tone, machine)
    return f"{text}; {matched}." if matched else f"{text}."


def in_hz(hz: float) -> str:
    """A frequency to a tenth of a Hz, from 1000 on to one."""
    return f"{hz:.1f} Hz" if hz < 1000 else f"{hz:.0f} Hz"


def times(ratio: float) -> str:
    """A ratio to two figures, as far as it says anything."""
    if ratio >= 1000:
        return f"over 1000 {_X}"
    return f"{ratio:.0f} {_X}" if ratio >= 10 else f"{ratio:.1f} {_X}"


def _shaft_hz(machine: Machine) -> float | None:
    return None if machine.speed_rpm is None else machine.speed_rpm / 60.0


def _families(
    now: Floats, usual: Floats, channel: int, band: Band | None, seen: Compared, machine: Machine
) -> list[Tone]:
    """The families of one spectrum or envelope spectrum, (bins,) beside (windows, bins)."""
    shaft_hz = _shaft_hz(machine)
    expected_hz = [
        order * shaft_hz
        for bearing in machine.geometries()
        for order in bearing.orders().values()
        if shaft_hz is not None and band is not None and abs(order - round(order)) > _SAME * order
    ]
    found = families.families(
        lines.new_lines(now, usual, bin_hz=seen.bin_hz),
        now,
        bin_hz=seen.bin_hz,
        shaft_hz=shaft_hz,
        expected_hz=expected_hz,
        at_most=MAX_TONES,
    )
    return [Tone(family, channel, band) for family in found]


def _worth_demodulating(now: Transform, before: Transform, among: list[Band]) -> list[Band]:
    """The burstiest band, and the one that has risen most; perhaps the same."""
    burstiest, _ = envelope.burstiest(now, among)
    if not len(before):
        return [burstiest]
    power, usual = np.cumsum(_power(now)), np.cumsum(_power(before).mean(axis=0))

    def rise(band: Band) -> float:
        risen, was = (float(sums[band.high - 1] - sums[band.low]) for sums in (power, usual))
        return risen / max(was, 1e-30)

    risen = max(among, key=rise)
    return [burstiest] if risen == burstiest else [burstiest, risen]


def _power(transform: Transform) -> Floats:
    """Squared magnitudes."""
    squared: Floats = np.square(transform.real) + np.square(transform.imag)
    return squared


def _is_told(tone: Tone, seen: Compared, shaft_hz: float | None) -> bool:
    """Whether a tone is clear enough, and the window long enough, to be sure of it."""
    if tone.family.is_row and tone.band is not None:
        return True
    if not len(seen.healthy) or tone.family.base.prominence < _ALONE:
        return False
    periods = tone.family.base.hz / seen.bin_hz
    order = None if shaft_hz is None else _order(tone, seen, shaft_hz)
    if tone.band is None and order is not None and order <= _LOW_ORDERS:
        return periods >= _ORDER_PERIODS
    return (
        periods >= _ALONE_PERIODS
        and (tone.family.base.ratio or 0.0) >= _HIGH_GROWN
        and (tone.band is None or seen.seconds >= _ALONE_S)
    )


def _is_part_of(tone: Tone, other: Tone, bin_hz: float) -> bool:
    """Whether a tone only repeats what another one says already."""
    base_hz, other_hz = tone.family.base.hz, other.family.base.hz
    if tone.band is None and other.band is not None and base_hz > _RINGING * other_hz:
        return True
    low, high = sorted((base_hz, other_hz))
    multiple = round(high / low)
    off_hz = abs(high - multiple * low)
    if multiple <= _LOW_ORDERS and off_hz <= max(1.5 * bin_hz, _SAME * high):
        return True
    beside_hz = other.family.beside_hz
    return beside_hz is not None and abs(base_hz - beside_hz) <= 1.5 * bin_hz


def _order(tone: Tone, seen: Compared, shaft_hz: float) -> int | None:
    """Which multiple of the shaft's speed a tone is."""
    hz = tone.family.base.hz
    order = round(hz / shaft_hz)
    room_hz = min(max(_SAME * hz, 0.5 * seen.bin_hz), 2 * _SAME * hz, 0.1 * shaft_hz)
    is_near = abs(hz - order * shaft_hz) <= room_hz
    return order if is_near and 1 <= order <= _ORDERS else None


def _nearest(tone: Tone, seen: Compared, machine: Machine) -> _Fit | None:
    """The nearest fault frequency of the machine's bearings, if one is near enough."""
    shaft_hz = _shaft_hz(machine)
    if shaft_hz is None:
        return None
    hz = tone.family.base.hz
    fits = [
        _Fit(hz / (order * shaft_hz) - 1.0, part, bearing.name)
        for bearing in machine.geometries()
        for part, order in [*bearing.orders().items(), ("ball", bearing.bsf)]
    ]
    nearest = min(fits, key=lambda fit: abs(fit.off), default=None)
    room = max(families.EXPECTED, 0.25 * seen.bin_hz / hz)
    return nearest if nearest is not None and abs(nearest.off) <= room else None


def _fit(tone: Tone, seen: Compared, machine: Machine) -> _Fit | None:
    """The fault frequency that a tone matches, unless the shaft explains it as well."""
    nearest, shaft_hz = _nearest(tone, seen, machine), _shaft_hz(machine)
    if nearest is None or shaft_hz is None:
        return None
    if (order := _order(tone, seen, shaft_hz)) is not None:
        # every machine has lines there; blows at 3 times the speed and its multiples, with nothing
        # at the speed itself between them, are not the shaft's
        family = tone.family
        has_speed = family.beside_hz is not None and abs(family.beside_hz / shaft_hz - 1) <= _BESIDE
        is_row = tone.band is not None and family.is_row and order > 1 and not has_speed
        shaft_off = abs(family.base.hz / (order * shaft_hz) - 1.0)
        if shaft_off < abs(nearest.off) + (-_NEARER if is_row else _NEARER):
            return None
    return nearest


def _match(tone: Tone, seen: Compared, machine: Machine) -> str | None:
    """What a tone matches, in words; None without a speed."""
    shaft_hz = _shaft_hz(machine)
    if shaft_hz is None:
        return None
    at_speed = f"at {machine.speed_rpm:g} rpm"
    order, fit = _order(tone, seen, shaft_hz), _fit(tone, seen, machine)
    if fit is not None:
        frequency = f"{_PARTS[fit.part]} frequency of bearing {fit.bearing} {at_speed}"
        percent = 100 * abs(fit.off)
        if percent < 0.95:
            also = "" if order is None else f"; {order} {_X} shaft speed is as near"
            return f"matches {frequency} within {max(percent, 0.1):.1f} %{also}"
        side = "above" if fit.off > 0 else "below"
        return f"{percent:.1f} % {side} {frequency}, as slip or another speed can make it"
    if order is None:
        return f"{tone.family.base.hz / shaft_hz:.2f} {_X} shaft speed {at_speed}"
    text = f"{order} {_X} shaft speed {at_speed}"
    near = _nearest(tone, seen, machine)
    if near is not None and tone.band is not None:
        return f"{text}; {_PARTS[near.part]} frequency of bearing {near.bearing} is as near"
    return f"{text}{_usual_cause(tone, order)}"


def _usual_cause(tone: Tone, order: int) -> str:
    """What a shaft order hints at, where it does."""
    if tone.band is not None:
        return ""
    if order == 1 and len(tone.family.multiples) >= 4:
        return " and its multiples; looseness is a usual cause"
    if order == 1:
        return "; unbalance is a usual cause"
    return "; misalignment is a usual cause" if order == 2 else ""


def _guess(tone: Tone, machine: Machine) -> str | None:
    """Without a speed: at which speeds the first of the bearings would sound like this."""
    if machine.speed_rpm is not None or tone.band is None or not machine.bearings:
        return None
    bearing, hz = machine.geometries()[0], tone.family.base.hz
    return (
        f"it would be the outer race of bearing {bearing.name} at {60 * hz / bearing.bpfo:.0f} "
        f"rpm, its inner race at {60 * hz / bearing.bpfi:.0f} rpm"
    )
