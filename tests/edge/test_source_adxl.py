"""ADXL345 and ADXL355 against chips that behave as their data sheets say, byte by byte."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import fake_adxl
import fake_spi
import msgspec
import numpy as np
import pytest
from fake_out import Taken

from contract.explain import explain
from contract.machine import Machine
from edge import adxl345, adxl355, sources
from edge.adxl345 import Adxl345
from edge.adxl355 import Adxl355
from edge.capture import Capture, Item
from edge.errors import SourceError
from edge.sampled import Blocks, SampledSource
from edge.sources import adxl
from edge.spi import SpiDev

G = 9.80665
CHIPS = ["adxl345", "adxl355"]
RATES = {"adxl345": 3200.0, "adxl355": 4000.0}


class Time:
    """Passes only while somebody waits, and never quite as asked: a board with other work."""

    def __init__(self, *, late_s: float = 0.0, hiccup_s: float = 0.0):
        """Each wait is `late_s` longer on average, each 50th `hiccup_s`."""
        self.ns = 10**9
        self.end_ns = 10**18
        self._late_s, self._hiccup_s = late_s, hiccup_s
        self._rng = np.random.default_rng(0)
        self._waits = 0

    def now_ns(self) -> int:
        return self.ns

    def wait(self, seconds: float) -> None:
        self._waits += 1
        late_s = self._rng.exponential(self._late_s)
        late_s += self._hiccup_s if self._waits % 50 == 0 else 0.0
        self.ns += round((seconds + late_s) * 1e9)
        if self.ns > self.end_ns:
            raise EOFError


class Board:
    """One chip, its driver, and what comes of it."""

    def __init__(self, path: Path, name: str, *, time=None, rate_hz=None, range_g=2, **chip):
        self.time = time or Time()
        self.rate_hz = rate_hz or RATES[name]
        self.fake = fake_adxl.CHIPS[name](self.time.now_ns, **chip)
        self.kernel = fake_spi.Kernel(self.fake)
        registers, make = (adxl345, Adxl345) if name == "adxl345" else (adxl355, Adxl355)
        bus = SpiDev(
            str(path), mode=registers.SPI_MODE, speed_hz=5_000_000, ioctl=self.kernel.ioctl
        )
        self.chip = make(bus, rate_hz=self.rate_hz, range_g=range_g)
        self.taken = Taken()

    def run(self, seconds: float) -> list:
        """What was put meanwhile."""
        self.time.end_ns = self.time.ns + round(seconds * 1e9)
        blocks = Blocks(self.taken, rate_hz=self.rate_hz)
        with pytest.raises(EOFError):
            adxl.hand_on(
                self.chip,
                blocks,
                rate_hz=self.rate_hz,
                now_ns=self.time.now_ns,
                wait=self.time.wait,
            )
        return self.taken.puts

    def counts(self) -> np.ndarray:
        """What has been put, (samples, 3) int."""
        together = np.concatenate([data for data, *_ in self.taken.puts])
        return np.round(together / self.chip.unit_per_count).astype(int)


class Played:
    """In place of `Capture`."""

    def __init__(self, items):
        self._items = items

    def items(self):
        return iter(self._items)


@pytest.fixture(params=CHIPS)
def name(request):
    return request.param


@pytest.fixture
def board(tmp_path):
    def make(name, **options) -> Board:
        path = tmp_path / "spidev0.0"
        path.touch()
        return Board(path, name, **options)

    return make


class TestReading:
    """By the FIFO."""

    def test_no_sample_is_missing_or_read_twice(self, board, name):
        """y counts them; at the highest rate, on a board that is late now and then."""
        here = board(name, time=Time(late_s=0.0002, hiccup_s=0.002), error=0.04)
        here.chip.start()
        here.run(10)
        assert len(here.counts()) > 9.9 * here.rate_hz
        assert set(np.diff(here.counts()[:, 1]) % 4000) == {1}
        assert not any(is_after_gap for *_, is_after_gap in here.taken.puts)

    def test_the_rate_is_the_one_it_has_not_the_one_it_was_told(self, board, name):
        """Off by four percent; the true frequency of a tone follows from it."""
        here = board(name, time=Time(late_s=0.0005), error=-0.04, tone_hz=118.4)
        here.chip.start()
        here.run(12)
        known = [rate_hz for _, _, rate_hz, _ in here.taken.puts if rate_hz]
        assert known[0] == pytest.approx(here.fake.rate_hz, rel=1e-3)
        assert known[-1] == pytest.approx(here.fake.rate_hz, rel=2e-4)
        x = here.counts()[-8192:, 0] * np.hanning(8192)
        at = np.argmax(np.abs(np.fft.rfft(x, 1 << 17)))
        assert at * known[-1] / (1 << 17) == pytest.approx(118.4, rel=1e-3)

    def test_an_explanation_names_the_true_frequency(self, board, name):
        """A chip 4 % too slow; by its nominal rate the tone would be called 123.3 Hz."""
        quiet = {"amplitude": 13 if name == "adxl345" else 13_000}  # 0.5 m/s^2
        here = board(name, time=Time(late_s=0.0002), error=-0.04, tone_hz=118.4, **quiet)
        here.chip.start()
        puts = here.run(9)
        items = [Item(n, t, data, hz) for n, (data, t, hz, _) in enumerate(puts)]
        config = adxl.Config(name, here.rate_hz, 1.0, 1.0, range_g=2)
        source = SampledSource(config, Played(items), name="p", what=name)
        rng = np.random.default_rng(0)
        noise = rng.normal(0, 0.1, (10, round(here.rate_hz), 1)).astype(np.float32)
        window = list(source.windows())[-1]
        window = replace(window, data=window.data[:, :1] + noise[0])
        said = explain(window, list(noise[1:]), Machine()).text
        found = re.search(r"(\d+\.?\d*) Hz", said)
        assert float(found[1]) == pytest.approx(118.4, rel=5e-3), said

    @pytest.mark.parametrize(
        ("name", "range_g", "one_g"),
        [
            ("adxl345", 2, 256),
            ("adxl345", 16, 256),
            ("adxl355", 2, 256_000),
            ("adxl355", 8, 64_000),
        ],
    )
    def test_one_g_is_one_g(self, board, name, range_g, one_g):
        """Sensitivities of the data sheets."""
        here = board(name, range_g=range_g, z=-one_g)
        here.chip.start()
        here.run(1)
        assert here.taken.puts[0][0][:, 2] == pytest.approx(-G)

    @pytest.mark.parametrize(
        ("name", "rate_hz"),
        [
            *(("adxl345", hz) for hz in adxl345.RATES_HZ),
            *(("adxl355", hz) for hz in adxl355.RATES_HZ),
        ],
    )
    def test_every_rate_is_set(self, board, name, rate_hz):
        """As the chip understands the register."""
        here = board(name, rate_hz=rate_hz)
        here.chip.start()
        assert here.fake.nominal_hz() == rate_hz
        here.run(20)
        assert here.taken.puts[-1][2] == pytest.approx(rate_hz, rel=2e-3)


class TestHoles:
    """Samples that the chip had to throw away."""

    def test_an_overrun_is_a_gap_and_nothing_is_joined_across_it(self, board, name):
        """The device was away for 30 ms."""
        here = board(name)
        here.chip.start()
        here.run(1)
        here.time.ns += 30_000_000
        here.run(1)
        gaps = [number for number, put in enumerate(here.taken.puts) if put[3]]
        assert len(gaps) == 1
        for data, *_ in here.taken.puts:
            ramp = np.round(data[:, 1] / here.chip.unit_per_count).astype(int)
            assert set(np.diff(ramp) % 4000) <= {1}

    def test_an_overrun_between_two_looks_of_one_reading_is_seen(self, board, name):
        """The process was put aside just after it had asked how many there are."""
        here = board(name)
        here.chip.start()
        here.time.ns += 5_000_000
        answer, messages = here.kernel.ioctl, itertools.count()

        def ioctl(*arguments):
            if next(messages) == 1:
                here.time.ns += 30_000_000
            return answer(*arguments)

        here.chip._bus._ioctl = ioctl
        assert here.chip.read() is None
        here.time.ns += 5_000_000
        assert here.chip.read() is not None

    def test_no_new_window_is_begun_with_what_came_before(self, board, name):
        """What was gathered before the hole and after it are two blocks."""
        here = board(name)
        here.chip.start()
        here.run(0.05)
        here.time.ns += 30_000_000
        assert here.chip.read() is None
        assert len(here.chip.read()) == 0

    @pytest.mark.parametrize("skip", [1, 2, 4])
    def test_axes_out_of_step_are_set_right_by_the_marker(self, board, skip):
        """Of the ADXL355: entries of one axis each; x is never taken for y."""
        here = board("adxl355", amplitude=0)
        here.chip.start()
        here.time.ns += 5_000_000
        assert len(here.chip.read()) == 20
        here.fake.skip = skip
        here.time.ns += 5_000_000
        assert here.chip.read() is None
        for _ in range(3):
            here.time.ns += 5_000_000
            counts = here.chip.read()
            assert len(counts) in {19, 20, 21}
            assert set(counts[:, 0]) == {0}
            assert set(counts[:, 2]) == {64_000}
            assert set(np.diff(counts[:, 1])) == {1}


class TestNotThere:
    """Wires, power, another chip."""

    @pytest.mark.parametrize("level", [0x00, 0xFF])
    def test_nothing_on_the_bus(self, board, name, level):
        """The line lies low, or high."""
        here = board(name)
        here.fake.wires = level
        with pytest.raises(
            SourceError, match=rf"no {name.upper()}: id .*{level:02x}.*; fix: its wires"
        ):
            here.chip.start()

    @pytest.mark.parametrize("level", [0x00, 0xFF])
    def test_unplugged_while_it_measures(self, board, name, level):
        """Not one sample is made of what the empty line says."""
        here = board(name)
        here.chip.start()
        here.run(1)
        before = len(here.counts())
        here.fake.wires = level
        with pytest.raises(SourceError, match="fix: its wires"):
            here.run(1)
        assert len(here.counts()) == before

    def test_unplugged_within_one_reading(self, board):
        """Between the number of samples and the samples."""
        here = board("adxl345")
        here.chip.start()
        here.time.ns += 5_000_000
        answer, messages = here.kernel.ioctl, itertools.count()

        def ioctl(*arguments):
            if next(messages) == 1:
                here.fake.wires = 0xFF
            return answer(*arguments)

        here.chip._bus._ioctl = ioctl
        with pytest.raises(SourceError, match="id 0xff"):
            here.chip.read()

    @pytest.mark.parametrize("other", ["adxl355", "adxl345"])
    def test_the_other_chip(self, board, other):
        """The config says which one is meant; even where it would answer in that SPI mode."""
        asked = next(one for one in CHIPS if one != other)
        here = board(asked)
        here.fake = here.kernel.chip = fake_adxl.CHIPS[other](here.time.now_ns)
        here.fake.spi_mode = here.kernel.told[0x6B01]
        with pytest.raises(
            SourceError, match=rf"no {asked.upper()}: id .*; chip, if it is another"
        ):
            here.chip.start()

    def test_wires_too_long_are_seen_at_the_start(self, board, name):
        """What was written does not come back."""
        here = board(name, rate_hz=RATES[name] / 2)
        here.fake.registers = _Deaf(here.fake.registers)
        with pytest.raises(
            SourceError, match=r"register 0x2[8c] is .* was written; fix: shorter wires"
        ):
            here.chip.start()

    def test_a_power_cut_of_the_chip_gives_no_data(self, board, name):
        """It measures nothing until it is set up again; the parent notices the silence."""
        here = board(name)
        here.chip.start()
        here.run(1)
        here.fake.registers = here.fake.after_reset()
        here.fake.measure(is_on=False)
        before = len(here.taken.puts)
        here.run(5)
        assert len(here.taken.puts) - before <= 1


class _Deaf(dict):
    """Registers of a chip that is not measuring, that no longer change."""

    def __setitem__(self, place, value):
        if place in {0x2D, 0x38}:
            super().__setitem__(place, value)


class TestSource:
    """Through the child, in real time."""

    @pytest.mark.slow
    def test_windows_of_a_chip_that_is_three_percent_too_fast(self, tmp_path, monkeypatch, name):
        """Their rate is the measured one, their samples are all there."""
        root = Path(__file__).resolve().parents[2]
        monkeypatch.setenv("PYTHONPATH", f"{root}:{root / 'tests'}")
        path = tmp_path / "spidev0.0"
        path.touch()
        # slow enough for a FIFO to last while this machine has other work
        rate_hz = 100.0 if name == "adxl345" else 125.0
        config = adxl.Config(name, rate_hz, 0.5, 0.5, device=str(path))
        reader = Capture("fake_adxl", config, what=name, stall_s=config.stall_s)
        windows = SampledSource(config, reader, name="p", what=name).windows()
        taken = list(itertools.islice(windows, 6))
        windows.close()
        for window in taken:
            assert window.data.shape == (round(0.5 * config.rate_hz), 3)
            true_hz = config.rate_hz * (1 + fake_adxl.ERROR)
            assert window.rate_hz == pytest.approx(true_hz, rel=4e-3)
        # even with a gap (a busy machine) what is inside one window belongs together
        y = np.stack([window.data[:, 1] for window in taken])
        step = np.diff(y, axis=1)
        assert np.quantile(step, 0.01) == pytest.approx(np.quantile(step, 0.99), rel=1e-3)

    def test_a_missing_device_is_told_through_the_child(self, tmp_path):
        """With its path and what to do."""
        device = str(tmp_path / "spidev0.0")
        config = adxl.Config("adxl345", 400.0, 1.0, 1.0, device=device)
        windows = sources.open_source(config, name="p", base=Path()).windows()
        with pytest.raises(
            SourceError, match=r"adxl345 at .*No such file.*fix: switch the SPI bus"
        ):
            next(windows)

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"rate_hz": 1000}, "rate_hz = 1000, but the adxl345 knows 25, 50, 100, .*3200"),
            ({"range_g": 3}, "range_g = 3, but the adxl345 knows 2, 4, 8, 16"),
            ({"chip": "adxl355", "range_g": 16}, "the adxl355 knows 2, 4, 8"),
            ({"chip": "adxl999"}, "Invalid enum value 'adxl999'"),
        ],
    )
    def test_what_no_chip_can_do_is_refused_by_the_config(self, wrong, says):
        """With what it can."""
        table = {"type": "adxl", "chip": "adxl345", "rate_hz": 800, "window_s": 1, "hop_s": 1}
        if "chip" in wrong:
            table["rate_hz"] = 500
        with pytest.raises(msgspec.ValidationError, match=says):
            msgspec.convert({**table, **wrong}, adxl.Config)
