"""What sensors there are, and what they say, in numbers that are known beforehand."""

from __future__ import annotations

import fcntl
import json
import os
from functools import partial
from pathlib import Path

import fake_iio
import numpy as np
import pytest

from contract.spec import Window
from edge import doctor_sensors
from edge.__main__ import main
from edge.config import PipelineConfig
from edge.gates import Limits
from edge.listening import Ear
from edge.sources import microphone, replay

RATE_HZ = 8000
CARDS = """ 0 [b1             ]: bcm2835_hdmi - bcm2835 HDMI 1
                      bcm2835 HDMI 1
 1 [Digiducer      ]: USB-Audio - 333D01
                      The Modal Shop 333D01 at usb-0000:01:00.0-1.3, full speed
"""
PCM = """00-00: bcm2835 HDMI 1 : bcm2835 HDMI 1 : playback 8
01-00: USB Audio : USB Audio : capture 1
"""
CONFIG = """
[device]
name = "d1"
state_dir = "state"

[[pipeline]]
name = "p"
bundle = "bundle"

[pipeline.source]
"""


def texts(root: Path) -> list[str]:
    return [f"{one.what}: {one.text}" for one in doctor_sensors.there_are(root)]


class TestThereAre:
    """As the kernel lists them."""

    def test_inputs_accelerometers_and_buses(self, tmp_path):
        """Neither loudspeakers nor voltmeters."""
        (tmp_path / "proc/asound").mkdir(parents=True)
        (tmp_path / "proc/asound/cards").write_text(CARDS)
        (tmp_path / "proc/asound/pcm").write_text(PCM)
        fake_iio.plant(tmp_path, 0, {"name": "cpu-adc", "in_voltage0_raw": "12"})
        fake_iio.plant(tmp_path, 1, fake_iio.ADXL355)
        (tmp_path / "dev/spidev0.1").touch()
        assert texts(tmp_path) == [
            "sound input: 333D01 (hw:1,0)",
            "accelerometer: adxl355 (iio:device1): accel_x, accel_y, accel_z",
            "SPI device: /dev/spidev0.1",
        ]

    def test_an_accelerometer_without_a_buffer_comes_with_the_reason(self, tmp_path):
        """It can be read one by one only, by nobody who wants a spectrum."""
        fake_iio.plant(tmp_path, 0, {"name": "mma8452", "in_accel_x_raw": "12"})
        (finding,) = doctor_sensors.there_are(tmp_path)
        assert (finding.level, finding.text) == ("warn", "mma8452 (iio:device0) has no buffer")
        assert "interrupt" in finding.fix

    def test_nothing_is_told_too(self, tmp_path):
        """Instead of an empty list."""
        assert texts(tmp_path) == ["sensors: no sound input, IIO accelerometer or SPI device here"]


def ear(source, **limits) -> Ear:
    counts = isinstance(source, microphone.Config)
    return Ear(PipelineConfig("p", "bundle", source, gate=Limits(**limits)), counts_itself=counts)


