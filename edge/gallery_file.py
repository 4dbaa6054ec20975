"""The gallery on disk: read strictly, replaced in one step, what it replaces wiped; and watched."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contract import gallery, impostors
from contract.gallery import Gallery, GalleryError
from contract.spec import Array, OperatingPoint
from contract.tls import Setting, TlsError
from edge import disk
from edge.errors import ConfigError

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_BLOCK = 1 << 20
_MARGIN = "margin"
# beside the gallery: the version before, one being written, one being wiped
_BESIDE = (".previous", ".tmp", ".wiping")


def read_key(name: str | None, *, base: Path = Path(), key: str = "--key") -> bytes | None:
    """The site's key: a file that only its owner can read, or a systemd credential of that name.

    Args:
        name: of the file; None: there is no key.
        base: folder that a relative name starts from where systemd gives no credentials.
        key: what named it, for errors.

    Raises:
        ConfigError: it cannot be read, others could read it too, or it is too short.
    """
    if name is None:
        return None
    path = Path(os.environ.get("CREDENTIALS_DIRECTORY", base)) / name
    try:
        secret = Setting(f"{key} = {name!r}", path).read_secret().strip().encode()
    except TlsError as error:
        raise ConfigError(str(error)) from None
    if len(secret) < gallery.LEAST_KEY_BYTES:
        raise ConfigError(
            f"{key} = {name!r}: {len(secret)} characters, at least {gallery.LEAST_KEY_BYTES} make "
            f"a key; fix: openssl rand -hex 32 > {path}"
        )
    return secret


def read(path: Path, key: bytes | None, *, model_id: str | None = None) -> Gallery:
    """A gallery from its file.

    Args:
        path: of the file.
        key: of the site; None: none.
        model_id: it must be of this model; None: any.

    Raises:
        ConfigError: it cannot be read, is damaged, signed otherwise, or of another model.
    """
    try:
        if path.stat().st_size > gallery.MAX_BYTES:
            raise ConfigError(f"{path}: more than {gallery.MAX_BYTES} bytes; fix: another gallery")
        made = gallery.decode(path.read_bytes(), key)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; fix: the right --gallery FILE") from None
    except GalleryError as error:
        raise ConfigError(f"{path}: {_with_fix(path, str(error))}") from None
    if model_id not in {None, made.model_id}:
        raise ConfigError(
            f"{path}: enrolled with model {made.model_id}, now {model_id}: their embeddings cannot "
            "be compared; fix: the bundle it was made with, or enrol everybody anew in another file"
        )
    return made


def _with_fix(path: Path, why: str) -> str:
    if "; fix: " in why:
        return why
    before = path.with_name(path.name + _BESIDE[0])
    other = f"cp {before} {path}" if before.exists() else "a copy of it, or enrol anew elsewhere"
    return f"{why}; fix: {other}"


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else changes this gallery meanwhile.

    Raises:
        ConfigError: its folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; fix: a folder you may write to") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def family(path: Path) -> list[Path]:
    """The files that may hold embeddings of this gallery: itself and those beside it."""
    names = [path, *(path.with_name(path.name + end) for end in _BESIDE)]
    return [one for one in names if one.exists()]


def write(path: Path, made: Gallery, key: bytes | None, *, keeps_previous: bool = True) -> None:
    """Replace the file in one step; it is on the disk when this returns, readable by nobody else.

    The version before stays beside it as `.previous`; the one before that is wiped.

    Args:
        path: of the file.
        made: what it will hold.
        key: of the site; None: not signed.
        keeps_previous: False: wipe the version before, too.

    Raises:
        ConfigError: it cannot be written; the file is as it was.
    """
    raw = gallery.encode(made, key)
    if len(raw) > gallery.MAX_BYTES:
        raise ConfigError(f"{path}: would be {len(raw)} bytes, at most {gallery.MAX_BYTES}")
    previous, temporary, wiping = (path.with_name(path.name + end) for end in _BESIDE)
    try:
        for left_over in (temporary, wiping):  # by a power cut
            wipe(left_over)
        with os.fdopen(_open_own(temporary, like=path), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        if previous.exists():
            previous.rename(wiping)
        if path.exists():  # at every moment `path` is a whole gallery
            os.link(path, previous)
        temporary.replace(path)
        disk.sync(path.parent)
        wipe(wiping)
        if not keeps_previous:
            wipe(previous)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def wipe(path: Path) -> None:
    """Overwrite a file with zeros, sync it, remove it; nothing where there is none.

    What a flash card keeps of the old blocks is out of reach.
    """
    with contextlib.suppress(FileNotFoundError):
        with path.open("r+b") as file:
            found = os.fstat(file.fileno())
            # by another name it is still in use: a power cut between two steps of `write`
            left = found.st_size if found.st_nlink == 1 else 0
            while left > 0:
                left -= file.write(bytes(min(left, _BLOCK)))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        disk.sync(path.parent)


def _open_own(path: Path, *, like: Path) -> int:
    """A new file that only its owner can read: whoever owns the file it will replace."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):  # the service's, where root enrols; others cannot give away
        owner = (like if like.exists() else like.parent).stat()
        os.fchown(number, owner.st_uid, owner.st_gid)
    return number


