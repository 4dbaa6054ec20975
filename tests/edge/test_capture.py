"""A sensor's process hangs, crashes, is frozen or orphaned, and the service goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_device
import numpy as np
import pytest

from edge import capture
from edge.capture import Capture, hidden
from edge.errors import SourceError

ROOT = Path(__file__).resolve().parents[2]
STALL_S = 0.8


@pytest.fixture(autouse=True)
def importable_in_the_child(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))


def device(then: str, **options) -> Capture:
    config = fake_device.Config(then, **options)
    return Capture("fake_device", config, what="sensor", stall_s=STALL_S)


def until_failure(captured: Capture, each=lambda _item: None) -> tuple[list[capture.Item], str]:
    """All items, each shown to `each`, and what the error says."""
    got: list[capture.Item] = []

    def take() -> None:
        for item in captured.items():
            got.append(item)
            each(item)

    with pytest.raises(SourceError) as failure:
        take()
    assert captured.pid
    assert not is_running(captured.pid)
    return got, str(failure.value)


def is_running(pid: int) -> bool:
    """Also not as a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for(condition, *, within_s: float) -> float:
    """How long it took, seconds."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s
        time.sleep(0.02)
    return time.monotonic() - began_s


class TestItems:
    """From the device, through the pipe, unchanged."""

    def test_arrive_as_they_were_put(self):
        """Also when a library prints to standard output between them."""
        before_ns = time.monotonic_ns()
        got, _ = until_failure(device("end"))
        assert [item.data[0, 0] for item in got] == [0, 1, 2]
        assert {item.data.shape for item in got} == {(1000, 1)}
        assert {item.data.dtype for item in got} == {np.dtype(np.float32)}
        assert {item.rate_hz for item in got} == {100.0}
        times = [before_ns, *(item.t_ns for item in got), time.monotonic_ns()]
        assert times == sorted(times)

    def test_what_the_device_lost_is_a_jump_in_the_numbers(self):
        """Put with `is_after_gap`."""
        got, _ = until_failure(device("end"))
        assert [item.seq for item in got] == [0, 1, 3]

    @pytest.mark.slow
    def test_a_slow_reader_gets_the_newest_and_sees_that_some_are_missing(self):
        """Blocks of 4 MB fill the pipe; the child holds no more than `KEEP`."""
        captured = device("hang", blocks=60, values=1_000_000)
        rss = []

        def be_slow(item: capture.Item) -> None:
            if item.seq == 0:
                time.sleep(2.5)  # all have been put
                pages = Path(f"/proc/{captured.pid}/statm").read_text().split()[1]
                rss.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))

        got, _ = until_failure(captured, be_slow)
        assert len(got) < 15
        assert got[-1].data[0, 0] == 59
        assert [item.data[0, 0] for item in got[-fake_device.KEEP :]] == [56, 57, 58, 59]
        assert got[-1].seq == 60  # 59, and one that the device lost
        assert rss[0] < 150e6  # 60 of them are 240 MB


class TestFailures:
    """Whatever the child does, the reason is one line."""

    @pytest.mark.parametrize(
        ("then", "says"),
        [
            ("raise", "sensor: unplugged"),
            ("fail", "sensor: ZeroDivisionError: a bug in a library"),
            ("crash", "sensor: its capture was killed (Segmentation fault)"),
            ("be killed", "sensor: its capture was killed (Killed)"),
            ("exit", "sensor: its capture ended with 7"),
            ("end", "sensor: delivers no more"),
            ("garbage", "sensor: its capture writes garbage"),
            ("hang", "sensor: has delivered nothing for 0.8 s"),
        ],
    )
    def test_become_a_source_error(self, then, says):
        """After everything that was put before."""
        got, error = until_failure(device(then))
        assert error == says
        assert len(got) == 3 or then == "be killed"

    def test_a_hang_is_told_with_the_last_words_but_no_password(self):
        """However much was said: the pipe is read all the time."""
        _, error = until_failure(device("chatter"))
        assert error.endswith("; its last words: rtsp://***@10.0.0.1/live: bad packet")

    @pytest.mark.slow
    def test_a_device_that_never_delivers_has_longer_to_open(self, monkeypatch):
        """But not for ever."""
        monkeypatch.setattr(capture, "OPEN_S", 1.5)
        _, error = until_failure(device("hang", blocks=0))
        assert error == "sensor: has delivered nothing for 1.5 s"

    def test_a_module_that_cannot_be_imported_is_named(self):
        """As Python says it."""
        _, error = until_failure(
            Capture("no_such_device", fake_device.Config("end"), what="x", stall_s=1.0)
        )
        assert error.endswith("ModuleNotFoundError: No module named 'no_such_device'")

    @pytest.mark.slow
    def test_a_device_that_lives_but_has_nothing_due_is_left_alone(self):
        """Two seconds, of which 0.8 may be silent."""
        got, error = until_failure(device("beat"))
        assert len(got) == 4
        assert error == "sensor: delivers no more"


class TestFrozen:
    """SIGSTOP: no code of the child runs, as inside a driver that waits for ever."""

    def test_a_frozen_child_is_killed_and_the_next_one_delivers_within_ten_seconds(self):
        """As the watcher would: wait a second, open again."""
        captured = device("hang", blocks=100_000)
        frozen_s = []

        def freeze(item: capture.Item) -> None:
            if item.seq == 5:
                assert captured.pid
                os.kill(captured.pid, signal.SIGSTOP)
                frozen_s.append(time.monotonic())

        _, error = until_failure(captured, freeze)
        assert error == "sensor: has delivered nothing for 0.8 s"
        time.sleep(1.0)
        again = device("hang", blocks=100_000)
        for _ in again.items():
            break
        assert time.monotonic() - frozen_s[0] < 10.0


class TestClose:
    """From another thread, at any moment."""

    @pytest.mark.parametrize("blocks", [0, 3], ids=["while opening", "while waiting"])
    def test_ends_a_wait_at_once(self, blocks):
        """And the child with it; no error."""
        captured = device("hang", blocks=blocks)
        got: list[capture.Item] = []
        thread = threading.Thread(target=lambda: got.extend(captured.items()))
        thread.start()
        wait_for(lambda: captured.pid and len(got) <= blocks, within_s=10)
        time.sleep(0.5)
        captured.close()
        began_s = time.monotonic()
        thread.join(10)
        assert time.monotonic() - began_s < 1.0
        assert captured.pid
        assert not is_running(captured.pid)

    def test_before_the_first_item_is_asked_for(self):
        """Nothing is started."""
        captured = device("hang")
        captured.close()
        assert list(captured.items()) == []
        assert captured.pid is None

    def test_between_two_items(self):
        """While the reader is busy with one."""
        captured = device("hang", blocks=1000)
        got = []
        for item in captured.items():
            got.append(item)
            captured.close()
        assert len(got) == 1
        assert captured.pid
        assert not is_running(captured.pid)

    def test_a_reader_that_gives_up_leaves_no_child(self):
        """An exception in its loop, say."""
        captured = device("hang", blocks=1000)
        items = captured.items()
        next(items)
        items.close()
        assert captured.pid
        assert not is_running(captured.pid)


PARENT = """
import fake_device
from edge.capture import Capture
captured = Capture("fake_device", fake_device.Config("hang"), what="x", stall_s=3600.0)
for item in captured.items():
    print(captured.pid, flush=True)
