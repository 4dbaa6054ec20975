"""Which bundle serves: a new one once it has proved itself here, the one before it in reserve.

`bundle = "DIR"` in the config is a plain directory until the first `vedette activate`, and then:

    DIR           a link to DIR.versions/3: what serves
    DIR.previous  a link to DIR.versions/2: what serves when DIR is refused
    DIR.versions  one directory per activation

Whenever a process is killed in between, DIR or DIR.previous is whole, and one of them serves.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from contract.manifest import MANIFEST
from edge import bundle_files, config, disk, proof
from edge.bundle import Bundle
from edge.bundle_files import Files
from edge.config import PipelineConfig
from edge.errors import BundleError, ConfigError
from edge.proof import Proof

log = logging.getLogger(__name__)

# The rest is for the other pipelines of the device, and for a processor slowed down by heat.
_SHARE_OF_HOP = 0.5
_MAX_REASON = 256  # characters of a text in a health message
Prove = Callable[[Path], Proof]


@dataclass(frozen=True)
class Active:
    """What serves from the next start on.

    Attributes:
        bundle: the path in the config.
        model_id: of its models.
        previous_model_id: of what served until now; None: nothing that proved itself.
        is_changed: False: it did so before.
        window_s: how long a window takes on this device, seconds.
    """

    bundle: str
    model_id: str
    previous_model_id: str | None
    is_changed: bool
    window_s: float


def open_or_previous(
    path: Path, engine: str | None = None, *, hop_s: float
) -> tuple[Bundle, str | None]:
    """The bundle at `path`, or the one before it where that is refused.

    Args:
        path: of the bundle, as the config names it.
        engine: `tflite` or `onnx`; None: the first one that is installed, `tflite` before.
        hop_s: from window to window; a bundle that takes longer is refused.

    Returns:
        the bundle, proven and loaded, and why the newer one was refused; None: it was not.

    Raises:
        BundleError: none is left.
    """
    try:
        return _open(path, engine, hop_s), None
    except BundleError as refused:
        try:
            bundle = open_previous(path, engine, hop_s=hop_s)
        except BundleError as error:
            if not os.path.lexists(previous_of(path)):
                raise refused from None
            raise BundleError(f"{refused}; the previous one is refused too: {error}") from None
        log.error("bundle refused, model %s serves instead: %s", bundle.model_id, refused)  # noqa: TRY400
        return bundle, str(refused)[:_MAX_REASON]


def open_previous(path: Path, engine: str | None = None, *, hop_s: float) -> Bundle:
    """The bundle that served before the one at `path`, proven and loaded.

    Raises:
        BundleError: there is none, or it is refused.
    """
    return _open(previous_of(path), engine, hop_s)


def _open(path: Path, engine: str | None, hop_s: float) -> Bundle:
    proof.prove(path, engine, within_s=hop_s)
    return Bundle.open(path, engine)


def previous_of(path: Path) -> Path:
    """Where the link to the bundle before lies."""
    return path.with_name(f"{path.name}.previous")


def activate(new: Path, path: Path, prove: Prove) -> Active:
    """Copy a bundle, let the copy prove itself, and make it the one that serves.

    Args:
        new: the bundle's directory; it may be removed afterwards.
        path: of the bundle, as the config names it.
        prove: lets a bundle prove itself on this device.

    Raises:
        BundleError: it was refused; what served goes on serving.
        OSError: it cannot be written; what served goes on serving.
    """
    files = bundle_files.read(new)
    with _alone(path) as versions:
        serving = _proven(path, prove)
        if serving and (path / MANIFEST).read_bytes() == files.raw[MANIFEST]:
            return Active(str(path), serving.model_id, None, False, serving.window_s)
        copy = _copy(files, versions / ".new")
        try:
            proven = prove(copy)
        except BundleError as error:
            shutil.rmtree(copy)
            raise BundleError(str(error).replace(str(copy), str(new))) from None
        fresh = _rename(copy, _next(versions))
        old = _reached_by(path, versions)
        if serving and old:  # what does not serve is no reserve
            _link(previous_of(path), old)
        _swap(path, to=fresh, old=old)
        _prune(versions, keep=(path, previous_of(path), path.parent / (old or fresh)))
        was = serving.model_id if serving else None
        return Active(str(path), proven.model_id, was, True, proven.window_s)


def back(path: Path, prove: Prove) -> Active:
    """Make the previous bundle the one that serves; the present one is then the previous.

    Raises:
        ConfigError: there is no other.
        BundleError: it was refused; nothing has changed.
    """
    previous = previous_of(path)
    if not previous.is_symlink() or previous.resolve() == path.resolve():
        raise ConfigError(f"{path}: no bundle to go back to")
    with _alone(path) as versions:
        proven = prove(previous)
        serving = _proven(path, prove)
        old = _reached_by(path, versions)
        _swap(path, to=previous.readlink(), old=old)
        if old:
            _link(previous, old)
        was = serving.model_id if serving else None
        return Active(str(path), proven.model_id, was, True, proven.window_s)


def main(
    path: Path, *, new: Path | None, is_back: bool, pipeline: str | None, as_json: bool
) -> int:
    """`vedette activate`: prove, swap, and say what to restart; 0.

    Raises:
        BundleError: refused; what served goes on serving.
        ConfigError: nothing, or more than one thing, could be meant.
    """
    if (new is None) is not is_back:
        raise ConfigError("what to activate? fix: a bundle's directory, or --back")
    place, sharing = _chosen(path, pipeline)

    def prove(bundle: Path) -> Proof:
        within_s = min(one.source.hop_s for one in sharing) * _SHARE_OF_HOP
        proofs = [
            proof.prove(bundle, engine, within_s=within_s)
            for engine in dict.fromkeys(one.engine for one in sharing)
        ]
        return max(proofs, key=lambda one: one.window_s)

    try:
        active = back(place, prove) if new is None else activate(new, place, prove)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or place}: {error.strerror}; fix: its owner, or space on its disk"
        ) from error
    restart = f"systemctl restart vedette-edge@{path.stem}"
    names = [one.name for one in sharing]
    if as_json:
        print(json.dumps(asdict(active) | {"pipelines": names, "restart": restart}))  # noqa: T201
    else:
        before = f", before it {active.previous_model_id}" if active.previous_model_id else ""
        sys.stdout.write(
            f"{', '.join(names)}: model {active.model_id}{before}; "
            f"{active.window_s * 1e3:.4g} ms a window on this device\n"
            + (f"it serves after: {restart}\n" if active.is_changed else "nothing has changed\n")
        )
    return 0


def _chosen(path: Path, name: str | None) -> tuple[Path, list[PipelineConfig]]:
    """Where the bundle lies that is meant, and the pipelines it serves."""
    by_place: dict[Path, list[PipelineConfig]] = {}
    for pipeline in config.read(path).pipeline:
        place = Path(os.path.abspath(path.parent / pipeline.bundle))  # noqa: PTH100 (keeps links)
        by_place.setdefault(place, []).append(pipeline)
    chosen = [
        (place, sharing)
        for place, sharing in by_place.items()
        if name is None or name in [one.name for one in sharing]
    ]
    if len(chosen) != 1:
        names = ", ".join(one.name for sharing in by_place.values() for one in sharing)
        what = f"--pipeline {name}: no such pipeline" if name else "several bundles"
        raise ConfigError(f"{path}: {what}; fix: --pipeline NAME, one of {names}")
    return chosen[0]


def _proven(path: Path, prove: Prove) -> Proof | None:
    try:
        return prove(path)
    except BundleError:
        return None


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """The folder of versions, held by this process only."""
    versions = path.with_name(f"{path.name}.versions")
    versions.mkdir(exist_ok=True)
    versions.chmod(0o755)  # the service is another user, and so is whoever checks
    number = os.open(versions, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield versions.resolve()
    except BlockingIOError:
        raise ConfigError(f"{versions}: another activation is at work; fix: wait for it") from None
    finally:
        os.close(number)


def _copy(files: Files, to: Path) -> Path:
    """Exactly what was read, on disk when this returns."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    to.chmod(0o755)
    for name, raw in files.raw.items():
        with (to / name).open("xb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
    disk.sync(to)
    return to


def _next(versions: Path) -> Path:
    """A directory that is not there yet."""
    taken = (int(one.name) for one in versions.iterdir() if one.name.isdigit())
    return versions / str(max(taken, default=0) + 1)


def _reached_by(path: Path, versions: Path) -> Path | None:
    """What a link to the present bundle has to say; a plain directory will get that name."""
    if path.is_symlink():
        return path.readlink()
    return Path(versions.name, _next(versions).name) if path.exists() else None


def _swap(path: Path, *, to: Path, old: Path | None) -> None:
    """From here on `path` is another bundle."""
    if old and not path.is_symlink():
        _rename(path, path.parent / old)
    _link(path, to)


def _rename(old: Path, new: Path) -> Path:
    """Move a directory; what a link beside the bundle has to say is returned."""
    old.rename(new)
    disk.sync(new.parent)
    disk.sync(old.parent)
    return Path(new.parent.name, new.name)


def _link(link: Path, to: Path) -> None:
    """Point a link elsewhere in one step."""
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(to)
    fresh.replace(link)
    disk.sync(link.parent)


def _prune(versions: Path, *, keep: tuple[Path, ...]) -> None:
    kept = {one.resolve() for one in keep}
    for one in versions.iterdir():
        if one.resolve() not in kept:
            shutil.rmtree(one, ignore_errors=True)
