"""What an alarm says: the right line, what it matches, how much; nothing where nothing is."""

import re
import warnings

import numpy as np
import pytest
import vibration
from vibration import window

from contract.bearings import CATALOGUE, find
from contract.compared import MAX_SAMPLES
from contract.explain import MAX_POINTS, MAX_TEXT, explain
from contract.machine import Machine
from contract.ops.simulate import RunToFailure

RPM = 1797.0
SHAFT_HZ = RPM / 60
BEARING = find("6205")
KNOWN = Machine(speed_rpm=RPM, bearings=["6205"])
X = "\N{MULTIPLICATION SIGN}"
NOTHING = "No level, burst or tone stands out"
WORDS = {"outer": "outer-race", "inner": "inner-race", "ball": "rolling-element"}
TURNING = {"outer": None, "inner": SHAFT_HZ, "ball": BEARING.ftf * SHAFT_HZ}


def healthy(rng, *, windows=8, **options):
    return [
        vibration.healthy(rng, shaft_hz=SHAFT_HZ, load=rng.uniform(0.75, 1.35), **options)
        for _ in range(windows)
    ]


def damaged(rng, part, *, height, off=1.0, samples=25_600, **options):
    x = vibration.healthy(rng, shaft_hz=SHAFT_HZ, samples=samples)
    blows = vibration.blows(
        rng,
        rate_of_blows_hz=off * BEARING.orders()[part] * SHAFT_HZ,
        samples=samples,
        modulation_hz=TURNING[part],
        **options,
    )
    return x + height * blows[:, None].astype(np.float32)


def sine(hz, amplitude, *, samples=25_600):
    t = np.arange(samples) / vibration.RATE_HZ
    return (amplitude * np.sin(2 * np.pi * hz * t))[:, None].astype(np.float32)


def line_hz(text):
    """The first frequency that a text names."""
    return float(re.search(r"one at (?:about )?([\d.]+) Hz", text)[1])


@pytest.mark.parametrize("part", ["outer", "inner", "ball"])
@pytest.mark.parametrize("height", [0.2, 5.0])
def test_the_line_of_a_damaged_bearing_is_named_within_half_a_percent(part, height):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        resonance_hz = rng.uniform(1500, 7000)
        x = damaged(rng, part, height=height, resonance_hz=resonance_hz)
        text = explain(window(x), healthy(rng), KNOWN).text
        expected_hz = BEARING.orders()[part] * SHAFT_HZ
        assert text.startswith("New tone at ")
        assert line_hz(text) == pytest.approx(expected_hz, rel=0.005)
        said = f"matches {WORDS[part]} frequency of bearing 6205 at 1797 rpm within 0."
        assert said in text


@pytest.mark.slow
@pytest.mark.parametrize("part", ["outer", "inner", "ball"])
def test_over_many_machines_the_right_line_and_no_other(part):
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        x = damaged(rng, part, height=0.3, resonance_hz=rng.uniform(1500, 7000))
        text = explain(window(x), healthy(rng), KNOWN).text
        assert line_hz(text) == pytest.approx(BEARING.orders()[part] * SHAFT_HZ, rel=0.005)
        assert f"matches {WORDS[part]} frequency" in text


@pytest.mark.slow
@pytest.mark.parametrize("is_known", [True, False])
def test_rates_windows_speeds_and_bearings_of_all_kinds(is_known):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rate_hz = float(rng.choice([5_000, 12_000, 25_600, 51_200]))
        samples, rpm = int(rate_hz * rng.choice([1, 2, 4])), round(rng.uniform(700, 3600))
        shape = {"samples": samples, "rate_hz": rate_hz}
        bearing = CATALOGUE[str(rng.choice(list(CATALOGUE)))]
        rate_of_blows_hz = bearing.bpfo * rpm / 60
        x = vibration.healthy(rng, shaft_hz=rpm / 60, **shape) + (
            np.exp(rng.uniform(-1, 3))
            * vibration.blows(
                rng,
                rate_of_blows_hz=rate_of_blows_hz,
                resonance_hz=rng.uniform(0.12, 0.4) * rate_hz,
                slip=rng.choice([0.0, 0.003, 0.01]),
                **shape,
            )[:, None]
        )
        before = [vibration.healthy(rng, shaft_hz=rpm / 60, **shape) for _ in range(6)]
        machine = Machine(speed_rpm=rpm, bearings=[bearing.name]) if is_known else Machine()
        text = explain(window(x, rate_hz=rate_hz), before, machine).text
        assert line_hz(text) == pytest.approx(rate_of_blows_hz, rel=0.005), (seed, text)
        assert ("matches outer-race" in text) == is_known


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("machine", [KNOWN, Machine()])
def test_of_a_healthy_machine_nothing_is_claimed(seed, machine):
    rng = np.random.default_rng(seed)
    before = healthy(rng)
    for _ in range(2):
        x = vibration.healthy(rng, shaft_hz=SHAFT_HZ, load=rng.uniform(0.75, 1.35))
        assert explain(window(x), before, machine).text.startswith(NOTHING)


