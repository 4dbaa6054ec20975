"""Files by their hash: what is in them is what they are called, and they never take too much."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from contract.shelf import Shelf

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "not" / "there" / "yet"


def kept(folder):
    return sorted(path.stem for path in folder.iterdir())


def put(shelf, folder, raw, *, age_s):
    """As if it had been put so long ago."""
    sha256 = shelf.put(raw)
    then = time.time() - age_s
    os.utime(folder / f"{sha256}.npz", (then, then))
    return sha256


def test_what_is_put_is_got_by_its_hash(folder):
    """Twice the same is once there, and another shelf on the folder finds it."""
    shelf = Shelf(folder, max_bytes=1000)
    sha256 = shelf.put(b"abc")
    assert sha256 == hashlib.sha256(b"abc").hexdigest()
    assert shelf.put(b"abc") == sha256
    assert Shelf(folder, max_bytes=0).get(sha256) == b"abc"
    assert kept(folder) == [sha256]


def test_what_was_never_put_is_not_there(folder):
    """Nor is a folder made by asking."""
    assert Shelf(folder, max_bytes=9).get("ab" * 32) is None
    assert not folder.exists()


def test_the_oldest_go_first(folder):
    """As many as must."""
    shelf = Shelf(folder, max_bytes=30)
    old, middle, new = (put(shelf, folder, bytes([i]) * 10, age_s=100 - i) for i in (1, 2, 3))
    last = shelf.put(b"x" * 15)
    assert kept(folder) == sorted([new, last])
    assert [shelf.get(gone) for gone in (old, middle)] == [None, None]


def test_what_can_never_fit_is_refused_and_nothing_goes_for_it(folder):
    """One file above the bound must not cost all the others."""
    shelf = Shelf(folder, max_bytes=30)
    small = shelf.put(b"small")
    with pytest.raises(OSError, match="No space left"):
        shelf.put(b"x" * 31)
    assert kept(folder) == [small]


def test_the_disk_is_left_to_others(folder, monkeypatch):
    """Old files go to keep it free; where that does not help nothing is put."""
    shelf = Shelf(folder, max_bytes=1000, spare_bytes=100)
    shelf.put(b"old")
    free = iter([50, 103])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=next(free)))
    new = shelf.put(b"new")
    assert kept(folder) == [new]
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=102))
    with pytest.raises(OSError, match="No space left"):
        shelf.put(b"one")


def test_a_damaged_file_is_not_there_and_does_not_come_back(folder):
    """A bit that fell over."""
    shelf = Shelf(folder, max_bytes=1000)
    sha256 = shelf.put(b"abc")
    (folder / f"{sha256}.npz").write_bytes(b"abd")
    assert shelf.get(sha256) is None
    assert kept(folder) == []


def test_what_a_power_cut_left_half_written_goes_and_what_is_being_written_stays(folder):
    """Nothing but our own files is touched."""
    shelf = Shelf(folder, max_bytes=1000)
    first = shelf.put(b"first")
    for name, age_s in (("left.tmp", 3600), ("busy.tmp", 1), ("notes.txt", 3600)):
        (folder / name).write_bytes(b"?" * 5000)
        os.utime(folder / name, (time.time() - age_s,) * 2)
    second = shelf.put(b"second")
    assert kept(folder) == sorted([first, second, "busy", "notes"])


PUTS = """
import itertools, os, pathlib, sys
from contract.shelf import Shelf
shelf = Shelf(pathlib.Path(sys.argv[1]), max_bytes=200_000)
for number in itertools.count():
    print(shelf.put(os.urandom(5000)), flush=True)
"""


@pytest.mark.slow
def test_what_was_put_is_whole_though_the_process_is_killed_at_any_moment(folder):
    """Twenty times; nothing half written is ever called by a hash."""
    last = []
    for number in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", PUTS, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        said = [process.stdout.readline()]
        time.sleep(0.003 * number)
        process.kill()
        said += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        last = [line.strip() for line in said if line.endswith("\n")]
        assert Shelf(folder, max_bytes=0).get(last[-1]) is not None
        for path in folder.glob("*.npz"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
    assert sum(path.stat().st_size for path in folder.glob("*.npz")) <= 200_000


def test_a_failed_write_leaves_nothing(folder, monkeypatch):
    """The disk says so only when it is synced."""
    shelf = Shelf(folder, max_bytes=1000)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        shelf.put(b"abc")
    assert kept(folder) == []
