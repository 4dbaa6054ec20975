"""The real PortAudio and ALSA on a recorded input; counts, gaps and times on a fake one."""

from __future__ import annotations

import itertools
import os
import re
import select
import sys
import threading
import time
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fake_out import Taken

from edge import capture, sources
from edge.errors import SourceError
from edge.sources import microphone

RATE_HZ = 48_000
AMPLITUDE = 12_000
TONE_HZ = 440
RAMP = 32_000

ASOUND = """
</usr/share/alsa/alsa.conf>
pcm.tone {{
    type file
    slave.pcm {{ type null }}
    file "/dev/null"
    infile "{}"
    format "raw"
}}
"""


def signal() -> bytes:
    """Two channels, four seconds: a tone, and a ramp that shows every missing sample."""
    n = np.arange(4 * RATE_HZ)
    sine = AMPLITUDE * np.sin(2 * np.pi * TONE_HZ * n / RATE_HZ)
    return np.stack([sine, n % RAMP], axis=1).astype("<i2").tobytes()


def set_input(monkeypatch, folder: Path, path: Path) -> None:
    """The only input this machine has."""
    asound = folder / "asound.conf"
    asound.write_text(ASOUND.format(path))
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(asound))


@pytest.fixture
def tone(tmp_path, monkeypatch):
    """A file: it delivers without pause, and at its end the last samples for ever."""
    path = tmp_path / "tone.raw"
    path.write_bytes(signal())
    set_input(monkeypatch, tmp_path, path)


class Instrument:
    """A pipe: what reads it waits, inside ALSA, until there is something."""

    def __init__(self, path: Path) -> None:
        """In real time, a tenth of a second at a time."""
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR)
        self._is_on, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def on(self) -> None:
        self._is_on.set()

    def off(self) -> None:
        self._is_on.clear()

    def close(self) -> None:
        self._ended.set()
        self._is_on.set()
        while self._thread.is_alive():  # it may wait for a reader
            if select.select([self._fd], [], [], 0.05)[0]:
                os.read(self._fd, 1 << 16)
        self._thread.join()
        os.close(self._fd)

    def _play(self) -> None:
        played, step = signal(), RATE_HZ // 10 * 4
        for first in itertools.cycle(range(0, len(played), step)):
            self._is_on.wait()
            if self._ended.wait(0.1):
                return
            os.write(self._fd, played[first : first + step])


@pytest.fixture
def instrument(tmp_path, monkeypatch):
    """Plays in real time."""
    playing = Instrument(tmp_path / "instrument")
    set_input(monkeypatch, tmp_path, tmp_path / "instrument")
    yield playing
    playing.close()


def config(**options) -> microphone.Config:
    asked = {"window_s": 0.5, "hop_s": 0.5, "rate_hz": RATE_HZ, "channels": 2, "device": "tone"}
    return msgspec.convert({"type": "microphone", **asked, **options}, microphone.Config)


def source(**options) -> microphone.MicrophoneSource:
    return sources.open_source(config(**options), name="mic", base=Path())


