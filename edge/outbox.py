"""The durable queue between detecting and sending. What `put` has taken is on disk.

A row leaves only when the collector says it has stored it (a broker's PUBACK is no such word), or
when space runs out: then the oldest health goes first, then readings, never an alert. A damaged
file is mended on the spot from what can still be read of it and from the journal.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from contract.messages import MAX_PAYLOAD_BYTES, Encoded, OutboxHealth
from edge import outbox_file
from edge.clock import boot_id
from edge.errors import BusyError, ConfigError, VedetteError
from edge.journal import Journal, Row
from edge.outbox_file import DAMAGED, FAILING, OutboxFile, is_damage, is_full

log = logging.getLogger(__name__)
T = TypeVar("T")
D = TypeVar("D")

_RESERVE_BYTES = 256 * 1024  # given back to a full disk so that rows can be deleted at all
_BOOT_ID = boot_id()[:8]
_EXPENDABLE = ("health", "reading")  # in the order they are given up
_GIVE_UP_ROWS = 64
_SKIP = 1_000_000  # numbers left out after damage, more than can have been forgotten since
_JOURNAL_BYTES = 256 * 1024  # before the journal is worth shortening


class OutboxFullError(VedetteError):
    """The disk takes nothing, even after giving up what may be given up; nothing is stored."""


class _Put:
    """What one caller wants committed, and how it went."""

    def __init__(self, messages: tuple[Encoded, ...], states: Mapping[str, bytes]) -> None:
        self.rows = [as_row(message) for message in messages]
        self.states = states
        self.is_settled = False
        self.error: Exception | None = None


class Outbox:
    """Durable queue of (topic, bytes). One process at a time; its threads may share it.

    Attributes:
        sent: publishes, counted by the publisher.
        acknowledged: rows the collector has stored.
        dropped: messages given up for space, by kind.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or create the queue, mending it where it is damaged; dead letters wait again.

        Args:
            path: the SQLite file; `.lock`, `.reserve` and `.journal` lie beside it.
            max_bytes: most that file and journal may take together; less where the disk has less.

        Raises:
            ConfigError: a person must let us write there.
            OutboxFullError: the disk takes nothing at present; it may again.
            BusyError: another process has it open.
        """
        self._path = path
        self._max_bytes = max_bytes // 3  # the journal may become twice as large
        self._reserve = path.with_suffix(".reserve")
        self._lock = threading.Lock()
        self._puts: list[_Put] = []
        self._is_committing = False
        self._settled = threading.Condition()
        self.sent = self.acknowledged = 0
        self.dropped: Counter[str] = Counter()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = _lock_or_refuse(path)
            with contextlib.ExitStack() as opened:
                opened.callback(self._lock_file.close)
                self._journal = Journal(path.with_suffix(".journal"))
                opened.callback(self._journal.close)
                self._file = self._open()
                opened.callback(self._file.close)
                self._count()
                opened.pop_all()
            self._keep_reserve()
        except FAILING as error:
            raise _refusal(path, error) from None

    @property
    def last_seq(self) -> int:
        """The highest `seq` ever put, also over restarts; 0 before the first."""
        with self._lock:
            return self._mended(lambda file: file.last_seq)

    @property
    def rows(self) -> int:
        """Messages that wait to be acknowledged; dead letters are not among them."""
        with self._lock:
            return sum(self._rows.values())

    def put(self, *messages: Encoded, states: Mapping[str, bytes] | None = None) -> None:
        """Store messages, all or none; they are on disk when this returns.

        Threads that come at the same time share one commit.

        Args:
            messages: in the order of their numbers.
            states: by name, what `state` returns from now on; stored with the messages.

        Raises:
            OutboxFullError: no space, and nothing left that may be given up for it.
            ValueError: a payload is larger than any collector takes.
        """
        for message in messages:
            if len(message.payload) > MAX_PAYLOAD_BYTES:
                raise ValueError(
                    f"{message.kind} of {len(message.payload)} bytes; at most {MAX_PAYLOAD_BYTES}"
                )
        put = _Put(messages, states or {})
        with self._settled:
            self._puts.append(put)
            while self._is_committing and not put.is_settled:
                self._settled.wait()
            if not put.is_settled:  # nobody else's commit has taken it along
                self._is_committing = True
                group, self._puts = self._puts, []
        if not put.is_settled:
            with self._lock:
                self._commit_all(group)
            with self._settled:
                for each in group:
                    each.is_settled = True
                self._is_committing = False
                self._settled.notify_all()
        if put.error:
            raise put.error

    def state(self, name: str) -> bytes | None:
        """What was last put under this name."""
        with self._lock:
            return self._mended(lambda file: file.state(name))

    def waiting(self, *, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows with `seq` above `after`, oldest first."""
        with self._lock:
            return self._unless_failing(lambda file: file.rows(after=after, limit=limit), [])

    def done(self, seqs: Iterable[int]) -> bool:
        """Delete what the collector has stored; numbers that are gone are passed over.

        Returns:
            whether the disk let us; else the same rows will come again.
        """
        numbers = list(seqs)
        with self._lock:
            gone = self._unless_failing(lambda file: file.delete(numbers), None)
            if gone is None:
                self._give_back_reserve()
                return False
            self.acknowledged += len(gone)
            self._forget(gone)
            self._keep_reserve()
            return True

    def set_last_seq(self, seq: int) -> None:
        """From now on `last_seq` is at least this; for numbers whose rows never come here."""
        with self._lock:
            self._unless_failing(lambda file: file.set_high(seq), None)
            self._journal.note(seq)

    def bury(self, seq: int, reason: str) -> None:
        """Put a row aside that is refused again and again, so that it holds up no others."""
        with self._lock:
            self._unless_failing(lambda file: file.bury(seq, reason), None)
            self._unless_failing(lambda _file: self._count(), None)

    def health(self) -> OutboxHealth:
        """What waits, for `Health`; follows the disk, which others fill too."""
        with self._lock:
            max_bytes = self._unless_failing(OutboxFile.limit, 0)
            oldest = self._unless_failing(lambda file: file.rows(after=0, limit=1), [])
            return OutboxHealth(
                rows=sum(self._rows.values()),
                bytes=sum(self._bytes.values()),
                max_bytes=3 * max_bytes,
                oldest_s=age_s(oldest[0]) if oldest else 0.0,
                sent=self.sent,
                acknowledged=self.acknowledged,
                dropped=dict(self.dropped),
                dead=self._dead,
            )

    def close(self) -> None:
        """Release the files; what waits stays for the next start."""
        with self._lock:
            self._file.close()
            self._journal.close()
            self._lock_file.close()

    # -- committing --------------------------------------------------------------------------------

    def _commit_all(self, group: list[_Put]) -> None:
        """Commit together; where that fails, each on its own."""
        try:
            self._commit(group)
        except Exception as error:  # noqa: BLE001 -- handed to whom it concerns
            if len(group) > 1:
                for put in group:
                    self._commit_all([put])
                return
            group[0].error = error
            if isinstance(error, OutboxFullError):
                kinds = (row.kind for row in group[0].rows)
                self.dropped.update(kind for kind in kinds if kind in _EXPENDABLE)

    def _commit(self, group: list[_Put]) -> None:
        rows = [row for put in group for row in put.rows]
        states = {name: state for put in group for name, state in put.states.items()}
        kinds = {row.kind for row in rows}
        precious = [row for row in rows if row.kind != "health"]
        while True:
            try:
                # health may be lost with the power, an alert may not
                self._mended(
                    lambda file: file.insert(rows, states, durable=bool(precious or states))
                )
            except FAILING as error:
                if not is_full(error):
                    raise
                if not self._make_space(kinds):
                    raise OutboxFullError(f"{self._path}: {error}") from None
            else:
                break
        for row in rows:
            self._rows[row.kind] += 1
            self._bytes[row.kind] += len(row.payload)
        self._journal.append(precious)
        if rows and rows[-1].seq > self._journal.mark:
            self._journal.note(rows[-1].seq)

    def _make_space(self, kinds: set[str]) -> bool:
        """Give up the oldest of what matters less than, or as little as, these kinds."""
        self._give_back_reserve()
        for expendable in _EXPENDABLE:
            give_up = partial(OutboxFile.give_up, kind=expendable, count=_GIVE_UP_ROWS)
            gone = self._unless_failing(give_up, None)
            if gone is None:
                return False  # the reserve is spent: not even deleting works
            if gone:
                self.dropped[expendable] += len(gone)
                self._forget(gone)
                return True
            if kinds == {expendable}:
                return False
        return False

    def _forget(self, gone: list[tuple[str, int]]) -> None:
        """Count rows that have left, and shorten a journal that has outgrown what is left."""
        for kind, size in gone:
            self._rows[kind] -= 1
            self._bytes[kind] -= size
        live_bytes = sum(self._bytes.values()) - self._bytes["health"]
        if self._journal.size_bytes > max(_JOURNAL_BYTES, 2 * live_bytes):
            self._renew_journal()

    def _renew_journal(self) -> None:
        """Write it anew with what is still waiting."""
        self._unless_failing(
            lambda file: self._journal.keep(file.precious(), mark=file.last_seq), None
        )

    # -- damage ------------------------------------------------------------------------------------

    def _open(self) -> OutboxFile:
        """The file, whole: the journal has what damage to its log has dropped without a word."""
        try:
            file = self._open_as_it_is()
            last = file.last_seq
            put, copies, lost = file.last_put, {}, []
            for row in self._journal.read():  # a day of alerts must not fill the memory
                copies[row.seq] = hash(row)
                if row.seq > put:
                    lost.append(row)
            if lost or self._journal.mark > last:
                log.error("outbox %s had lost its %d newest rows", self._path, len(lost))
                last = max(last, self._journal.mark) + _SKIP
                file.restore(lost, {}, last)
            if self._journal.mark < last:
                self._journal.note(last)
            if any(copies.get(row.seq) != hash(row) for row in file.precious()):
                log.warning("the second copy of %s was not whole; written anew", self._path)
                self._journal.keep(file.precious(), mark=last)
            try:
                file.revive()
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
        except DAMAGED as error:
            if not is_damage(error):
                raise
            return self._mend(error)
        return file

    def _open_as_it_is(self) -> OutboxFile:
        try:
            return OutboxFile(self._path, max_bytes=self._max_bytes)
        except sqlite3.OperationalError as error:
            if not is_full(error) or not self._reserve.exists():
                raise
            self._give_back_reserve()  # opening takes a little space too
            self._journal.give_up()
            return OutboxFile(self._path, max_bytes=self._max_bytes)

    def _unless_failing(self, work: Callable[[OutboxFile], T], otherwise: D) -> T | D:
        """The outcome of `work`; `otherwise` while the disk fails it."""
        try:
            return self._mended(work)
        except FAILING as error:
            if not is_full(error):
                raise
            return otherwise

    def _mended(self, work: Callable[[OutboxFile], T]) -> T:
        """The outcome of `work`, done anew once when it meets damage."""
        try:
            return work(self._file)
        except DAMAGED as error:
            if not is_damage(error):
                raise
            self._file = self._mend(error, damaged=self._file)
            self._count()
            return work(self._file)

    def _mend(self, error: Exception, *, damaged: OutboxFile | None = None) -> OutboxFile:
        """A new file from what can be read of the old one and of the journal."""
        rows, states, high = outbox_file.salvage(self._path)
        rows |= {row.seq: row for row in self._journal.read()}
        log.error(
            "outbox %s is damaged (%s); put aside, %d rows saved", self._path, error, len(rows)
        )
        high = max(high, self._journal.mark) + _SKIP
        outbox_file.build(self._path, rows.values(), states, high, max_bytes=self._max_bytes)
        if damaged:  # not before: without space for a new file the old one must serve on
            damaged.close()
        outbox_file.swap(self._path)
        file = OutboxFile(self._path, max_bytes=self._max_bytes)
        self._journal.keep(
            (row for row in rows.values() if row.kind != "health"), mark=file.last_seq
        )
        return file

    def _count(self) -> None:
        counted = self._file.count()
        self._dead = counted.pop("dead")[0]
        self._rows = Counter({kind: rows for kind, (rows, _) in counted.items()})
        self._bytes = Counter({kind: size for kind, (_, size) in counted.items()})

    def _keep_reserve(self) -> None:
        """While the disk has plenty: the second copy whole, and a little space to have later."""
        try:
            if shutil.disk_usage(self._path.parent).free < 2 * _RESERVE_BYTES:
                return
            if not self._journal.is_whole:
                self._renew_journal()
            if self._reserve.exists():
                return
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
        except OSError:
            self._give_back_reserve()

    def _give_back_reserve(self) -> None:
        with contextlib.suppress(OSError):  # such as a file system that has become read-only
            self._reserve.unlink()


