"""What this device has learned, in memory and on disk, kept across restarts."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from contract import npz
from contract.spec import Array, Detections, Follower, OperatingPoint, Profile, Workload
from edge.errors import SourceError
from edge.gallery_file import Enrolled

log = logging.getLogger(__name__)
_SAVE_EVERY = 10  # windows of learning that a power cut may cost
_RETRY_S = 60.0
_FOLLOWED_S = 900.0  # of what a follower has seen a power cut may cost; an SD card wears out
_KEPT = 4  # profiles of other models: the one to roll back to and a few more


class ProfileMemory:
    """Gathers healthy vectors until there are enough, learns, and keeps the profile.

    Attributes:
        profile: what the judge goes by; None while learning.
        follower: the workload's, where it has one and the profile is learned.
        gathered: windows learned from so far.
        learn_windows: windows needed.
    """

    def __init__(
        self,
        workload: Workload,
        model_id: str,
        operating_point: OperatingPoint,
        *,
        learn_windows: int,
        path: Path | None = None,
        enrolled: Enrolled | None = None,
        given: Mapping[str, Array] | None = None,
    ) -> None:
        """Reads `path` back where it exists; that of another model is put aside until it is back.

        Args:
            workload: has `learn`; without one there is nothing to wait for, and what is kept is
                what its follower has seen, unless that is of people.
            model_id: of the bundle in use.
            operating_point: of the bundle in use.
            learn_windows: how many windows to learn from.
            path: the `.npz` file; None: kept in memory only.
            enrolled: the people who are, of a workload that enrols instead of learning.
            given: what the bundle brings, of a workload whose models are judged with more.
        """
        self.profile: Profile | None = None
        self.follower: Follower | None = None
        self.learn_windows = learn_windows if workload.learn else 0
        self._workload = workload
        self._operating_point = operating_point
        self._model_id = model_id
        # the gallery is the one copy of embeddings, and a follower of faces holds some
        is_kept = workload.learn is not None or (enrolled is None and bool(given))
        self._path = path if is_kept else None
        self._enrolled = enrolled
        self._vectors: list[Array] = []
        self._shape: tuple[int, ...] | None = None
        self._unsaved: dict[str, Array] | None = None
        self._retry_s = 0.0
        self._follow_s = time.monotonic() + _FOLLOWED_S
        if workload.learn is None:
            self._set(dict(given or {}) if enrolled is None else enrolled.arrays, windows=0)
        if self._path is not None:
            try:
                self._find(self._path)
            except OSError as error:  # it cannot be moved; learning goes on in memory
                log.error("profile %s: %s", self._path, error.strerror)  # noqa: TRY400

    @property
    def gathered(self) -> int:
        """Windows learned from so far."""
        return len(self._vectors) if self.profile is None else self.profile.windows

    def check(self, found: Detections) -> None:
        """Refuse what does not look like the windows learned from; take up who is enrolled now.

        Raises:
            SourceError: the sensor has other channels than it had.
        """
        if self._enrolled is not None and (newer := self._enrolled.newer()) is not None:
            self._set(newer, windows=0)
        vectors = [d.vector.shape for d in found if d.vector is not None]
        if self._shape is not None and (len(vectors), *vectors[0]) != self._shape:
            raise SourceError(
                f"{len(vectors)} channels, but {self._shape[0]} were learned from; fix: the "
                f"sensor's, or remove {self._path} to learn anew"
            )

    def add(self, found: Detections) -> None:
        """Take one healthy window; with the last one needed the profile is learned and saved."""
        vectors = np.stack([d.vector for d in found if d.vector is not None])
        self._shape = vectors.shape
        self._vectors.append(vectors)
        if len(self._vectors) >= self.learn_windows:
            assert self._workload.learn is not None
            learned = self._workload.learn(np.stack(self._vectors))
            self._set(learned, windows=len(self._vectors))
            self._vectors.clear()
            self._write(self._known())
        elif len(self._vectors) % _SAVE_EVERY == 0:
            self._write({"vectors": np.stack(self._vectors)})

    def save_again(self) -> None:
        """What the follower has seen, each quarter of an hour; what no disk took, each minute."""
        now_s = time.monotonic()
        if self.follower is not None and now_s >= self._follow_s:
            self.save()
        elif self._unsaved is not None and now_s >= self._retry_s:
            self._write(self._unsaved)

    def save(self) -> None:
        """What the follower has seen, now: the service is about to end."""
        if self.follower is not None:
            self._follow_s = time.monotonic() + _FOLLOWED_S
            self._write(self._known())

    def _set(self, learned: dict[str, Array], *, windows: int) -> None:
        self.profile = Profile(self._operating_point, learned, self._model_id, windows)
        if self._workload.follow is not None:
            before, self.follower = self.follower, self._workload.follow(self.profile)
            if before is not None:
                self.follower.resume(before.state())

    def _known(self) -> dict[str, Array]:
        """What belongs on the disk once the profile is learned."""
        assert self.profile is not None
        known: dict[str, Array] = {}
        if self._workload.learn is not None:  # what a bundle brought is in the bundle
            known = {f"learned.{name}": a for name, a in self.profile.learned.items()}
        if self.follower is not None:
            known |= {f"followed.{name}": a for name, a in self.follower.state().items()}
        return known

    def _write(self, arrays: dict[str, Array]) -> None:
        if self._path is None:
            return
        temporary = self._path.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                header = {
                    "model_id": np.array(self._model_id),
                    "windows": np.array(self.gathered),
                    "shape": np.array(self._shape or (), int),
                }
                np.savez(file, allow_pickle=False, **header, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:  # such as a full disk; what is in memory still serves
            if self._unsaved is None:
                log.error("profile %s cannot be saved: %s", self._path, error.strerror)  # noqa: TRY400
            self._unsaved, self._retry_s = arrays, time.monotonic() + _RETRY_S
            with contextlib.suppress(OSError):
                temporary.unlink()
        else:
            self._unsaved = None

    def _find(self, path: Path) -> None:
        """What this model has learned, be it in its place or put aside for another's."""
        if path.exists():
            self._read(path)
        own = _aside(path, self._model_id)
        if not path.exists() and own.exists():
            own.replace(path)
            log.info("profile %s: model %s is back, with what it had learned", path, self._model_id)
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            arrays = npz.read(path)
            model_id, windows = str(arrays.pop("model_id")), int(arrays.pop("windows"))
            shape = tuple(arrays.pop("shape").tolist())
            followed = _part(arrays, "followed.")
            _refuse_not_finite(a for n, a in arrays.items() if not n.startswith("followed."))
        except (OSError, ValueError, TypeError, KeyError) as error:
            _put_aside(path, "refused", f"unreadable ({error})")
            return
        if model_id != self._model_id:
            name = model_id if model_id.isalnum() else "refused"
            _put_aside(path, name, f"learned with model {model_id}, now {self._model_id}")
            return
        self._shape = shape or None
        if "vectors" in arrays:
            self._vectors = list(arrays["vectors"])[: self.learn_windows - 1]
            return
        if self._workload.learn is not None:
            self._set(_part(arrays, "learned."), windows=windows)
        if self.follower is not None and followed:
            try:
                _refuse_not_finite(followed.values())
                self.follower.resume(followed)
            except (KeyError, ValueError, TypeError) as error:
                log.warning("profile %s: what was followed is unreadable (%s)", path, error)


def _part(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _refuse_not_finite(arrays: Iterable[Array]) -> None:
    """Every score would be NaN from then on."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("numbers that are not finite")


def _aside(path: Path, name: str) -> Path:
    return path.with_suffix(f".{name}.npz")


def _put_aside(path: Path, name: str, why: str) -> None:
    aside = _aside(path, name)
    path.replace(aside)
    log.warning("profile %s not taken: %s; kept as %s", path, why, aside.name)
    others = sorted(path.parent.glob(f"{path.stem}.*.npz"), key=lambda one: one.stat().st_mtime_ns)
    for oldest in others[:-_KEPT]:
        oldest.unlink()