class TestAlsa:
    """Through the child, PortAudio and ALSA."""

    def test_a_tone_arrives_as_it_was_recorded(self, tone):
        """Pitch, level and unit, however fast it is delivered."""
        windows = source(scale=2.0).windows()
        for window in (next(windows) for _ in range(20)):
            assert window.data.shape == (RATE_HZ // 2, 2)
            assert window.data.dtype == np.float32
            assert window.rate_hz == RATE_HZ
            heard = window.data[:, 0]
            spectrum = np.abs(np.fft.rfft(heard))
            assert np.argmax(spectrum) * 2 == TONE_HZ
            assert heard.max() == pytest.approx(2.0 * AMPLITUDE / 32_768, rel=1e-3)
        windows.close()

    def test_in_real_time_no_sample_is_missing_and_time_is_counted(self, instrument):
        """The ramp goes up by one from sample to sample, through all windows."""
        instrument.on()
        began_s = time.monotonic()
        windows = source(window_s=0.2, hop_s=0.2).windows()
        taken = [next(windows) for _ in range(10)]
        lasted_s = time.monotonic() - began_s
        windows.close()
        ramp = np.concatenate([w.data[:, 1] for w in taken]) * 32_768
        assert set(np.diff(np.round(ramp).astype(int)) % RAMP) == {1}
        assert [w.seq for w in taken] == list(range(10))
        assert [b.t_ns - a.t_ns for a, b in itertools.pairwise(taken)] == [200_000_000] * 9
        assert 1.8 < lasted_s < 8
        assert abs(time.time_ns() - taken[-1].wall_ns) < 3e9

    def test_delivered_too_fast_it_is_dropped_and_counted_instead_of_piling_up(self, tone):
        """A thousand times as fast as real time: the numbers say how much is missing."""
        windows = source(hop_s=0.25).windows()
        seqs = [next(windows).seq]
        time.sleep(1.0)  # far more than ten seconds of sound have come
        seqs += [next(windows).seq for _ in range(100)]
        windows.close()
        assert seqs == sorted(set(seqs))
        assert seqs[-1] > 100

    @pytest.mark.slow
    def test_an_input_that_hangs_is_back_within_ten_seconds(self, instrument):
        """Inside ALSA, where nothing can be interrupted; opened again as the watcher would."""
        instrument.on()
        windows = source(stall_s=1.0).windows()
        next(windows)
        instrument.off()
        hung_s = time.monotonic()
        with pytest.raises(SourceError, match="sound input tone: has delivered nothing for 1 s"):
            list(windows)
        instrument.on()
        time.sleep(1.0)
        again = source(stall_s=1.0).windows()
        next(again)
        assert time.monotonic() - hung_s < 10.0
        again.close()

    def test_an_unknown_input_is_answered_with_those_there_are(self, tone):
        """As the config will need them."""
        with pytest.raises(SourceError, match=r"sound input door: .*'door'; inputs: tone$"):
            next(source(device="door").windows())

    def test_a_rate_the_input_does_not_have_is_named(self, tone):
        """By PortAudio."""
        with pytest.raises(SourceError, match=r"sound input tone: .*(channels|rate)"):
            next(source(channels=64, rate_hz=1_000_000).windows())


class Played:
    """In place of `Capture`: items as given, at once."""

    def __init__(self, *items: tuple[int, float, int]) -> None:
        """(seq, arrival in seconds, samples) of each."""
        self._items = items

    def items(self):
        for seq, t_s, samples in self._items:
            data = np.full((samples, 1), seq, dtype=np.float32)
            yield capture.Item(seq, round(t_s * 1e9), data, 1000.0)


def windows_of(*items: tuple[int, float, int], hop_s: float = 0.2):
    """(seq, end in seconds, first block, last block) of each window, of 1000 Hz and 0.2 s."""
    mic = source(window_s=0.2, hop_s=hop_s, rate_hz=1000, channels=1)
    mic._capture = Played(*items)
    return [
        (w.seq, round(w.t_ns / 1e9, 6), int(w.data[0, 0]), int(w.data[-1, 0]))
        for w in mic.windows()
    ]


class TestTime:
    """Counted in samples, whatever the jitter of their arrival; from the clock after a gap."""

    def test_is_counted(self):
        """The third block came late, the fourth early."""
        got = windows_of((0, 10.0, 100), (1, 10.1, 100), (2, 10.29, 100), (3, 10.3, 100))
        assert got == [(0, 10.1, 0, 1), (1, 10.3, 2, 3)]

    def test_is_read_anew_after_a_gap_and_the_lost_windows_are_counted(self):
        """A second was lost, five windows of it; what was begun before it is not used."""
        got = windows_of(
            (0, 10.0, 100), (1, 10.1, 100), (2, 10.2, 100), (4, 11.3, 100), (5, 11.4, 99)
        )
        assert got == [(0, 10.1, 0, 1)]
        more = windows_of((0, 10.0, 200), (2, 11.2, 200), (3, 11.4, 200))
        assert more == [(0, 10.0, 0, 0), (7, 11.2, 2, 2), (8, 11.4, 3, 3)]

    def test_the_shortest_gap_is_still_one(self):
        """An overrun of a few samples."""
        got = windows_of((0, 10.0, 200), (2, 10.201, 200))
        assert [seq for seq, *_ in got] == [0, 2]

    def test_never_goes_back(self):
        """An input that delivers too fast is ahead of the clock; the gate says `rate_drift`."""
        got = windows_of((0, 10.0, 200), (1, 10.01, 200), (2, 10.02, 200), (4, 10.03, 200))
        times = [t_s for _, t_s, _, _ in got]
        assert times == [10.0, 10.2, 10.4, 10.4]


class TestCounts:
    """Little-endian integers of the converter to the unit of the sensor."""

    @pytest.mark.parametrize("bits", [16, 24, 32])
    def test_full_scale_is_the_scale(self, bits):
        """Up, down, half and the smallest step."""
        full = 2 ** (bits - 1)
        counts = [full - 1, -full, full // 2, 1]
        raw = b"".join(c.to_bytes(bits // 8, "little", signed=True) for c in counts)
        got = microphone.as_samples(raw, config(bits=bits, scale=196.133))
        assert got.dtype == np.float32
        assert got.shape == (2, 2)
        np.testing.assert_allclose(got.ravel(), np.array(counts) / full * 196.133, rtol=1e-6)


class TestAccelerometers:
    """What their certificates say, in m/s^2."""

    def test_counts_per_g_of_a_digital_one(self):
        """One g is one g, whatever is full scale; each channel has its own."""
        given = config(bits=24, counts_per_g=[400_000, 800_000.0])
        raw = b"".join(n.to_bytes(3, "little", signed=True) for n in (400_000, -800_000))
        got = microphone.as_samples(raw, given)
        np.testing.assert_allclose(got, [[9.80665, -9.80665]], rtol=1e-6)

    def test_sensitivity_and_volts_of_an_analogue_one(self):
        """100 mV/g at an input of 2 V peak: full scale is 20 g."""
        given = config(bits=16, sensitivity_mv_per_g=100, full_scale_v=2)
        assert given.full_scale == pytest.approx([196.133, 196.133])
        got = microphone.as_samples((16_384).to_bytes(2, "little") * 2, given)
        np.testing.assert_allclose(got, [[98.0665, 98.0665]], rtol=1e-6)

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"scale": 2.0, "counts_per_g": 1e5}, "counts_per_g and scale say the same thing; fix"),
            ({"sensitivity_mv_per_g": 100.0}, "and full_scale_v need each other; fix: give both"),
            ({"full_scale_v": 2.0}, "and full_scale_v need each other; fix: give both"),
            ({"counts_per_g": [1.0, 2.0, 3.0]}, "counts_per_g has 3 numbers for 2 channels"),
            ({"counts_per_g": 0.0}, "> 0"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, wrong, says):
        """Before anything is measured in the wrong unit."""
        with pytest.raises(msgspec.ValidationError, match=says):
            config(**wrong)

    def test_the_example_of_the_docs_is_one(self):
        """As copied from the page."""
        docs = (Path(__file__).resolve().parents[2] / "docs" / "device.md").read_text()
        (example,) = re.findall(
            r"^```ini\n\[pipeline.source\].*?\n(.*?)```", docs, re.MULTILINE | re.DOTALL
        )
        given = msgspec.convert(tomllib.loads(example), microphone.Config)
        assert given.full_scale == pytest.approx([9.80665 * 98.8142, 9.80665 * 101.3171], rel=1e-5)


class TestMissing:
    """A library that is not there is named, with the command that brings it."""

    def test_sounddevice(self, monkeypatch):
        """The extra was not installed."""
        monkeypatch.setattr(microphone.importlib.util, "find_spec", lambda _name: None)
        with pytest.raises(SourceError, match=r"pip install 'vedette\[edge-audio\]'"):
            source()

    def test_portaudio(self, tmp_path, monkeypatch):
        """The wheel of sounddevice does not hold it; what importing it raises there."""
        (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
        with pytest.raises(SourceError, match=r"not found; fix: apt-get install libportaudio2"):
            microphone.capture(config(), None)


def test_an_input_that_somebody_else_has_is_told_with_the_fix(tmp_path, monkeypatch):
    """As PortAudio says it, by a number."""
    (tmp_path / "sounddevice.py").write_text(
        "class PortAudioError(Exception): pass\n"
        "def RawInputStream(**_): raise PortAudioError('Device unavailable', -9985)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(SourceError, match=r"^is in use; fix: stop the program that reads it"):
        microphone.capture(config(), Taken())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bits": 8}, "Invalid enum value 8"),
        ({"rate_hz": 10}, ">= 1000"),
        ({"channels": 0}, ">= 1"),
    ],
)
def test_what_no_input_could_be_is_refused(options, says):
    """At the start, by the config."""
    with pytest.raises(msgspec.ValidationError, match=says):
        config(**options)