def as_row(message: Encoded) -> Row:
    """What is stored of a message that is put now."""
    m, now_ns = message, time.monotonic_ns()
    return Row(m.seq, m.id, m.kind, m.topic, m.payload, now_ns, _BOOT_ID)


def age_s(row: Row) -> float:
    """How long a row has waited; of one from an earlier boot at least since the start of this."""
    since_ns = row.put_ns if row.boot_id == _BOOT_ID else 0
    return (time.monotonic_ns() - since_ns) / 1e9


def _lock_or_refuse(path: Path) -> IO[str]:
    """The lock file, held while it is open."""
    file = path.with_suffix(".lock").open("a+")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BusyError(
            f"{path}: another process has this outbox open; "
            "fix: stop it, or give this device its own device.state_dir"
        ) from None
    return file


def _refusal(path: Path, error: Exception) -> Exception:
    """What keeps the queue from being opened: for a person to mend, to be waited for, or a bug."""
    which = getattr(error, "filename", None) or path
    said = f"{which}: outbox cannot be written: {getattr(error, 'strerror', None) or error}"
    if isinstance(error, PermissionError) or _is_denied(path):
        whose = f"chown -R USER {path.parent}, USER being whom the service runs as"
        return ConfigError(f"{said}; fix: {whose}")
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return ConfigError(f"{said}; fix: device.state_dir")
    if isinstance(error, OSError) or is_full(error):
        return OutboxFullError(f"{said}; fix: free space there, or mount it writable")
    return error


def _is_denied(path: Path) -> bool:
    """Whether a file is there that we may not write; SQLite does not say that this is why."""
    for part in outbox_file.parts(path):
        try:
            os.close(os.open(part, os.O_RDWR))
        except PermissionError:
            return True
        except OSError:
            continue
    return False