def windows(samples: np.ndarray, *, step: int = RATE_HZ // 5):
    for seq, first in enumerate(range(0, len(samples) - step + 1, step)):
        yield Window("p", seq, 0, 0, samples[first : first + step].astype(np.float32), RATE_HZ)


class TestEar:
    """Signals of known level."""

    def test_level_and_noise_floor_of_a_tone_with_gravity(self):
        """A tone has no part in the floor; the mean has none in anything."""
        n, rng = np.arange(8 * RATE_HZ), np.random.default_rng(0)
        noise = rng.normal(0, 0.01, (len(n), 2))
        tone = np.stack([np.sin(2 * np.pi * 440.3 * n / RATE_HZ), 0 * n], axis=1)
        listening = ear(replay.Config("x.npz", 1.0, 1.0, RATE_HZ))
        for window in windows(9.80665 + tone + noise):
            listening.take(window, 0)
        heard = listening.heard()
        assert heard.seconds == pytest.approx(8.0)
        first, second = heard.channels
        assert (first.rms, second.rms) == (
            pytest.approx(0.7072, rel=1e-3),
            pytest.approx(0.01, rel=0.02),
        )
        assert 1.0 < first.peak < 1.06
        density = 0.01 / np.sqrt(RATE_HZ / 2)
        assert [one.noise for one in heard.channels] == [pytest.approx(density, rel=0.1)] * 2
        assert first.clipped is None

    def test_clipping_is_the_share_of_samples_at_full_scale(self):
        """Of the sensor's range, or of the gate where that is given."""
        x = np.clip(np.random.default_rng(0).normal(size=(4 * RATE_HZ, 1)), -1.5, 1.5)
        share = np.mean(np.abs(x) >= 0.995 * 1.5)  # 16 bits may end a step below it
        assert 0.1 < share < 0.2
        for listening, known in (
            (ear(microphone.Config(1.0, 1.0, RATE_HZ, scale=1.5)), share),
            (ear(microphone.Config(1.0, 1.0, RATE_HZ, scale=9.9), full_scale=1.5), share),
            (ear(microphone.Config(1.0, 1.0, RATE_HZ, scale=9.9)), 0.0),
        ):
            for window in windows(x):
                listening.take(window, 0)
            assert listening.heard().channels[0].clipped == pytest.approx(known, abs=1e-6)
            assert listening.heard().refused == {"clipped": 1.0}

    def test_a_sound_card_is_counted_but_not_what_had_waited(self):
        """Nine windows come at once, the others in time, of a card that is 2 % too fast."""
        listening = ear(microphone.Config(1.0, 1.0, RATE_HZ))
        x = np.random.default_rng(0).normal(size=(8 * RATE_HZ, 1))
        rates = []
        for number, window in enumerate(windows(x)):
            listening.take(window, round(max(number, 9) * 0.2e9 / 1.02))
            rates.append(listening.heard().rate_hz)
        known = [rate for rate in rates if rate]
        assert len(known) > 5
        assert known == [pytest.approx(1.02 * RATE_HZ, rel=1e-3)] * len(known)

    def test_lost_samples_are_counted(self):
        """By the jumps of the windows' numbers."""
        listening = ear(replay.Config("x.npz", 1.0, 1.0, RATE_HZ))
        for window in windows(np.random.default_rng(0).normal(size=(4 * RATE_HZ, 1))):
            if window.seq not in {3, 4, 9}:
                listening.take(window, 0)
        assert listening.heard().gaps == 2


@pytest.fixture
def told(tmp_path, capsys):
    """Writes a config, runs the command, gives what it printed."""

    def run(source: str, *options: str, code: int = 0) -> str:
        path = tmp_path / "edge.toml"
        path.write_text(CONFIG + source)
        assert main("doctor", ["--sensor", "--config", str(path), *options]) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


def recording(folder: Path, *, seconds: float) -> str:
    x = np.random.default_rng(0).normal(size=(round(seconds * RATE_HZ), 2)).astype(np.float32)
    np.savez(folder / "x.npz", data=x, fs=float(RATE_HZ))
    return 'type = "replay"\npath = "x.npz"\nwindow_s = 1.0\nhop_s = 10.0\nspeed = 0.0'


class TestCommand:
    """`vedette doctor --sensor`."""

    def test_shows_every_second_and_then_the_sum(self, told, tmp_path):
        """For people."""
        lines = told(recording(tmp_path, seconds=9), "--seconds", "4").splitlines()
        live = [line for line in lines if "RMS and peak:" in line]
        assert len(live) == 4
        assert all(line.startswith("p ") and "8000.00 Hz" in line for line in live)
        assert "ok   p: 4.0 s at 8000.00 Hz" in lines
        (second,) = [line for line in lines if line.startswith("ok   p channel 2: RMS ")]
        assert second.endswith("full scale unknown")

    def test_gives_the_numbers_to_programs(self, told, tmp_path):
        """One object, nothing else."""
        report = json.loads(told(recording(tmp_path, seconds=3), "--seconds", "2", "--json"))
        assert report["ok"]
        (heard,) = report["sensors"]
        assert (heard["pipeline"], heard["rate_hz"], heard["gaps"]) == ("p", 8000.0, 0)
        assert [one["rms"] for one in heard["channels"]] == [pytest.approx(1.0, rel=0.02)] * 2
        assert {"what", "text", "level", "fix"} == set(report["findings"][0])

    def test_what_is_shorter_than_a_breath_is_told(self, told, tmp_path):
        """No window came of it."""
        said = told(recording(tmp_path, seconds=0.1), code=1)
        assert "FAIL p: ends before 0.2 s have come; fix: a longer recording" in said

    def test_a_sensor_that_is_not_there_fails_with_its_fix(self, told, tmp_path):
        """As its source says it."""
        source = (
            f'type = "adxl"\nchip = "adxl345"\nrate_hz = 800\ndevice = "{tmp_path}/spidev0.0"\n'
        )
        said = told(source + "window_s = 1\nhop_s = 1", code=1)
        assert "FAIL p: adxl345 at " in said
        assert "; fix: switch the SPI bus on" in said

    def test_a_camera_is_not_listened_to(self, told):
        """Its picture is looked at by `vedette check`."""
        said = told('type = "camera"\nurl = "rtsp://127.0.0.1:1/"')
        assert "ok   p: no signal but pictures: vedette check opens it" in said

    def test_a_wrong_config_is_78(self, told):
        """Like everywhere."""
        assert "no key 'door'" in told('type = "simulate"\ndoor = 1', code=78)

    @pytest.mark.slow
    def test_an_iio_accelerometer_through_its_child(self, told, tmp_path):
        """Three percent too slow: that is measured, and no reason to worry."""
        fake_iio.plant(tmp_path, 0, fake_iio.ADXL355, trigger="adxl355-dev0")
        scans = partial(fake_iio.adxl355_scans, rate_hz=970.0)
        player = fake_iio.Player(tmp_path / "dev/iio:device0", scans, rate_hz=970.0)
        source = f'type = "iio"\ndevice = "adxl355"\nrate_hz = 1000\nroot = "{tmp_path}"\n'
        try:
            said = told(source + "window_s = 1\nhop_s = 1", "--seconds", "2", "--json")
        finally:
            player.close()
        (heard,) = json.loads(said)["sensors"]
        assert heard["rate_hz"] == pytest.approx(970.0, rel=1e-3)
        assert heard["asked_hz"] == 1000.0
        assert len(heard["channels"]) == 3
        assert json.loads(said)["ok"]


def test_a_sensor_that_the_service_reads_is_no_fault(tmp_path, monkeypatch, capsys):
    """Without the service it is: somebody else has it."""
    from edge import doctor

    device = tmp_path / "spidev0.0"
    source = f'type = "adxl"\nchip = "adxl345"\nrate_hz = 800\ndevice = "{device}"\n'
    (tmp_path / "edge.toml").write_text(CONFIG + source + "window_s = 1\nhop_s = 1\n")

    def examined() -> dict:
        doctor.main(tmp_path / "edge.toml", as_json=True)
        report = json.loads(capsys.readouterr().out)
        return next(one for one in report["findings"] if one["what"] == "source of p")

    with device.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        alone = examined()
        assert (alone["level"], "stop the program" in alone["fix"]) == ("fail", True)
        monkeypatch.setattr("edge.outbox_view.holder", lambda _path: os.getpid())
        text = f"in use, as it should be while the service runs (process {os.getpid()})"
        assert (examined()["level"], examined()["text"]) == ("ok", text)
