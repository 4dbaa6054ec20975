"""A disk that is full or fails, a process that is stopped: what is not kept is not acknowledged."""

import contextlib
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from collector_helpers import Collector, alert, encode, health, received
from mqtt_device import Device
from real_broker import Mosquitto, until

import collector.__main__ as command
from collector import queries
from collector.store import DiskError, Store


def mounted(folder, *arguments):
    folder.mkdir()
    done = subprocess.run(["mount", *arguments, str(folder)], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"mounting needs root: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of eight megabytes."""
    yield from mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=8m", "tmpfs")


@pytest.fixture
def worn_disk(tmp_path):
    """ext4 on a block device of its own, which becomes read-only at an error."""
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    yield from mounted(tmp_path / "disk", "-o", "loop,errors=remount-ro", str(image))


def fill(folder):
    """Take all the space there is."""
    hog = folder / "hog"
    with hog.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return hog


def fail(folder):
    """What ext4 does when it finds an error."""
    command = ["findmnt", "-no", "SOURCE", str(folder)]
    source = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    Path(f"/sys/fs/ext4/{Path(source).name}/trigger_fs_error").write_text("test")


def stored(path):
    with queries.reading(path) as db:
        return sorted(row["id"] for row in queries.alerts(db, limit=10_000))


def test_on_a_full_disk_nothing_is_stored_until_there_is_space(small_disk):
    path = small_disk / "collector.db"
    store = Store(path)
    first = [received(alert()) for _ in range(50)]
    store.add(first)
    hog = fill(small_disk)
    later = [received(alert()) for _ in range(50)]
    for _ in range(3):
        with pytest.raises(DiskError, match="full"):
            store.add(later)
    assert len(stored(path)) == 50  # and it can be read all the while
    hog.unlink()
    store.add(later)
    assert stored(path) == sorted(each.message.id for each in first + later)
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()


def test_ended_on_a_full_disk_it_leaves_a_whole_database(small_disk):
    path = small_disk / "collector.db"
    store = Store(path)
    store.add([received(alert()) for _ in range(500)])
    hog = fill(small_disk)
    store.close()
    fill(small_disk)
    again = Store(path)
    with pytest.raises(DiskError):
        again.add([received(health())])
    hog.unlink()
    again.add([received(health())])
    assert again._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again.close()
    assert len(stored(path)) == 500


def test_started_on_a_full_disk_it_ends_with_1_to_be_started_again(small_disk, capsys):
    fill(small_disk)
    assert command.main("collect", ["--http-port", "0", "--db", str(small_disk / "c.db")]) == 1
    line = capsys.readouterr().err
    assert "full" in line
    assert "fix: make space" in line
    assert line.count("\n") == 1


def test_a_disk_that_becomes_read_only_takes_nothing_and_is_still_read(worn_disk):
    path = worn_disk / "collector.db"
    store = Store(path)
    store.add([received(alert())])
    fail(worn_disk)
    for _ in range(3):
        with pytest.raises(DiskError, match="I/O"):
            store.add([received(alert())])
    assert len(stored(path)) == 1
    store.close()


@pytest.fixture
def broker(tmp_path):
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def device(broker):
    device = Device(broker.port)
    yield device
    device.close()


@contextlib.contextmanager
def running(broker, path):
    collector = Collector(broker.port, path)
    try:
        until(collector.is_healthy)
        yield collector
    finally:
        assert collector.end() == 0


def troubles(collector):
    return collector.ask("healthz")[1]["reasons"]


@pytest.mark.broker
@pytest.mark.slow
def test_a_full_disk_is_told_and_what_came_meanwhile_is_stored_when_there_is_space(
    small_disk, broker, device
):
    path = small_disk / "collector.db"
    with running(broker, path) as collector:
        first, later = ([encode(alert()) for _ in range(300)] for _ in range(2))
        device.deliver(first)
        hog = fill(small_disk)
        known = len(device.acknowledged)
        delivering = threading.Thread(target=device.deliver, args=(later,))
        delivering.start()
        until(lambda: "full" in troubles(collector).get("store", ""))
        assert collector.ask("healthz")[0] == 503
        assert "vedette_store_writable 0.0" in collector.text("metrics")
        # the page is served all the same, and whoever is told something is told the truth
        assert collector.get("api/summary")["alerts"] == len(stored(path))
        assert set(device.acknowledged[known:]) <= set(stored(path))
        hog.unlink()
        delivering.join()
        until(collector.is_healthy)
        assert stored(path) == sorted(each.id for each in first + later)
        assert collector.process.poll() is None


@pytest.mark.broker
@pytest.mark.slow
def test_killed_and_started_on_a_full_disk_it_loses_nothing(small_disk, broker, device):
    path = small_disk / "collector.db"
    first, later = ([encode(alert()) for _ in range(300)] for _ in range(2))
    collector = Collector(broker.port, path)
    until(collector.is_healthy)
    device.deliver(first)
    hog = fill(small_disk)
    delivering = threading.Thread(target=device.deliver, args=(later,))
    delivering.start()
    until(lambda: "store" in troubles(collector))
    collector.end(signal.SIGKILL)
    with running_when_free(broker, path, hog) as again:
        delivering.join()
        until(again.is_healthy)
    assert stored(path) == sorted(each.id for each in first + later)


@contextlib.contextmanager
def running_when_free(broker, path, hog):
    """Started while the disk is full, which ends soon after."""
    collector = Collector(broker.port, path)
    try:
        threading.Timer(2, hog.unlink).start()
        yield collector
    finally:
        assert collector.end() == 0


@pytest.mark.broker
@pytest.mark.slow
def test_a_read_only_disk_is_told_and_acknowledges_nothing(worn_disk, broker, device):
    path = worn_disk / "collector.db"
    with running(broker, path) as collector:
        device.deliver([encode(alert())])
        known = len(device.acknowledged)
        fail(worn_disk)
        device.send(encode(alert()))
        until(lambda: "store" in troubles(collector))
        assert len(device.acknowledged) == known
        assert collector.get("api/summary")["alerts"] == 1


@pytest.mark.broker
@pytest.mark.slow
def test_stopped_for_twenty_seconds_it_goes_on(tmp_path, broker, device):
    path = tmp_path / "collector.db"
    with running(broker, path) as collector:
        device.deliver([encode(alert())])
        collector.process.send_signal(signal.SIGSTOP)
        waking = threading.Timer(20, collector.process.send_signal, [signal.SIGCONT])
        waking.start()
        messages = [encode(alert()) for _ in range(500)]
        device.deliver(messages, per_s=50)
        waking.join()
        until(collector.is_healthy)
        assert {each.id for each in messages} <= set(stored(path))
        assert collector.get("api/summary")["alerts"] == 501