@pytest.mark.slow
def test_of_many_healthy_machines_nothing_is_claimed():
    for seed in range(60):
        rng = np.random.default_rng(1000 + seed)
        x = vibration.healthy(rng, shaft_hz=SHAFT_HZ, load=rng.uniform(0.75, 1.35))
        assert explain(window(x), healthy(rng, windows=16), KNOWN).text.startswith(NOTHING)


@pytest.mark.parametrize("seed", range(3))
def test_the_simulated_run_to_failure_is_explained_by_its_own_line(seed):
    machine = RunToFailure(seed=seed, samples=25_600)
    before = [machine.window(i) for i in range(0, 32, 2)]
    for i in (170, 239):
        wandered = 1 + 0.002 * np.random.default_rng([seed, 1, i]).normal()
        shaft_hz = machine._make["shaft_hz"] * (1 - 0.01 * (machine.load(i) - 1)) * wandered
        text = explain(window(machine.window(i)), before, Machine()).text
        assert line_hz(text) == pytest.approx(shaft_hz * machine._make["orders"], rel=0.005)


def test_an_unknown_machine_still_hears_which_tone_is_new():
    rng = np.random.default_rng(0)
    text = explain(window(damaged(rng, "outer", height=1.0)), healthy(rng), Machine()).text
    assert line_hz(text) == pytest.approx(107.36, rel=0.005)
    assert "matches" not in text
    assert "rpm" not in text


def test_without_a_speed_it_says_at_which_speed_the_bearing_would_sound_so():
    rng = np.random.default_rng(0)
    x = damaged(rng, "outer", height=1.0)
    text = explain(window(x), healthy(rng), Machine(bearings=["6205"])).text
    speed_rpm = int(re.search(r"outer race of bearing 6205 at (\d+) rpm", text)[1])
    assert speed_rpm == pytest.approx(RPM, rel=0.005)


def test_without_a_bearing_it_says_how_many_times_the_shafts_speed_it_is():
    rng = np.random.default_rng(0)
    x = damaged(rng, "outer", height=1.0)
    text = explain(window(x), healthy(rng), Machine(speed_rpm=RPM)).text
    times = float(re.search(rf"([\d.]+) {X} shaft speed at 1797 rpm", text)[1])
    assert times == pytest.approx(BEARING.bpfo, abs=0.02)


@pytest.mark.parametrize(("off", "said"), [(0.982, "1.8 % below"), (1.017, "1.7 % above")])
def test_slip_is_allowed_for_and_stated(off, said):
    rng = np.random.default_rng(0)
    x = damaged(rng, "outer", height=1.0, off=off, slip=0.001)
    text = explain(window(x), healthy(rng), KNOWN).text
    assert f"{said} outer-race frequency of bearing 6205 at 1797 rpm, as slip" in text


def test_a_rate_that_no_part_has_is_not_matched():
    rng = np.random.default_rng(0)
    x = damaged(rng, "outer", height=1.0, off=1.1)
    text = explain(window(x), healthy(rng), KNOWN).text
    assert line_hz(text) == pytest.approx(1.1 * 107.36, rel=0.005)
    assert "bearing" not in text


def test_an_inner_race_has_its_sidebands():
    rng = np.random.default_rng(0)
    text = explain(window(damaged(rng, "inner", height=1.0)), healthy(rng), KNOWN).text
    apart_hz = float(re.search(r"sidebands ([\d.]+) Hz apart", text)[1])
    assert apart_hz == pytest.approx(SHAFT_HZ, abs=0.4)


@pytest.mark.parametrize(
    ("order", "cause"), [(1, "unbalance is a usual cause"), (2, "misalignment is a usual cause")]
)
@pytest.mark.parametrize("seed", range(3))
def test_shaft_orders_are_named_with_care(order, cause, seed):
    rng = np.random.default_rng(seed)
    x = vibration.healthy(rng, shaft_hz=SHAFT_HZ) + sine(order * SHAFT_HZ, 0.8)
    text = explain(window(x), healthy(rng), KNOWN).text
    assert line_hz(text) == pytest.approx(order * SHAFT_HZ, rel=0.005)
    assert f"; {order} {X} shaft speed at 1797 rpm; {cause}." in text
    assert "bearing" not in text
    unknown = explain(window(x), healthy(rng), Machine()).text
    assert "cause" not in unknown


