"""`vedette doctor`: which cameras there are, and what a ribbon camera of the config still lacks."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.config import PipelineConfig
from edge.finding import Finding
from edge.sources import jetson, picamera

_SENSOR = re.compile(r"(?:vi-output, )?([a-z]+\d+\w* \d+-[0-9a-f]{4})$")  # as drivers name them
_HEAPS = ("vidbuf_cached", "linux,cma", "reserved")  # libcamera takes the first it may use
_CABLE = "its ribbon cable, and the camera's overlay in the configuration of the board"
_PLUGIN = "usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so"


def there_are(root: Path = Path("/")) -> Iterator[Finding]:
    """Every camera that the kernel knows of, once, by the name its driver gives it."""
    found = sorted(set(_ribbon_cameras(root))) + list(_usb_cameras(root))
    for what in found:
        yield Finding("camera", what)
    if not found:
        yield Finding("cameras", "none is connected to this board")


def needs(pipelines: Iterable[PipelineConfig], root: Path = Path("/")) -> Iterator[Finding]:
    """What the ribbon cameras of a config need of this machine, each once."""
    asked = {type(pipeline.source) for pipeline in pipelines}
    if picamera.Config in asked:
        yield from _picamera(root)
    if jetson.Config in asked:
        yield from _jetson(root)


def _named(root: Path, pattern: str) -> Iterator[tuple[Path, str]]:
    for folder in sorted(root.glob(f"sys/class/video4linux/{pattern}")):
        with contextlib.suppress(OSError):
            yield folder, (folder / "name").read_text(encoding="utf-8", errors="replace").strip()


def _ribbon_cameras(root: Path) -> Iterator[str]:
    """Raspberry Pi: a sub-device each; Jetson: the receiver says what it receives."""
    for _, name in _named(root, "v*"):
        if sensor := _SENSOR.match(name):
            yield f"{sensor[1]}, on a ribbon cable"


def _usb_cameras(root: Path) -> Iterator[str]:
    """The first of the nodes that each has; codecs and converters of the board are no cameras."""
    for folder, name in _named(root, "video*"):
        with contextlib.suppress(OSError):
            is_first = (folder / "index").read_text(encoding="ascii").strip() == "0"
            if is_first and "usb" in (folder / "device/modalias").read_text(encoding="utf-8"):
                yield f"{name}, /dev/{folder.name}"


def _picamera(root: Path) -> Iterator[Finding]:
    for module, fix in (
        ("picamera2", picamera.INSTALL),
        ("libcamera", "sudo apt install python3-libcamera; picamera2 of pip comes without it"),
        ("cv2", "pip install 'vedette[edge-camera]'"),
    ):
        is_there = importlib.util.find_spec(module) is not None
        yield _missing(module, "installed", None if is_there else fix)
    media = sorted(root.glob("dev/media*"))
    yield _allowed("/dev/media*", media, [node for node in media if not _may_use(node)])
    heaps = [node for name in _HEAPS if (node := root / "dev/dma_heap" / name).exists()]
    closed = [] if any(map(_may_use, heaps)) else heaps
    yield _allowed("/dev/dma_heap", heaps, closed, none="the kernel of Raspberry Pi OS")


def _jetson(root: Path) -> Iterator[Finding]:
    if importlib.util.find_spec("cv2") is None:
        yield _missing("OpenCV", "installed", jetson.INSTALL)
    else:
        import cv2

        has_it = cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)
        what = f"OpenCV {cv2.__version__} with GStreamer"
        yield _missing(what, "installed", None if has_it else jetson.INSTALL)
    has_plugin = (root / _PLUGIN).exists()
    fix = None if has_plugin else "sudo apt install nvidia-l4t-gstreamer"
    yield _missing("nvarguscamerasrc", "installed", fix)
    fix = None if _is_running(root, "nvargus-daemon") else "sudo systemctl restart nvargus-daemon"
    yield _missing("nvargus-daemon", "running", fix)
    nodes = sorted(root.glob("dev/video*"))
    yield _allowed("/dev/video*", nodes, [node for node in nodes if not _may_use(node)])


def _missing(what: str, how: str, fix: str | None) -> Finding:
    return Finding(what, how if fix is None else f"not {how}", "fail" if fix else "ok", fix)


def _is_running(root: Path, program: str) -> bool:
    for comm in root.glob("proc/[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if comm.read_text(encoding="utf-8", errors="replace").strip() == program:
                return True
    return False


def _may_use(node: Path) -> bool:
    return os.access(node, os.R_OK | os.W_OK)


def _allowed(what: str, nodes: list[Path], closed: list[Path], *, none: str = _CABLE) -> Finding:
    """Whether whoever asks may use device files; where there are none, `none` is the fix."""
    if not nodes:
        return Finding(what, "none here", "fail", none)
    if closed:
        user, names = getpass.getuser(), ", ".join(node.name for node in closed)
        fix = f"sudo usermod -aG video {user}, and log in again; firmware_configs/udev"
        return Finding(what, f"{user} may not use {names}", "fail", fix)
    return Finding(what, "may be used")
