"""Processes that are timed in turns, as `benchmarks/inspection.py` does."""

import os
import sys

import pytest

from benchmarks.inspection_turns import Contender, alternate

_SERVES = """
import sys, time
sys.path.insert(0, "benchmarks")
import inspection_turns
held = bytearray(64 << 20)
inspection_turns.serve({"slow": lambda n: time.sleep(0.02), "fast": lambda n: None}, squares=9)
"""


def _contender(program: str) -> Contender:
    return Contender([sys.executable, "-c", program], environment=os.environ)


def test_each_picture_of_each_turn_is_timed_and_memory_told_at_the_end():
    one, other = _contender(_SERVES), _contender(_SERVES)
    try:
        alternate({"one": one, "other": other}, turns=3, pictures=2)
    finally:
        one.kill()
        other.kill()
    for contender in (one, other):
        assert contender.ready == {"squares": 9}
        assert {name: len(ms) for name, ms in contender.took_ms.items()} == {"slow": 6, "fast": 6}
        assert min(contender.took_ms["slow"]) >= 20.0
        assert min(contender.took_ms["fast"]) < 20.0
        assert 64 <= contender.peak_mb < 1024


def test_one_that_ends_instead_of_answering_is_named():
    with pytest.raises(RuntimeError, match="ended with 3"):
        _contender("raise SystemExit(3)")
