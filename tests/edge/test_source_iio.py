"""Linux IIO: recorded sysfs trees, byte streams as drivers pack them, and a pipe as the device."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import fake_iio
import numpy as np
import pytest
from fake_out import Taken
from hypothesis import given
from hypothesis import strategies as st

from edge import iio, sources
from edge.errors import SourceError
from edge.iio import Element
from edge.sampled import Blocks
from edge.sources import iio as source

ONE_G = 256_410 * 0.000038245


def element(name: str, index: int, kind: str) -> Element:
    order, sign, bits, storage, shift = iio._TYPE.fullmatch(kind).groups()
    size = int(storage) // 8
    return Element(name, index, order == "be", sign == "s", int(bits), size, int(shift))


class TestLayout:
    """Where the numbers of a scan lie."""

    @pytest.mark.parametrize(
        ("kinds", "offsets", "scan_bytes"),
        [
            (["le:s12/16>>4"], (0,), 2),
            (["le:s16/16>>0"] * 3, (0, 2, 4), 6),
            (["le:s16/16>>0"] * 3 + ["le:s64/64>>0"], (0, 2, 4, 8), 16),
            (["be:s20/32>>12"] * 3 + ["le:s64/64>>0"], (0, 4, 8, 16), 24),
            (["le:u8/8>>0", "le:s16/16>>0", "le:s32/32>>0", "le:u8/8>>0"], (0, 2, 4, 8), 12),
            (["le:s64/64>>0", "le:u8/8>>0"], (0, 8), 16),
        ],
    )
    def test_is_that_of_the_kernel(self, kinds, offsets, scan_bytes):
        """Each on a multiple of its size, the whole of the largest."""
        found = iio.layout([element(f"e{n}", n, kind) for n, kind in enumerate(kinds)])
        assert (found.offsets, found.scan_bytes) == (offsets, scan_bytes)

    def test_goes_by_the_index_not_by_the_name(self):
        """The driver's order; gaps in it are elements that are off."""
        found = iio.layout([element("a", 7, "le:s32/32>>0"), element("b", 2, "le:s16/16>>0")])
        assert [one.name for one in found.elements] == ["b", "a"]
        assert found.offsets == (0, 4)

    @pytest.mark.parametrize(
        ("kind", "raw", "value"),
        [
            ("le:s12/16>>4", "f07f", 2047),
            ("le:s12/16>>4", "0080", -2048),
            ("le:s12/16>>4", "ffff", -1),  # what lies below the shift is noise
            ("be:s12/16>>0", "ffff", -1),  # what lies above the bits too
            ("be:s12/16>>0", "f7ff", 2047),
            ("be:u12/16>>0", "0fff", 4095),
            ("be:s20/32>>12", "80000000", -(2**19)),
            ("be:s24/32>>8", "7fffff00", 2**23 - 1),
            ("le:u8/8>>0", "ff", 255),
            ("le:s64/64>>0", "ffffffffffffffff", -1),
            ("le:u32/32>>0", "ffffffff", 2**32 - 1),
            ("le:s14/16>>2", "0480", -8191),
        ],
    )
    def test_numbers_are_cut_out_and_signed(self, kind, raw, value):
        """As the type says."""
        plan = iio.layout([element("a", 0, kind)])
        assert iio.decode(bytes.fromhex(raw) * 3, plan)["a"].tolist() == [value] * 3

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([8, 16, 32, 64]),
                st.integers(1, 64),
                st.integers(0, 63),
                st.booleans(),
                st.booleans(),
            ),
            min_size=1,
            max_size=6,
        ),
        st.randoms(use_true_random=False),
    )
    def test_what_was_packed_is_unpacked(self, kinds, random):
        """Any mixture of elements, with noise in every bit that does not count."""
        elements, packed, values = [], b"", {}
        for n, (storage, most_bits, most_shift, is_big, may_sign) in enumerate(kinds):
            size, bits = storage // 8, min(most_bits, storage)
            shift = min(most_shift, storage - bits)
            is_signed = may_sign or bits == 64  # larger than any clock or count
            elements.append(Element(f"e{n}", n, is_big, is_signed, bits, size, shift))
            raw = random.getrandbits(storage)
            value = raw >> shift & ((1 << bits) - 1)
            values[f"e{n}"] = value - (1 << bits) * (is_signed and value >> (bits - 1))
            packed += bytes(-len(packed) % size)
            packed += raw.to_bytes(size, "big" if is_big else "little")
        packed += bytes(-len(packed) % max(element.size for element in elements))
        plan = iio.layout(elements)
        assert plan.scan_bytes == len(packed)
        decoded = iio.decode(packed * 2, plan)
        assert {name: found.tolist() for name, found in decoded.items()} == {
            name: [value] * 2 for name, value in values.items()
        }