class Enrolled:
    """What a pipeline must know of the people enrolled; looks at their file once a second at most.

    Attributes:
        version: of the gallery in use; 0: there is none.
    """

    def __init__(
        self,
        path: Path,
        key: bytes | None,
        *,
        model_id: str,
        operating_point: OperatingPoint,
        false_accepts_per_1000: float,
        clock_s: Callable[[], float] = time.monotonic,
        today: Callable[[], dt.date] = lambda: dt.datetime.now(dt.UTC).date(),
    ) -> None:
        """Reads it; where there is no file yet nobody is enrolled.

        Args:
            path: of the gallery.
            key: of the site; None: it must not be signed.
            model_id: of the bundle in use.
            operating_point: of the bundle in use.
            false_accepts_per_1000: visits by strangers that may end with a name.
            clock_s: monotonic seconds.
            today: the date, which ends consents.

        Raises:
            ConfigError: the gallery is refused, or no threshold keeps the promise.
        """
        self.version = 0
        self._path, self._key, self._model_id = path, key, model_id
        self._point, self._per_1000 = operating_point, false_accepts_per_1000
        self._clock_s, self._today = clock_s, today
        self._made: Gallery | None = None
        self._stamp, self._day = self._look()
        self._next_s = clock_s() + _LOOK_S
        self._made = self._read()
        self.arrays = self._arrays()

    def newer(self) -> dict[str, Array] | None:
        """What `gallery.match` goes by from now on; None: as before.

        A file that is refused is told once, and changes nothing.
        """
        now_s = self._clock_s()
        if now_s < self._next_s:
            return None
        self._next_s = now_s + _LOOK_S
        stamp, day = self._look()
        if (stamp, day) == (self._stamp, self._day):
            return None
        before = self._made
        try:
            if stamp != self._stamp:
                self._made = self._newer(before)
            arrays = self._arrays()
        except ConfigError as error:
            log.error("gallery not taken, version %d goes on: %s", self.version, error)  # noqa: TRY400
            self._made = before
            return None
        finally:
            self._stamp, self._day = stamp, day
        self.arrays = arrays
        return arrays

    def _look(self) -> tuple[tuple[int, int, int] | None, dt.date]:
        try:
            found = self._path.stat()
        except OSError:
            return None, self._today()
        return (found.st_mtime_ns, found.st_size, found.st_ino), self._today()

    def _read(self) -> Gallery | None:
        if self._stamp is None:
            return None
        return read(self._path, self._key, model_id=self._model_id)

    def _newer(self, before: Gallery | None) -> Gallery | None:
        if not self._path.exists():
            log.warning("gallery %s is gone: nobody is enrolled", self._path)
            return None
        made = read(self._path, self._key, model_id=self._model_id)
        if before is not None and made.id == before.id and made.version < before.version:
            raise ConfigError(
                f"{self._path}: version {made.version}, older than {before.version}, so it may "
                "name who was erased since; fix: the newer file, or restart if it is meant"
            )
        return made

    def _arrays(self) -> dict[str, Array]:
        """For today; the operating point's own threshold where no tail was measured."""
        made = self._made
        if made is None:
            self.version = 0
            return {}
        valid = [one for one in made.persons if one.consent.is_valid(self._today())]
        cosine = self._point.threshold
        try:
            if tail := impostors.read(self._point.measured):
                found = impostors.threshold_for(self._per_1000, len(valid), tail)
                cosine = found.cosine
                if not found.is_measured:
                    log.warning("a threshold of %.4f lies beyond what was measured", cosine)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        log.info(
            "gallery %s: version %d, %d enrolled, named from cosine %.4f",
            *(self._path, made.version, len(valid), cosine),
        )
        self.version = made.version
        margin = self._point.scales.get(_MARGIN, 0.0)
        return gallery.to_arrays(made, today=self._today(), threshold=cosine, margin=margin)
