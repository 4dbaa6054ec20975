"""The outbox's second copy: what is precious, appended as it is put, for the day the first is lost.

SQLite notices most damage but mends none, and its write-ahead log drops everything after a damaged
frame without a word. Each record here carries its own checksum, so one that is damaged costs only
itself. Nothing is synced: the first copy is, and only losing both at once would lose a row.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

_MAGIC = b"\xf0VDT"
_HEAD = struct.Struct("<4sII")  # magic, length and CRC-32 of what follows
_MOST_BYTES = 1 << 20
_MARK = "mark"  # kind of a record that only says how far the numbers have come


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One waiting message.

    Attributes:
        seq: its place in the order.
        id: what the collector acknowledges.
        kind: of the message.
        topic: to publish it under.
        payload: its bytes.
        put_ns: monotonic clock when it was put, nanoseconds; the wall clock may jump.
        boot_id: the boot that clock belongs to.
    """

    seq: int
    id: str
    kind: str
    topic: str
    payload: bytes
    put_ns: int
    boot_id: str = ""


class DamagedError(ValueError):
    """A record that is not what was written."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


def pack(row: Row) -> bytes:
    """A row as a record with its checksum."""
    body = _encode(row)
    return _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body


def unpack(record: bytes | memoryview) -> Row:
    """The row in a record.

    Raises:
        DamagedError: not a bit may differ.
    """
    if len(record) < _HEAD.size:
        raise DamagedError("too short")
    magic, length, crc = _HEAD.unpack_from(record)
    body = record[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or len(body) != length or zlib.crc32(body) != crc:
        raise DamagedError("checksum")
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise DamagedError(str(error)) from None


class Journal:
    """Appends rows to one file and reads back those that are whole. Not shared between threads.

    Attributes:
        size_bytes: of the file.
        mark: how far the numbers have come, by what was written here last.
        is_whole: nothing is missing for want of space.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file; its end may be torn, that costs one record.

        Raises:
            OSError: it cannot be written.
        """
        self._path = path
        self._file = path.open("ab", buffering=0)
        self.size_bytes = self._file.tell()
        self.mark = 0
        self.is_whole = True
        self._is_kept = True  # the last time that was tried

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows behind the others; on a full disk they have only their first copy."""
        raw = b""
        for row in rows:
            raw += pack(row)
            self.mark = max(self.mark, row.seq)
        if not raw:
            return
        try:
            is_whole = self._file.write(raw) == len(raw)
            why = "no space for all of it"
        except OSError as error:
            is_whole, why = False, error.strerror or str(error)
        if not is_whole and self.is_whole:
            log.warning("no second copy on %s: %s", self._path, why)
        self.is_whole &= is_whole
        with contextlib.suppress(OSError):
            self.size_bytes = os.fstat(self._file.fileno()).st_size

    def note(self, seq: int) -> None:
        """Only how far the numbers have come, or that they have come less far than was said."""
        self.append([Row(seq, "", _MARK, "", b"", 0)])
        self.mark = seq

    def read(self) -> Iterator[Row]:
        """Every whole row in the order of writing."""
        if not self._path.stat().st_size:
            return
        with (
            self._path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw,
        ):
            at = raw.find(_MAGIC)
            while at >= 0:
                length = _HEAD.unpack(raw[at : at + _HEAD.size].ljust(_HEAD.size, b"\0"))[1]
                try:
                    row = unpack(raw[at : at + _HEAD.size + min(length, _MOST_BYTES)])
                except DamagedError:
                    at = raw.find(_MAGIC, at + 1)
                    continue
                if row.kind == _MARK:
                    self.mark = row.seq
                else:
                    self.mark = max(self.mark, row.seq)
                    yield row
                at = raw.find(_MAGIC, at + _HEAD.size + length)

    def keep(self, rows: Iterable[Row], *, mark: int) -> None:
        """Begin anew with these rows alone, and with the number the order has come to."""
        fresh = self._path.with_suffix(".journal.new")
        self.mark = mark
        try:
            with fresh.open("wb") as file:
                file.write(pack(Row(mark, "", _MARK, "", b"", 0)))
                for row in rows:
                    file.write(pack(row))
            fresh.replace(self._path)
            self._file.close()
            self._file = self._path.open("ab", buffering=0)
            self.size_bytes = self._file.tell()
            self.is_whole = self._is_kept = True
        except OSError as error:  # the old one still holds all of them
            if self._is_kept:
                log.warning("%s cannot be shortened: %s", self._path, error.strerror)
            self._is_kept = False
            with contextlib.suppress(OSError):
                fresh.unlink()

    def give_up(self) -> None:
        """Empty the file, for a disk that has no room for copies."""
        self.is_whole = False
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self.size_bytes = 0

    def close(self) -> None:
        """Release the file."""
        self._file.close()
