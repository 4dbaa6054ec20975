"""A file of the outbox damaged in any way costs no row that waits, and no number is used twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from contract import messages
from contract.messages import Address, Alert, Encoded, Stamp
from edge.outbox import Outbox

FILES = ("outbox.db", "outbox.db-wal", "outbox.journal")
BLOCK_BYTES = 4096


def alert(seq: int) -> Encoded:
    body = Alert(workload="w", state="raised", label="x", score=2, threshold=1, hits=1, of=1)
    stamp = Stamp(ts_ns=5, mono_ns=1, boot_id="b", seq=seq, clock_synced=False)
    return messages.encode(body, Address("vedette", "device", "p"), stamp)


def open_in(folder: Path) -> Outbox:
    return Outbox(folder / "outbox.db", max_bytes=16 << 20)


def live(outbox: Outbox, waiting: dict[int, str], seq: int, rng: Random) -> int:
    """Some time in the life of an outbox; the highest number put."""
    for _ in range(rng.choice((5, 20, 80, 200))):
        what = rng.random()
        if what < 0.7:
            seq += 1
            message = alert(seq)
            outbox.put(message)
            waiting[seq] = message.id
        elif what < 0.95:
            done = rng.sample(sorted(waiting), min(len(waiting), rng.randrange(20)))
            outbox.done(done)
            for each in done:
                del waiting[each]
        else:
            outbox.set_last_seq(seq + rng.choice((1, 1000)))
    return seq


def damage(path: Path, rng: Random) -> str:
    """Noise in a block or in the header, one bit, cut, emptied, gone."""
    size = path.stat().st_size if path.exists() else 0
    if not size:
        return "nothing to damage"
    how = rng.choice(("block", "block", "header", "bit", "cut", "emptied", "gone"))
    if how == "gone":
        path.unlink()
    elif how in {"cut", "emptied"}:
        os.truncate(path, rng.randrange(size) if how == "cut" else 0)
    else:
        raw = bytearray(path.read_bytes())
        at = 0 if how == "header" else rng.randrange(0, size, BLOCK_BYTES)
        if how == "bit":
            raw[rng.randrange(size)] ^= 1 << rng.randrange(8)
        else:
            raw[at : at + BLOCK_BYTES] = rng.randbytes(min(BLOCK_BYTES, size - at))
        with path.open("r+b") as file:
            file.write(raw)
    return f"{path.name} {how}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_a_damaged_file_after_a_kill_costs_nothing(seed: int, tmp_path: Path):
    """One file at a time, some times in a row, each time with rows that wait."""
    rng, waiting, seq, done = Random(seed), {}, 0, []
    folder = tmp_path / "0"
    folder.mkdir()
    for life in range(1, 4):
        outbox = open_in(folder)
        seq = live(outbox, waiting, max(seq, outbox.last_seq), rng)
        killed = tmp_path / str(life)
        shutil.copytree(folder, killed)  # what a kill leaves behind
        outbox.close()
        folder = killed
        done.append(damage(folder / rng.choice(FILES), rng))
        outbox = open_in(folder)
        found = {row.seq: row.id for row in outbox.waiting(after=0, limit=10_000)}
        assert waiting.items() <= found.items(), done
        assert outbox.last_seq >= seq, done
        outbox.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_a_file_damaged_under_a_running_outbox_costs_nothing(seed: int, tmp_path: Path):
    """It serves on, and is whole after a kill."""
    rng, waiting = Random(seed), {}
    outbox = open_in(tmp_path)
    seq = live(outbox, waiting, 0, rng)
    said = damage(tmp_path / rng.choice(FILES), rng)
    live(outbox, waiting, seq, rng)
    found = {row.seq: row.id for row in outbox.waiting(after=0, limit=10_000)}
    outbox.close()
    assert waiting.items() <= found.items(), said
