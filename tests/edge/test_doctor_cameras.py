"""Which cameras a board has, by its files, and what a ribbon camera of the config still lacks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edge import doctor_cameras
from edge.__main__ import main
from edge.config import PipelineConfig
from edge.sources import jetson, picamera, simulate

FAKES = Path(__file__).resolve().parents[1] / "fake_ribbon"
# as `grep -r . /sys/class/video4linux/*/name` shows them: a Raspberry Pi 5, a Jetson, a USB camera
PI = {"v4l-subdev2": "imx708_wide 10-001a", "video0": "rp1-cfe-csi2_ch0", "video20": "pispbe-input"}
JETSON = {"video0": "vi-output, imx219 9-0010", "v4l-subdev0": "imx219 9-0010"}
USB = {"video2": "HD Pro Webcam C920", "video3": "HD Pro Webcam C920"}


def plant(root: Path, names: dict[str, str]) -> None:
    """The folders of video devices in sysfs."""
    for index, (node, name) in enumerate(names.items()):
        folder = root / "sys/class/video4linux" / node
        (folder / "device").mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        kind = "usb:v046Dp082D" if names is USB else "platform:rp1-cfe"
        (folder / "device/modalias").write_text(kind)
        if node.startswith("video"):
            (folder / "index").write_text(f"{index if names is USB else 0}\n")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (PI, ["imx708_wide 10-001a, on a ribbon cable"]),
        (JETSON, ["imx219 9-0010, on a ribbon cable"]),
        (USB, ["HD Pro Webcam C920, /dev/video2"]),
        ({"video0": "bcm2835-codec-decode"}, ["none is connected to this board"]),
    ],
    ids=["pi", "jetson", "usb", "codecs only"],
)
def test_each_camera_is_listed_once(tmp_path, names, found):
    """Neither the codecs of the board nor the second node of a USB camera."""
    plant(tmp_path, names)
    assert [one.text for one in doctor_cameras.there_are(tmp_path)] == found


def needs(source, root: Path) -> dict[str, doctor_cameras.Finding]:
    found = doctor_cameras.needs([PipelineConfig("p", "bundle", source)] * 2, root)
    listed = [(one.what, one) for one in found]
    assert len(dict(listed)) == len(listed)
    return dict(listed)


def test_a_source_that_is_no_ribbon_camera_needs_nothing(tmp_path):
    assert needs(simulate.Config(), tmp_path) == {}


def test_on_a_board_without_anything_all_is_missing_each_with_its_fix(tmp_path):
    """On this machine, too."""
    found = needs(picamera.Config(), tmp_path)
    assert {what for what, one in found.items() if not one.is_ok} == {
        *("picamera2", "libcamera", "/dev/media*", "/dev/dma_heap")
    }
    assert "sudo apt install python3-picamera2" in found["picamera2"].fix
    assert "--system-site-packages" in found["picamera2"].fix
    found = needs(jetson.Config(), tmp_path)
    assert not any(one.is_ok for one in found.values())
    assert [one.fix.partition(",")[0] for one in found.values()] == [
        "pip uninstall opencv-python-headless",
        "sudo apt install nvidia-l4t-gstreamer",
        "sudo systemctl restart nvargus-daemon",
        "its ribbon cable",
    ]


def test_with_all_in_place_nothing_is_left_to_do(tmp_path, monkeypatch):
    """A second heap that only root may use does no harm."""
    monkeypatch.syspath_prepend(str(FAKES))
    (tmp_path / "dev/dma_heap").mkdir(parents=True)
    for name in ("media0", "media1", "dma_heap/linux,cma", "dma_heap/reserved", "video0"):
        (tmp_path / "dev" / name).touch()
    closed = {tmp_path / "dev/dma_heap/reserved"}
    monkeypatch.setattr(doctor_cameras, "_may_use", lambda node: node not in closed)
    assert all(one.is_ok for one in needs(picamera.Config(), tmp_path).values())
    closed |= {tmp_path / "dev/media1", tmp_path / "dev/video0"}
    media = needs(picamera.Config(), tmp_path)["/dev/media*"]
    assert "may not use media1" in media.text
    assert "usermod -aG video" in media.fix
    plugin = tmp_path / "usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/comm").write_text("nvargus-daemon\n")
    found = needs(jetson.Config(), tmp_path)
    assert [found[what].is_ok for what in ("nvarguscamerasrc", "nvargus-daemon")] == [True, True]
    assert "may not use video0" in found["/dev/video*"].text


def test_files_are_asked_whether_they_may_be_used(tmp_path):
    """As the kernel answers."""
    node = tmp_path / "media0"
    node.touch(mode=0o600)
    assert doctor_cameras._may_use(node)
    node.chmod(0o400)
    assert doctor_cameras._may_use(node) == (os.geteuid() == 0)
    assert not doctor_cameras._may_use(tmp_path / "gone")


def test_the_command_tells_it(tmp_path, capsys):
    """Beside what the source itself says."""
    (tmp_path / "edge.toml").write_text(
        '[device]\nname = "d1"\nstate_dir = "state"\n[[pipeline]]\nname = "door"\n'
        'bundle = "bundle"\n[pipeline.source]\ntype = "picamera"\n'
    )
    main("doctor", ["--config", str(tmp_path / "edge.toml"), "--json"])
    found = {one["what"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert found["picamera2"]["text"] == "not installed"
    assert found["source of door"]["level"] == "fail"
    assert {"camera", "cameras"} & found.keys()
