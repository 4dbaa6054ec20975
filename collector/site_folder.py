"""What a site is on disk: a registry, keys and certificates, each file written whole or not at all.

site.json            who there is; the truth
ca/                  the site's authority: key.pem is the one secret that must never leave
broker/              everything the broker's machine needs
NAME/                everything a client needs
.new-NAME/           files on their way into NAME/, after a crash finished by the next command
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Role = Literal["device", "collector", "viewer", "broker"]
BROKER = "broker"
RESERVED = ("ca", BROKER)
_WAITING = ".new-"


class SiteError(Exception):
    """The command cannot be carried out; one line with the fix."""


class Issued(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A certificate that was handed out."""

    serial: str  # hexadecimal: as a number it would be beyond what JSON readers keep
    until: dt.datetime
    revoked: dt.datetime | None = None


class Holder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A name and every certificate it ever had, the newest last."""

    role: Role
    issued: list[Issued]

    @property
    def is_revoked(self) -> bool:
        """Whether even the newest certificate is."""
        return self.issued[-1].revoked is not None

    @property
    def until(self) -> dt.datetime:
        """The end of the newest certificate."""
        return self.issued[-1].until


class Registry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`site.json`."""

    version: Literal[1] = 1
    hosts: list[str]
    port: int
    prefix: str
    is_in_place: bool
    lists: int = 0  # revocation lists made so far
    holders: dict[str, Holder] = {}


class SiteFolder:
    """Reads and writes the folder of one site; held by one command at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands out; what one of them left half done is finished first.

        Raises:
            SiteError: another command is at work.
        """
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SiteError(f"{self.path}: another `vedette site` is at work") from None
            self._finish_handing_out()
            yield

    @property
    def is_made(self) -> bool:
        """Whether there is a site in it."""
        return (self.path / "site.json").exists()

    def registry(self) -> Registry:
        """Who there is.

        Raises:
            SiteError: there is no site here, or its registry was damaged.
        """
        path = self.path / "site.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Registry)
        except FileNotFoundError:
            fix = "fix: --site DIR, or `vedette site init DIR --broker HOST`"
            raise SiteError(f"{self.path}: no site here; {fix}") from None
        except msgspec.ValidationError as error:
            raise SiteError(f"{path}: {error}; fix: take it from a backup") from None

    def save(self, registry: Registry) -> None:
        """Write `site.json`."""
        text = msgspec.json.format(msgspec.json.encode(registry), indent=2)
        self.write(self.path / "site.json", text + b"\n")

    def write(self, path: Path, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file so that after a crash it is the old one or the new one."""
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync(path.parent)

    def stage(self, name: str, files: Mapping[str, bytes]) -> None:
        """Put files aside for NAME/; what no registry knows by the next command is void."""
        waiting = self._waiting(name)
        if waiting.exists():
            shutil.rmtree(waiting)
        for file, content in files.items():
            self.write(waiting / file, content, mode=0o600 if file == "key.pem" else 0o644)

    def hand_out(self, name: str) -> None:
        """Move what was staged into NAME/, over what is there; the certificate last.

        With it still staged, whoever comes after a crash knows that the rest belongs to it.
        """
        waiting, folder = self._waiting(name), self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        for file in sorted(waiting.iterdir(), key=lambda path: path.name == "cert.pem"):
            file.replace(folder / file.name)
        _sync(folder)
        waiting.rmdir()

    def _finish_handing_out(self) -> None:
        """What the registry knows is handed out; what it does not know was never issued."""
        known = set()
        if self.is_made:
            holders = self.registry().holders.values()
            known = {issued.serial for holder in holders for issued in holder.issued}
        for waiting in self.path.glob(f"{_WAITING}*"):
            certificate = waiting / "cert.pem"
            if certificate.exists() and serial_of(certificate) in known:
                self.hand_out(waiting.name.removeprefix(_WAITING))
            else:
                shutil.rmtree(waiting)

    def _waiting(self, name: str) -> Path:
        return self.path / f"{_WAITING}{name}"


def serial_of(path: Path) -> str:
    """The serial number of a certificate, as the registry writes it."""
    return f"{x509.load_pem_x509_certificate(path.read_bytes()).serial_number:x}"


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
