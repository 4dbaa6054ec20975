"""The outbox against a dictionary: killed, cut short, overwritten, it never forgets an alert."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import note, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from contract.messages import Encoded
from edge.outbox import Outbox, OutboxFullError

_SHM = Path("/dev/shm")
_PAGE_BYTES = 4096
_PLENTY, _TINY = 8 << 20, 3 * 20 * _PAGE_BYTES
_KINDS = ("alert", "sensor", "reading", "health")
_PRECIOUS = ("alert", "sensor")
_SEEDS = st.integers(0, 2**32 - 1)


class OutboxMachine(RuleBasedStateMachine):
    """What was put and not acknowledged is there, whole, once, in order."""

    def __init__(self) -> None:
        super().__init__()
        where = str(_SHM) if _SHM.is_dir() else None
        self.folder = tempfile.TemporaryDirectory(prefix="vedette-outbox-", dir=where)
        self.lives = 0
        self.waiting: dict[int, Encoded] = {}
        self.buried: dict[int, Encoded] = {}
        self.gone: dict[int, Encoded] = {}  # acknowledged or given up; damage may bring them back
        self.states: dict[str, bytes] = {}
        self.last_seq = 0  # given out
        self.kept_seq = 0  # put, or set aside for rows that stay in memory

    @initialize(max_bytes=st.sampled_from([_PLENTY, _TINY]))
    def begin(self, max_bytes):
        self.max_bytes = max_bytes
        self.path = Path(self.folder.name) / "0" / "outbox.db"
        self.open()

    def open(self) -> None:
        self.box = Outbox(self.path, max_bytes=self.max_bytes)
        self.waiting |= self.buried
        self.buried = {}
        assert self.box.last_seq >= self.kept_seq, "a number would be used twice"
        self.last_seq = self.kept_seq = self.box.last_seq

    @rule(
        kinds=st.lists(st.sampled_from(_KINDS), min_size=1, max_size=6),
        size=st.sampled_from([0, 10, 300, 300, 3000, 20_000]),
        gap=st.sampled_from([0, 0, 0, 5]),
        state=st.sampled_from([None, None, b"", b"raised"]),
    )
    def put(self, kinds, size, gap, state):
        first = self.last_seq + 1 + gap
        made = []
        for seq, kind in enumerate(kinds, start=first):
            payload = Random(seq).randbytes(size)
            made.append(Encoded(f"v/d/{kind}", payload, f"id-{seq}", seq, kind))
        states = {} if state is None else {"p": state}
        self.last_seq = made[-1].seq
        try:
            self.box.put(*made, states=states)
        except OutboxFullError:
            assert self.max_bytes == _TINY
            return
        self.kept_seq = max(self.kept_seq, self.last_seq)
        self.waiting |= {message.seq: message for message in made}
        self.states |= states

    @rule(count=st.integers(1, 40), size=st.sampled_from([300, 2000]), kind=st.sampled_from(_KINDS))
    def put_many(self, count, size, kind):
        for _ in range(count):
            self.put([kind], size, 0, None)

    @rule(count=st.integers(1, 1200))
    def give_numbers_to_others(self, count):
        """To health that stays in memory: they are set aside a thousand at a time."""
        self.last_seq += count
        if self.last_seq > self.kept_seq:
            self.kept_seq = self.last_seq + 1000
            self.box.set_last_seq(self.kept_seq)

    @precondition(lambda self: self.waiting)
    @rule(seed=_SEEDS, share=st.sampled_from([0.05, 0.5, 1.0]))
    def done(self, seed, share):
        rng = Random(seed)
        seqs = [seq for seq in self.waiting if rng.random() < share]
        self.box.done([*seqs, self.last_seq + 1000])
        for seq in seqs:
            self.gone[seq] = self.waiting.pop(seq)

    @precondition(lambda self: self.waiting)
    @rule(at=st.floats(0.0, 0.999))
    def bury(self, at):
        seq = sorted(self.waiting)[int(at * len(self.waiting))]
        dead = self.box.health().dead
        self.box.bury(seq, "nobody takes it")
        if self.box.health().dead > dead:
            self.buried[seq] = self.waiting.pop(seq)
        else:
            assert self.max_bytes == _TINY, "only where there is no room to move it"

    @rule()
    def reopen(self):
        self.box.set_last_seq(self.last_seq)
        self.kept_seq = self.last_seq
        self.box.close()
        self.open()

    @rule()
    def kill(self):
        self.copy_and_open(lambda: None)

    @rule(seed=_SEEDS, is_killed=st.booleans())
    def damage_the_file(self, seed, is_killed):
        """Somewhere: bits, a page of rubbish, a page that belongs elsewhere, the end."""
        rng = Random(seed)
        self.damaged(lambda: _damage(self.path, rng), is_killed=is_killed)

    @rule(seed=_SEEDS)
    def damage_the_log(self, seed):
        rng = Random(seed)
        self.damaged(lambda: _damage(Path(f"{self.path}-wal"), rng), is_killed=True)

    @rule(seed=_SEEDS, is_killed=st.booleans())
    def damage_the_journal(self, seed, is_killed):
        rng = Random(seed)
        self.damaged(lambda: _damage(self.path.with_suffix(".journal"), rng), is_killed=is_killed)

    @rule(is_killed=st.booleans())
    def remove_the_file(self, is_killed):
        self.damaged(lambda: self.path.unlink(missing_ok=True), is_killed=is_killed)

    @rule(is_killed=st.booleans())
    def remove_the_journal(self, is_killed):
        self.damaged(lambda: self.path.with_suffix(".journal").unlink(), is_killed=is_killed)

    @rule(seed=_SEEDS)
    def damage_the_file_while_it_is_open(self, seed):
        rng = Random(seed)
        self.box._file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _damage(self.path, rng, may_cut=False)
        self.box._file._db.execute("PRAGMA shrink_memory")
        self.after_damage()

    def damaged(self, damage, *, is_killed) -> None:
        if is_killed:
            self.copy_and_open(damage)
        else:
            self.box.close()
            damage()
            self.open()
        self.after_damage()

    def copy_and_open(self, damage) -> None:
        """As SIGKILL leaves it: nothing is closed, nothing is folded in."""
        self.lives += 1
        new = Path(self.folder.name) / str(self.lives)
        shutil.copytree(self.path.parent, new)
        self.box.close()
        shutil.rmtree(self.path.parent)
        self.path = new / "outbox.db"
        damage()
        self.open()

    def after_damage(self) -> None:
        """Health may be lost, what was acknowledged may come back; numbers are left out."""
        self.box.waiting(after=0, limit=1_000_000)
        # once more, so that the copy that was damaged is whole again before the other one is
        self.box.close()
        self.open()
        found = {row.seq for row in self.box.waiting(after=0, limit=1_000_000)}
        self.waiting |= {seq: self.gone[seq] for seq in found & self.gone.keys()}
        for seq in [s for s, m in self.waiting.items() if m.kind == "health" and s not in found]:
            self.gone[seq] = self.waiting.pop(seq)
        self.states = {}
        note(f"{len(found)} rows after damage")

    @invariant()
    def nothing_is_missing_and_nothing_is_there_twice(self):
        rows = self.box.waiting(after=0, limit=1_000_000)
        seqs = [row.seq for row in rows]
        assert seqs == sorted(set(seqs))
        found = dict(zip(seqs, rows, strict=True))
        missing = self.waiting.keys() - found.keys()
        kinds = Counter(self.waiting[seq].kind for seq in missing)
        assert not kinds.keys() & set(_PRECIOUS), f"lost: {sorted(missing)[:9]}"
        given_up = Counter({kind: self.box.dropped[kind] for kind in kinds})
        assert all(kinds[kind] <= given_up[kind] for kind in kinds), f"not counted: {kinds}"
        for seq in missing:
            self.gone[seq] = self.waiting.pop(seq)
        strangers = found.keys() - self.waiting.keys()
        assert not strangers, f"come back: {sorted(strangers)[:9]}"
        for seq, row in found.items():
            message = self.waiting[seq]
            assert (row.id, row.kind, row.topic) == (message.id, message.kind, message.topic)
            assert row.payload == message.payload
        health = self.box.health()
        assert self.box.rows == health.rows == len(found)
        assert health.bytes == sum(len(row.payload) for row in rows)
        assert health.dead == len(self.buried)
        for name, state in self.states.items():
            assert self.box.state(name) == state

    def teardown(self):
        if hasattr(self, "box"):
            self.box.close()
        self.folder.cleanup()


def _damage(path: Path, rng: Random, *, may_cut: bool = True) -> None:
    """Change a file where it lies; nothing where there is none."""
    raw = bytearray(path.read_bytes()) if path.exists() else bytearray()
    if not raw:
        return
    pages = max(len(raw) // _PAGE_BYTES, 1)
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(pages) * _PAGE_BYTES
        match rng.randrange(5 if may_cut else 4):
            case 0:
                for _ in range(rng.choice((1, 1, 8))):
                    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            case 1:
                raw[at : at + _PAGE_BYTES] = rng.randbytes(min(_PAGE_BYTES, len(raw) - at))
            case 2:
                raw[at : at + _PAGE_BYTES] = bytes(min(_PAGE_BYTES, len(raw) - at))
            case 3:
                other = rng.randrange(pages) * _PAGE_BYTES
                part = raw[other : other + _PAGE_BYTES]
                raw[at : at + len(part)] = part
            case _:
                del raw[rng.randrange(len(raw)) :]
                break
    with path.open("r+b") as file:
        file.write(raw)
        file.truncate()


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestOutbox = pytest.mark.slow(TestOutbox)