@pytest.fixture
def adxl355(tmp_path):
    """Its folder; other devices are there too."""
    fake_iio.plant(tmp_path, 0, {"name": "cpu-adc", "in_voltage0_raw": "12"})
    return fake_iio.plant(tmp_path, 1, fake_iio.ADXL355, trigger="adxl355-dev1")


@pytest.fixture
def lis3dh(tmp_path):
    return fake_iio.plant(tmp_path, 0, fake_iio.LIS3DH, trigger="lis3dh_accel-trigger")


def config(tmp_path, **options) -> source.Config:
    asked = {"device": "adxl355", "rate_hz": 1000.0, "window_s": 0.2, "hop_s": 0.2}
    return source.Config(**{**asked, "root": str(tmp_path), **options})


def read_all(asked: source.Config, pieces, *, passes_s: float = 0.1, late: int = -1) -> Taken:
    """What becomes of the bytes; so much time passes before each piece, and 3 s before `late`."""
    taken, ns, number = Taken(), [10**9], itertools.count()

    def read(_size: int) -> bytes:
        ns[0] += 3 * 10**9 if next(number) == late else round(passes_s * 1e9)
        return next(left, b"")

    left = iter(pieces)
    blocks = Blocks(taken, rate_hz=asked.rate_hz)
    device = iio.Device(Path(asked.root), asked.device)
    stream = source.Stream(asked, device, blocks, now_ns=lambda: ns[0])
    with pytest.raises(SourceError, match="delivers no more; fix: is it still there"):
        stream.hand_on(read)
    return taken


class TestSettings:
    """What is written to sysfs, and what is refused."""

    def test_channels_rate_trigger_clock_and_buffer(self, tmp_path, adxl355):
        """The temperature is switched off, the clock is not the one that is set by time servers."""
        read_all(config(tmp_path), [])
        now = {name: (adxl355 / name).read_text().strip() for name in fake_iio.ADXL355}
        assert {name for name, text in now.items() if name.endswith("_en") and text == "1"} == {
            f"scan_elements/in_{one}_en" for one in ("accel_x", "accel_y", "accel_z", "timestamp")
        }
        assert now["in_accel_sampling_frequency"] == "1000"
        assert now["trigger/current_trigger"] == "adxl355-dev1"
        assert now["current_timestamp_clock"] == "monotonic"
        assert (now["buffer/length"], now["buffer/watermark"]) == ("2000", "100")
        assert now["buffer/enable"] == "1"

    def test_another_device_with_that_name_must_be_named_by_its_number(self, tmp_path, adxl355):
        """And then it is the one."""
        other = fake_iio.plant(tmp_path, 2, fake_iio.ADXL355, trigger="adxl355-dev2")
        with pytest.raises(SourceError, match=r"2 devices .*'adxl355'.*iio:device2 \(adxl355\)"):
            read_all(config(tmp_path), [])
        read_all(config(tmp_path, device="iio:device2", trigger="adxl355-dev2"), [])
        assert (other / "buffer/enable").read_text() == "1"
        assert (adxl355 / "buffer/enable").read_text() == "0\n"

    def test_a_hrtimer_trigger_gets_the_rate_where_the_device_has_none(self, tmp_path):
        """Sensors without an interrupt line are sampled by a timer."""
        files = {name: text for name, text in fake_iio.LIS3DH.items() if "sampling" not in name}
        fake_iio.plant(tmp_path, 0, files, trigger="timer0")
        rate = tmp_path / "sys/bus/iio/devices/trigger0/sampling_frequency"
        rate.write_text("100")
        read_all(config(tmp_path, device="lis3dh_accel", rate_hz=400.0, trigger="timer0"), [])
        assert rate.read_text() == "400"

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"device": "door"}, r"0 devices are called 'door'; there are: .*device1 \(adxl355\)"),
            ({"device": "cpu-adc"}, "buffers no acceleration; it has: nothing"),
            ({"channels": ["accel_w"]}, r"no 'accel_w' to be buffered; there are: accel_x, "),
            ({"trigger": "door"}, r"no trigger 'door'; fix: trigger, one of: adxl355-dev1"),
        ],
    )
    def test_what_is_not_there_is_answered_with_what_is(self, tmp_path, adxl355, options, says):
        """So that the config can be corrected."""
        buffer = tmp_path / "sys/bus/iio/devices/iio:device0/buffer"
        buffer.mkdir()
        with pytest.raises(SourceError, match=says):
            read_all(config(tmp_path, **options), [])

    def test_a_device_without_a_trigger_of_its_own_says_why(self, tmp_path):
        """Its interrupt line."""
        fake_iio.plant(tmp_path, 0, fake_iio.ADXL355)
        with pytest.raises(SourceError, match=r"has no trigger of its own; fix: .*interrupt line"):
            read_all(config(tmp_path), [])

    def test_a_type_of_several_numbers_is_refused(self, tmp_path, adxl355):
        """An orientation, say."""
        (adxl355 / "scan_elements/in_accel_x_type").write_text("le:s16/16X4>>0")
        with pytest.raises(SourceError, match="'le:s16/16X4>>0' is not one number per scan"):
            read_all(config(tmp_path), [])

    def test_a_channel_without_a_scale_is_refused(self, tmp_path, adxl355):
        """Its counts would pass for m/s^2."""
        (adxl355 / "in_accel_scale").unlink()
        with pytest.raises(SourceError, match="'accel_x' has no scale"):
            read_all(config(tmp_path), [])

    @pytest.mark.parametrize("code", [13, 16, 22, 30])
    def test_what_the_kernel_refuses_is_told_with_one_fix(
        self, tmp_path, adxl355, code, monkeypatch
    ):
        """No right, in use, no such rate, a read-only sysfs."""
        write = Path.write_text

        def refuse(path, *arguments, **options):
            if path.name == "in_accel_sampling_frequency":
                raise OSError(code, "refused")
            return write(path, *arguments, **options)

        monkeypatch.setattr(Path, "write_text", refuse)
        with pytest.raises(SourceError) as failure:
            read_all(config(tmp_path), [])
        fix = {13: "let this user write", 16: "stop the program", 22: "rate_hz, one of 4000"}
        said = str(failure.value)
        assert said.count("; fix: ") == 1
        assert fix.get(code, fix[13]) in said.partition("; fix: ")[2]

    def test_a_driver_that_keeps_its_own_rate_is_told(self, tmp_path, adxl355, monkeypatch):
        """It took the number and did something else."""
        write = Path.write_text

        def stubborn(path, text, **options):
            return write(path, "250" if path.name.endswith("frequency") else text, **options)

        monkeypatch.setattr(Path, "write_text", stubborn)
        with pytest.raises(SourceError, match=r"samples at 250 Hz, not 1000; fix: .*one of 4000"):
            read_all(config(tmp_path), [])