def test_a_whine_is_a_tone_of_the_signal_itself():
    rng = np.random.default_rng(0)
    x = vibration.healthy(rng, shaft_hz=SHAFT_HZ) + sine(4321.3, 0.3)
    text = explain(window(x), healthy(rng), Machine()).text
    assert text.startswith("New tone at 4321 Hz on channel")


def test_level_and_impulsiveness_are_told_by_how_much():
    rng = np.random.default_rng(0)
    before = healthy(rng)
    usual = np.median([x.std(axis=0) for x in before], axis=0)
    x = damaged(rng, "outer", height=5.0)
    text = explain(window(x), before, KNOWN).text
    first, second = x.std(axis=0) / usual
    assert f"Vibration {first:.1f} {X} its healthy level on channel 1, {second:.1f} {X} on" in text
    assert re.search(r"More impulsive on channel [12]: kurtosis \d+\.\d \(healthy 2\.\d\)", text)


def test_a_machine_that_has_become_quiet_is_told_as_such():
    rng = np.random.default_rng(0)
    x = 0.1 * vibration.healthy(rng, shaft_hz=SHAFT_HZ)
    assert explain(window(x), healthy(rng), KNOWN).text.startswith(f"Vibration 0.1 {X} its")


def test_noise_that_has_risen_in_one_band_is_told_by_the_band():
    rng = np.random.default_rng(0)
    x = vibration.healthy(rng, shaft_hz=SHAFT_HZ)
    spectrum = np.fft.rfft(rng.normal(size=x.shape), axis=0)
    spectrum[: x.shape[0] // 4] = 0.0
    x = x + 0.2 * np.fft.irfft(spectrum, x.shape[0], axis=0)
    text = explain(window(x), healthy(rng), KNOWN).text
    assert "Rose most between 6400 Hz and 12800 Hz on channel" in text
    assert "one at" not in text


@pytest.mark.parametrize("seed", range(6))
def test_a_short_window_names_a_row_roughly_or_no_line_at_all(seed):
    rng = np.random.default_rng(seed)
    before = healthy(rng, samples=2560)
    text = explain(window(damaged(rng, "outer", height=2.0, samples=2560)), before, KNOWN).text
    assert "about" in text or "one at" not in text
    if "one at" in text:
        assert line_hz(text) == pytest.approx(107.36, rel=0.02)
    good = explain(window(vibration.healthy(rng, samples=2560)), before, KNOWN).text
    assert "too short to tell low tones apart: its lines are 10 Hz wide." in good
    assert "one at" not in good


def test_without_healthy_windows_only_what_a_bearing_or_a_row_of_blows_shows_is_told():
    rng = np.random.default_rng(0)
    found = explain(window(damaged(rng, "outer", height=2.0)), [], KNOWN)
    assert "matches outer-race frequency" in found.text
    assert "New" not in found.text
    assert "There are no healthy windows to compare with." in found.text
    assert "healthy" not in found.spectra
    good = explain(window(vibration.healthy(rng)), [], KNOWN).text
    assert good == "There are no healthy windows to compare with."


def test_healthy_windows_of_another_shape_are_left_out():
    rng = np.random.default_rng(0)
    x = damaged(rng, "outer", height=1.0)
    before = healthy(rng)
    mixed = [*before, *healthy(rng, samples=2560, windows=3), *healthy(rng, channels=1, windows=2)]
    assert explain(window(x), mixed, KNOWN).text == explain(window(x), before, KNOWN).text


def test_the_same_window_is_explained_in_the_same_words():
    rng = np.random.default_rng(0)
    x, before = damaged(rng, "inner", height=1.0), healthy(rng, windows=40)
    first, again = (explain(window(x), before, KNOWN) for _ in range(2))
    assert first.text == again.text
    for name, curve in first.spectra.items():
        np.testing.assert_array_equal(curve, again.spectra[name])


def test_severity_is_the_zone_of_the_class():
    rng = np.random.default_rng(0)
    x = 0.05 * vibration.healthy(rng, shaft_hz=SHAFT_HZ) + sine(SHAFT_HZ, 0.01 * 2**0.5 * 0.188)
    machine = Machine(speed_rpm=RPM, iso_class="II", unit="m/s^2")
    found = explain(window(x), healthy(rng), machine)
    assert found.severity == "A"
    assert re.search(r"Severity: 0\.\d mm/s RMS from 10 to 1000 Hz, zone A of class II", found.text)
    louder = explain(window(400 * x), healthy(rng), machine)
    assert louder.severity == "D"


@pytest.mark.parametrize(
    ("machine", "samples", "said"),
    [
        (Machine(iso_class="I"), 25_600, "No severity: the sensor's unit is not configured."),
        (Machine(iso_class="I", unit="g"), 2560, "No severity: a window of 0.1 s is too short"),
        (
            Machine(iso_class="I", unit="g", speed_rpm=120),
            25_600,
            "No severity: a window of 1 s is too short for 2 Hz.",
        ),
    ],
)
def test_a_severity_that_cannot_be_had_is_not_made_up(machine, samples, said):
    rng = np.random.default_rng(0)
    found = explain(window(vibration.healthy(rng, samples=samples)), [], machine)
    assert found.severity is None
    assert said in found.text


def test_no_class_no_word_about_severity():
    rng = np.random.default_rng(0)
    found = explain(window(vibration.healthy(rng)), healthy(rng), KNOWN)
    assert found.severity is None
    assert "everity" not in found.text


def test_curves_for_a_picture_show_the_line_that_the_text_names():
    rng = np.random.default_rng(0)
    found = explain(window(damaged(rng, "outer", height=1.0)), healthy(rng), KNOWN)
    curves = found.spectra
    for axis, names in (
        ("frequency_hz", ("present", "healthy")),
        ("envelope_hz", ("envelope_present", "envelope_healthy")),
    ):
        points = len(curves[axis])
        assert points <= MAX_POINTS
        assert (np.diff(curves[axis]) > 0).all()
        for name in names:
            assert curves[name].shape == (2, points)
            assert curves[name].dtype == np.float32
    low_hz, high_hz = curves["envelope_band_hz"]
    assert f"envelope of {low_hz / 1e3:.1f}-{high_hz / 1e3:.1f} kHz" in found.text
    at = np.abs(curves["envelope_hz"] - line_hz(found.text)) < 2
    growth = curves["envelope_present"][:, at] / curves["envelope_healthy"][:, at]
    assert growth.max() > 10


def test_of_a_long_window_the_end_is_enough():
    rng = np.random.default_rng(0)
    samples = 3 * MAX_SAMPLES
    x = damaged(rng, "outer", height=1.0, samples=samples)
    found = explain(window(x), healthy(rng, samples=samples, windows=3), KNOWN)
    assert line_hz(found.text) == pytest.approx(107.36, rel=0.005)
    points = len(found.spectra["frequency_hz"])
    assert points * np.diff(found.spectra["frequency_hz"])[0] == pytest.approx(12_800, rel=0.01)
    x[:-MAX_SAMPLES] = 0.0
    assert explain(window(x), [], KNOWN).text == explain(window(x[-MAX_SAMPLES:]), [], KNOWN).text


def test_a_picture_keeps_the_peaks_of_long_windows():
    rng = np.random.default_rng(0)
    samples = 64_000
    x = 0.01 * rng.normal(size=(samples, 1)) + sine(4320.0, 0.5, samples=samples)
    curves = explain(window(x), [], Machine()).spectra
    assert len(curves["frequency_hz"]) <= MAX_POINTS
    assert curves["present"].max() == pytest.approx(0.5, rel=0.02)
    assert curves["frequency_hz"][curves["present"].argmax()] == pytest.approx(4320, abs=20)


def test_the_text_stays_within_its_limit_and_ends_with_a_whole_sentence():
    rng = np.random.default_rng(0)
    channels = 40
    before = [0.1 * rng.normal(size=(2560, channels)).astype(np.float32) for _ in range(4)]
    text = explain(window(10 * before[0]), before, KNOWN).text
    assert len(text) <= MAX_TEXT
    assert text.endswith(".")


@pytest.mark.parametrize("samples", [512, 513, 1000, 4999])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_and_odd_windows_and_dead_channels_are_taken(samples, channels):
    rng = np.random.default_rng(0)
    before = [rng.normal(size=(samples, channels)).astype(np.float32) for _ in range(3)]
    dead = before[0].copy()
    dead[:, 0] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data, usual in ((dead, before), (before[0], [dead]), (dead, [dead]), (before[0], [])):
            found = explain(window(data, rate_hz=1000.0), usual, KNOWN)
            assert 0 < len(found.text) <= MAX_TEXT
            assert all(np.isfinite(curve).all() for curve in found.spectra.values())
