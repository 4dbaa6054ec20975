"""Recordings in every format, their faults, their pace; and the simulated machine."""

from __future__ import annotations

import threading
import time
import wave

import msgspec
import numpy as np
import pytest

from contract.ops.simulate import RunToFailure
from edge import sources
from edge.errors import SourceError
from edge.sources import replay, simulate

RATE_HZ = 1000.0


def played(path, **options):
    """Every window of a recording, as fast as possible."""
    config = replay.Config(
        path=path.name, **{"window_s": 0.1, "hop_s": 0.1, "speed": 0.0, **options}
    )
    return list(sources.open_source(config, name="p", base=path.parent).windows())


def noise(samples: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(samples, channels)).astype(np.float32)


def write_wav(path, counts: np.ndarray, *, bits: int, rate_hz: int = 1000) -> None:
    """(samples, channels) integers of so many bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(counts.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate_hz)
        raw = counts.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : bits // 8]
        file.writeframes(raw.tobytes())


class TestNpz:
    """Snapshots with gaps between them, or one continuous recording."""

    def test_the_layout_of_pronostia_gives_a_window_per_snapshot(self, tmp_path):
        """Integers with a scale, their own times, one missing."""
        path = tmp_path / "b.npz"
        counts = np.random.default_rng(0).integers(-3000, 3000, (4, 100, 2)).astype(np.int16)
        np.savez(
            path, acc=counts, scale=0.001, fs=RATE_HZ, interval_s=10.0, index=np.array([1, 2, 4, 5])
        )
        got = played(path)
        assert [w.seq for w in got] == [0, 1, 2, 3]
        assert [w.t_ns for w in got] == [round(s * 1e9) for s in (0.1, 10.1, 30.1, 40.1)]
        assert got[0].rate_hz == RATE_HZ
        for w, snapshot in zip(got, counts, strict=True):
            np.testing.assert_allclose(w.data, snapshot * 0.001, rtol=1e-5)

    def test_no_window_spans_two_snapshots(self, tmp_path):
        """Each is shorter than two windows and longer than one."""
        path = tmp_path / "b.npz"
        samples = np.arange(3 * 150, dtype=np.float32).reshape(3, 150, 1)
        np.savez(path, acc=samples, fs=RATE_HZ)
        got = played(path)
        assert [w.data[0, 0] for w in got] == [0, 150, 300]

    def test_two_axes_are_one_continuous_recording(self, tmp_path):
        """Called `data`; the config gives the rate and a scale."""
        path = tmp_path / "c.npz"
        samples = noise(2550)
        np.savez(path, data=samples)
        got = played(path, rate_hz=RATE_HZ, scale=2.0)
        assert len(got) == 25
        np.testing.assert_allclose(np.concatenate([w.data for w in got]), 2 * samples[:2500])
        assert got[-1].t_ns == 2_500_000_000

    def test_a_missing_rate_is_told_with_its_fix(self, tmp_path):
        """It cannot be guessed."""
        path = tmp_path / "c.npz"
        np.savez(path, data=noise(300))
        with pytest.raises(SourceError, match=r"c\.npz: no sample rate.*rate_hz"):
            played(path)

    def test_a_rate_that_is_not_the_recordings_is_refused(self, tmp_path):
        """Every frequency would be wrong."""
        path = tmp_path / "c.npz"
        np.savez(path, data=noise(300), fs=RATE_HZ)
        with pytest.raises(SourceError, match=r"c\.npz: recorded at 1000 Hz.*rate_hz = 2000"):
            played(path, rate_hz=2000.0)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_wav_of_every_width_has_full_scale_one(tmp_path, bits):
    """Both ends of the range, two channels in their order."""
    path = tmp_path / "w.wav"
    full = 2 ** (bits - 1)
    counts = np.tile([[full - 1, -full], [0, full // 2]], (100, 1))
    write_wav(path, counts, bits=bits)
    got = np.concatenate([w.data for w in played(path)])
    np.testing.assert_allclose(got, counts / full, atol=1e-6)


def test_wav_of_eight_bits_is_refused(tmp_path):
    """With what is needed instead."""
    path = tmp_path / "w.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, 1000, 0, "NONE", ""))
        file.writeframes(bytes(300))
    with pytest.raises(SourceError, match=r"w\.wav.*8 bit.*16, 24 or 32"):
        played(path)


@pytest.mark.parametrize("header", ["", "x,y\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
def test_csv_is_read_with_and_without_a_header(tmp_path, header, delimiter):
    """Comma, semicolon, tab or space."""
    path = tmp_path / "c.csv"
    samples = noise(200)
    rows = "\n".join(f"{x:.6f}{delimiter}{y:.6f}" for x, y in samples)
    path.write_text(header.replace(",", delimiter) + rows + "\n")
    got = np.concatenate([w.data for w in played(path, rate_hz=RATE_HZ)])
    np.testing.assert_allclose(got, samples, atol=1e-5)


def test_csv_of_one_column_is_one_channel(tmp_path):
    """Without any delimiter."""
    path = tmp_path / "c.csv"
    path.write_text("\n".join(str(i) for i in range(200)))
    (first, second) = played(path, rate_hz=RATE_HZ)
    assert first.data.shape == (100, 1)
    assert second.data[0, 0] == 100


def npz_bytes(path, **arrays) -> bytes:
    np.savez_compressed(path, **arrays)
    return path.read_bytes()


def flipped(raw: bytes) -> bytes:
    """A bit of the compressed samples is another."""
    at = len(raw) // 3
    return raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :]


class TestFaults:
    """A file that cannot be played is named, with the reason, and is a SourceError."""

    @pytest.mark.parametrize("name", ["a.npz", "a.wav", "a.csv"])
    def test_a_missing_file(self, tmp_path, name):
        """Of every format."""
        with pytest.raises(SourceError, match=rf"{name}.*No such file"):
            played(tmp_path / name, rate_hz=RATE_HZ)

    @pytest.mark.parametrize("name", ["a.npz", "a.wav", "a.csv"])
    @pytest.mark.parametrize("raw", [b"", b"\xffjunk\x00" * 40], ids=["empty", "junk"])
    def test_a_corrupt_file(self, tmp_path, name, raw):
        """Empty, or anything else."""
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(SourceError, match=name):
            played(tmp_path / name, rate_hz=RATE_HZ)

    @pytest.mark.parametrize("damage", [flipped, lambda raw: raw[: len(raw) // 2]])
    def test_a_damaged_npz(self, tmp_path, damage):
        """Compressed, as the data sets are."""
        path = tmp_path / "a.npz"
        path.write_bytes(damage(npz_bytes(path, data=noise(5000), fs=RATE_HZ)))
        with pytest.raises(SourceError, match=r"a\.npz"):
            played(path)

    @pytest.mark.parametrize(
        "arrays",
        [
            {"other": noise(10)},
            {"data": noise(10)[:, 0]},
            {"data": np.array([["a", "b"]] * 200)},
            {"acc": noise(400).reshape(2, 200, 2), "index": np.array([1, 2, 3])},
            {"data": noise(0)},
        ],
        ids=["no samples", "one axis", "text", "index of another length", "nothing"],
    )
    def test_an_npz_with_other_content(self, tmp_path, arrays):
        """Opened, but not a recording."""
        path = tmp_path / "a.npz"
        np.savez(path, **arrays)
        with pytest.raises(SourceError, match=r"a\.npz"):
            played(path, rate_hz=RATE_HZ)

    def test_an_array_that_is_no_archive(self, tmp_path):
        """A .npy file under the other name."""
        path = tmp_path / "a.npz"
        with path.open("wb") as file:
            np.save(file, noise(300))
        with pytest.raises(SourceError, match=r"a\.npz"):
            played(path, rate_hz=RATE_HZ)

    def test_a_csv_with_a_hole(self, tmp_path):
        """Rows of different lengths."""
        path = tmp_path / "a.csv"
        path.write_text("1,2\n3,4\n5\n")
        with pytest.raises(SourceError, match=r"a\.csv"):
            played(path, rate_hz=RATE_HZ)

    def test_an_unknown_format_is_told_with_the_known_ones(self, tmp_path):
        """By the name."""
        (tmp_path / "a.mat").write_bytes(b"")
        with pytest.raises(SourceError, match=r"a\.mat.*\.npz, \.wav, \.csv"):
            played(tmp_path / "a.mat")


def test_recorded_time_passes_at_its_speed(tmp_path):
    """Three seconds at ten times real time; the first block comes at once."""
    path = tmp_path / "c.npz"
    np.savez(path, data=noise(3000), fs=RATE_HZ)
    start = time.monotonic()
    got = played(path, speed=10.0)
    took = time.monotonic() - start
    assert len(got) == 30
    assert 0.18 <= took < 2.0


def test_snapshots_come_when_they_are_due(tmp_path):
    """At real time the second one a third of a second after the first."""
    path = tmp_path / "b.npz"
    np.savez(path, acc=noise(200).reshape(2, 100, 2), fs=RATE_HZ, interval_s=0.3)
    config = replay.Config(path="b.npz", window_s=0.1, hop_s=0.3)
    due = [time.monotonic() for _ in sources.open_source(config, name="p", base=tmp_path).windows()]
    assert 0.25 <= due[1] - due[0] < 1.5


@pytest.mark.parametrize("kind", ["replay", "simulate"])
def test_close_ends_a_source_that_is_waiting(tmp_path, kind):
    """From another thread, long before the next window is due."""
    np.savez(tmp_path / "b.npz", acc=noise(200).reshape(2, 100, 2), fs=RATE_HZ)
    config = {
        "replay": replay.Config(path="b.npz", window_s=0.1, hop_s=3600.0),
        "simulate": simulate.Config(hop_s=3600.0),
    }[kind]
    source = sources.open_source(config, name="p", base=tmp_path)
    got = []
    reader = threading.Thread(target=lambda: got.extend(source.windows()))
    reader.start()
    while not source._pace._start:
        time.sleep(0.01)
    source.close()
    reader.join(5)
    assert not reader.is_alive()
    assert len(got) == 1


class TestSimulate:
    """A device without a sensor."""

    def test_its_windows_are_those_of_the_machine(self, tmp_path):
        """Number, time, rate and samples."""
        config = simulate.Config(seed=5, windows=4, hop_s=2.0, channels=3, speed=0.0)
        got = list(sources.open_source(config, name="p", base=tmp_path).windows())
        machine = RunToFailure(seed=5, windows=4, interval_s=2.0, channels=3)
        assert [w.seq for w in got] == [0, 1, 2, 3]
        assert [w.t_ns for w in got] == [0, 2 * 10**9, 4 * 10**9, 6 * 10**9]
        for i, w in enumerate(got):
            np.testing.assert_array_equal(w.data, machine.window(i))
            assert (w.source, w.rate_hz, w.data.shape) == ("p", 25_600.0, (2560, 3))

    def test_it_is_chosen_by_its_tag(self):
        """As the config file does it."""
        got = msgspec.convert({"type": "simulate", "seed": 9}, sources.AnyConfig)
        assert got == simulate.Config(seed=9)