def in_pieces(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


class TestStream:
    """Recorded bytes through the code that reads the device."""

    @pytest.mark.parametrize("size", [24, 2400, 1001])
    def test_every_sample_arrives_in_its_unit(self, tmp_path, adxl355, size):
        """However the bytes are cut."""
        raw = fake_iio.adxl355_scans(0, 3000, rate_hz=1000.0)
        taken = read_all(config(tmp_path), in_pieces(raw, size), passes_s=size / 24_000)
        data = np.concatenate([data for data, *_ in taken.puts])
        assert data.dtype == np.float32
        assert len(data) >= 2900
        assert np.round(data[:, 1] / 0.000038245).tolist() == list(range(len(data)))
        assert data[:, 2] == pytest.approx(-ONE_G, rel=1e-5)
        assert not any(is_after_gap for *_, is_after_gap in taken.puts)

    def test_scale_and_offset_may_be_each_axis_own(self, tmp_path, lis3dh):
        """(raw + offset) * scale."""
        asked = config(
            tmp_path, device="lis3dh_accel", rate_hz=400.0, channels=["accel_z", "accel_y"]
        )
        # two of three are on, so a scan has four bytes
        raw = np.frombuffer(fake_iio.lis3dh_scans(0, 400), dtype="<i2").reshape(-1, 3)
        taken = read_all(asked, in_pieces(raw[:, 1:].tobytes(), 160))
        data = np.concatenate([data for data, *_ in taken.puts])
        assert data[:, 0] == pytest.approx(1000 * 0.009806, rel=1e-5)
        assert np.round(data[:, 1] / -0.009806).tolist() == list(range(400))

    def test_the_rate_is_that_of_the_stamps(self, tmp_path, adxl355):
        """Off by 3.7 %, with stamps that are up to a tenth of a sample late."""
        true_hz = 1037.0
        raw = fake_iio.adxl355_scans(0, 10_000, rate_hz=true_hz, jitter_ns=100_000)
        taken = read_all(config(tmp_path), in_pieces(raw, 2400))
        rates = [rate_hz for _, _, rate_hz, _ in taken.puts if rate_hz]
        assert len(rates) > 50
        assert rates == [pytest.approx(true_hz, rel=2e-4)] * len(rates)
        assert not any(is_after_gap for *_, is_after_gap in taken.puts)

    @pytest.mark.parametrize("lost", [1, 2, 50, 5000])
    @pytest.mark.parametrize("at", [50, 4250, 4300])
    def test_a_jump_of_the_stamps_is_a_gap(self, tmp_path, adxl355, lost, at):
        """Also of one sample; with the rate unknown and known, in a read and between two."""
        scans = partial(fake_iio.adxl355_scans, rate_hz=1000.0, jitter_ns=100_000)
        raw = scans(0, at) + scans(at + lost, 1000)
        taken = read_all(config(tmp_path), in_pieces(raw, 2400))
        gaps = [data for data, *_, is_after_gap in taken.puts if is_after_gap]
        assert len(gaps) == 1
        assert round(gaps[0][0, 1] / 0.000038245) == (at + lost) % 4000
        for data, *_ in taken.puts:
            assert set(np.diff(np.round(data[:, 1] / 0.000038245)) % 4000) <= {1}

    def test_stamps_set_back_are_a_gap(self, tmp_path, adxl355):
        """A driver that knows only the clock that time servers set."""
        scans = partial(fake_iio.adxl355_scans, rate_hz=1000.0)
        raw = scans(0, 500, began_ns=10**12) + scans(500, 500, began_ns=10**12 - 10**9)
        taken = read_all(config(tmp_path), in_pieces(raw, 2400))
        assert [is_after_gap for *_, is_after_gap in taken.puts].count(True) == 1

    def test_stamps_that_are_the_same_for_many_are_not_believed(self, tmp_path, adxl355):
        """A driver that empties a FIFO, or never fills them in; our clock counts instead."""
        raw = np.frombuffer(fake_iio.adxl355_scans(0, 5000, rate_hz=1000.0), dtype=np.uint8)
        raw = raw.reshape(-1, 24).copy()
        raw[:, 16:] = 0
        taken = read_all(config(tmp_path), in_pieces(raw.tobytes(), 2400))
        assert sum(len(data) for data, *_ in taken.puts) == 5000
        assert taken.puts[-1][2] == pytest.approx(1000.0)
        assert [is_after_gap for *_, is_after_gap in taken.puts[1:]].count(True) == 0

    def test_without_stamps_a_reading_that_comes_too_late_is_a_gap(self, tmp_path, lis3dh):
        """The buffer was full: it is turned off and on, for what is in it is old."""
        asked = config(tmp_path, device="lis3dh_accel", rate_hz=400.0)
        pieces = [fake_iio.lis3dh_scans(40 * n, 40) for n in range(10)]
        assert len(read_all(asked, pieces, passes_s=1.9).puts) == 10
        taken = read_all(asked, pieces, late=4)
        gaps = [is_after_gap for *_, is_after_gap in taken.puts]
        assert gaps == [False] * 4 + [True] + [False] * 4
        assert round(taken.puts[4][0][0, 0] / 0.009806) == 200


class TestSource:
    """Through the child; the pipe plays in real time."""

    @pytest.mark.slow
    def test_windows_of_a_device_that_is_three_percent_too_slow(self, tmp_path, adxl355):
        """Nothing is missing, and the rate is the true one."""
        scans = partial(fake_iio.adxl355_scans, rate_hz=970.0)
        player = fake_iio.Player(tmp_path / "dev/iio:device1", scans, rate_hz=970.0)
        try:
            windows = sources.open_source(config(tmp_path), name="p", base=Path()).windows()
            taken = list(itertools.islice(windows, 8))
            windows.close()
        finally:
            player.close()
        assert {window.data.shape for window in taken} == {(200, 3)}
        assert [window.rate_hz for window in taken] == [pytest.approx(970.0, rel=1e-3)] * 8
        ramp = np.concatenate([window.data[:, 1] for window in taken]) / 0.000038245
        assert set(np.diff(np.round(ramp)) % 4000) == {1}
        steps = np.diff([window.t_ns for window in taken]) / 1e9
        assert steps == pytest.approx(200 / 970.0, rel=1e-3)

    @pytest.mark.slow
    def test_a_device_that_hangs_is_told(self, tmp_path, adxl355):
        """Inside the kernel's read; the child is killed."""
        scans = partial(fake_iio.adxl355_scans, rate_hz=1000.0)
        player = fake_iio.Player(tmp_path / "dev/iio:device1", scans, rate_hz=1000.0)
        try:
            reading = sources.open_source(config(tmp_path, stall_s=1.0), name="p", base=Path())
            windows = reading.windows()
            next(windows)
            player.is_on.clear()
            with pytest.raises(
                SourceError, match="IIO device adxl355: has delivered nothing for 1 s"
            ):
                list(windows)
        finally:
            player.close()

    def test_a_device_without_a_buffer_is_told(self, tmp_path, adxl355):
        """Its driver cannot be read this way."""
        (tmp_path / "dev/iio:device1").unlink()
        with pytest.raises(
            SourceError, match=r"IIO device adxl355: No such file.*no buffer; see ls"
        ):
            next(sources.open_source(config(tmp_path), name="p", base=Path()).windows())
        assert (adxl355 / "buffer/enable").read_text() == "0\n"