"""


class TestOrphans:
    """The parent dies without a word."""

    @pytest.mark.parametrize("is_frozen", [False, True], ids=["waiting", "frozen"])
    def test_a_child_dies_with_its_parent(self, is_frozen):
        """Even where it cannot notice."""
        with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
            assert parent.stdout
            child = int(parent.stdout.readline())
            assert is_running(child)
            if is_frozen:
                os.kill(child, signal.SIGSTOP)
            parent.kill()
        assert wait_for(lambda: not is_running(child), within_s=5) < 5

    def test_a_child_whose_parent_is_gone_before_it_begins_ends(self):
        """Its parent is not who started it."""
        done = subprocess.run(
            [sys.executable, "-m", "edge.capture", "fake_device", "1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout == b""

    @pytest.mark.slow
    def test_ctrl_c_is_for_the_parent_to_handle(self):
        """And so is a SIGTERM for the whole group: what is captured until it closes is used."""
        captured = device("hang", blocks=40)

        def interrupt(item: capture.Item) -> None:
            if item.seq == 0:
                assert captured.pid
                os.kill(captured.pid, signal.SIGINT)
                os.kill(captured.pid, signal.SIGTERM)

        got, _ = until_failure(captured, interrupt)
        assert got[-1].data[0, 0] == 39  # some between may be lost where the machine is busy


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:pa@10.0.0.1/live", "rtsp://***@10.0.0.1/live"),
        ("http://cam.example/x?a=b@c", "http://cam.example/x?a=b@c"),
        (
            "open rtsp://u@h: and rtsps://v:w@h failed",
            "open rtsp://***@h: and rtsps://***@h failed",
        ),
    ],
)
def test_no_secret_of_an_address_is_shown(text, shown):
    """Users and passwords are none of a log's business."""
    assert hidden(text) == shown
