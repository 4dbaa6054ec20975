"""Parts on a belt, from the picture to the pulse and the collector's page, by the real service."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.request

import cv2
import numpy as np
import pytest
import tiny_inspection
from gpio_lines import FakeChip
from real_broker import until
from system_site import Site

HOP_S, EMPTY, DEADLINE_MS, PULSE_MS = 0.1, 8, 900, 100
CONFIG = """
[device]
name = "line-1"
state_dir = "state"
health_interval_s = 0.5

[mqtt]
port = {port}
version = "3.1.1"
resend_s = 1.0

[[pipeline]]
name = "tubes"
bundle = "bundle"
engine = "onnx"

[pipeline.source]
type = "pictures"
path = "belt"
hop_s = {hop_s}

[pipeline.trigger]
kind = "image"

[pipeline.rejector]
chip = "/dev/gpiochip0"
line = 1
deadline_ms = {deadline_ms}
pulse_ms = {pulse_ms}

[pipeline.shift]
starts = ["00:00", "12:00"]
zone = "Europe/Zurich"
"""
GOOD, SPOT, DOUBTFUL, DARK = "good", "spot", "doubtful", "dark"
PARTS = (GOOD, SPOT, GOOD, DARK, DOUBTFUL, SPOT, SPOT, GOOD)
BRIGHT = {SPOT: 250, DOUBTFUL: 190}


def film(folder, parts):
    """Pictures of a belt: empty, a part, empty, the next part."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rng = np.random.default_rng(3)
    shown = [seen for part in parts for seen in ([None] * EMPTY + [part])]
    shown += [None] * 3 * EMPTY  # until the last has gone by
    for number, part in enumerate(shown):
        picture = rng.integers(40, 48, (256, 256, 3)).astype(np.uint8)
        if part == DARK:
            picture[:] = rng.integers(0, 4, picture.shape)
        elif part is not None:
            picture[64:192, 64:192] += 80
            if part in BRIGHT:
                picture[96:128, 96:128] = BRIGHT[part]
        cv2.imwrite(str(folder / f"{number}.png"), picture)


def start(site: Site, parts=PARTS):
    film(site.folder / "belt", parts)
    tiny_inspection.make(site.folder / "bundle", threshold=0.9, clear_threshold=0.6)
    (site.folder / "edge.toml").write_text(
        CONFIG.format(
            port=site.broker.port, hop_s=HOP_S, deadline_ms=DEADLINE_MS, pulse_ms=PULSE_MS
        )
    )
    return site.spawn("-m", "vedette", "run", "--config", str(site.folder / "edge.toml"))


@pytest.fixture
def chip(tmp_path_factory, monkeypatch):
    chip = FakeChip(tmp_path_factory.mktemp("gpio"), monkeypatch)
    yield chip
    chip.close()


@pytest.mark.slow
def test_good_parts_pass_and_every_part_is_told_counted_and_seen(chip, embedded_site: Site):
    site = embedded_site
    device = start(site)
    until(lambda: (site.get("api/summary") or {}).get("readings") == len(PARTS), within_s=60)
    until(lambda: chip.log()[-1][1] == 0 and len(chip.pulses()) == PARTS.count(GOOD))
    for start_ns, end_ns in chip.pulses():
        assert abs((end_ns - start_ns) / 1e6 - PULSE_MS) < 50
    told = site.get("api/parts")["parts"][::-1]
    expected = {SPOT: "reject", DARK: "reject", DOUBTFUL: "review"}
    assert [(one["part"], one["label"]) for one in told] == [
        (number, expected[part]) for number, part in enumerate(PARTS, 1) if part != GOOD
    ]
    assert [one["reason"] for one in told if PARTS[one["part"] - 1] == DARK] == [
        "Not judged: black."
    ]
    assert all(0 < one["took_ms"] < DEADLINE_MS for one in told)
    looked_at = next(one for one in told if one["label"] == "reject")
    url = f"{site.page}api/evidence/{looked_at['evidence']}/picture"
    with urllib.request.urlopen(url, timeout=15) as answer:
        picture = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (256, 512, 3)  # the part, and beside it its heat map
    alerts = site.get("api/alerts")["alerts"][::-1]
    assert [(one["label"], one["level"], one["state"]) for one in alerts] == [
        ("reject", "notice", "raised"),
        ("reject", "alarm", "raised"),
    ]
    say(site, looked_at["part"], "good")
    until(lambda: site.get("api/parts")["parts"][-1]["verdict"] == "good")
    until(lambda: shift(site).get("reviewed") == 1)
    assert {name: shift(site)[name] for name in ("passed", "rejected", "review")} == {
        "passed": PARTS.count(GOOD),
        "rejected": PARTS.count(SPOT) + PARTS.count(DARK),
        "review": PARTS.count(DOUBTFUL),
    }
    assert shift(site)["false_rejects"] == 1
    device.terminate()
    assert device.wait(10) == 0


def say(site: Site, part: int, verdict: str) -> None:
    body = {"device": "line-1", "pipeline": "tubes", "part": part, "verdict": verdict}
    asked = urllib.request.Request(
        f"{site.page}api/review",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=5) as answer:
        assert answer.status == 202


def shift(site: Site) -> dict:
    (device,) = site.get("api/devices")["devices"]
    (pipeline,) = device["pipelines"]
    shifts = pipeline.get("shifts")
    return shifts[0] if shifts else {}


@pytest.mark.slow
def test_a_service_that_is_killed_leaves_the_gate_shut_and_counts_on(chip, embedded_site: Site):
    site = embedded_site
    device = start(site, [GOOD])
    until(lambda: (site.get("api/summary") or {}).get("readings") == 1, within_s=60)
    until(lambda: len(chip.log()) > 1)  # the gate is open for it
    device.send_signal(signal.SIGKILL)
    device.wait()
    until(lambda: chip.log()[-1][1] == 0, within_s=5)
    ((start_ns, end_ns),) = chip.pulses()
    assert end_ns - start_ns < 1e6 * (PULSE_MS + 50)
    film(site.folder / "belt", PARTS)
    again = site.spawn("-m", "vedette", "run", "--config", str(site.folder / "edge.toml"))
    until(lambda: len(site.get("api/parts")["parts"]) >= 1, within_s=60)
    assert site.get("api/parts")["parts"][-1]["part"] == 3  # after the first run's, and a good one
    again.terminate()
    assert again.wait(10) == 0
