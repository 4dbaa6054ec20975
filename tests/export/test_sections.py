"""Limits of sections as a bundle: made, believed by the device, and judged by."""

from __future__ import annotations

import json

import pytest
from section_pictures import section

from contract.spec import Window
from edge.bundle import Bundle
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory
from export import sections

TOML = "um_per_px = 2.0\n[limits.outer_diameter_um]\nlow = 598.0\nhigh = 604.0\n"


@pytest.fixture
def limits(tmp_path):
    file = tmp_path / "limits.toml"
    file.write_text(TOML)
    return file


def judged(folder, picture):
    """By the device's own pipeline."""
    bundle = Bundle.open(folder)
    point = bundle.manifest.operating_point
    memory = ProfileMemory(
        bundle.workload, bundle.model_id, point, learn_windows=0, given=bundle.learned
    )
    pipeline = Pipeline(bundle.workload, bundle.engines, memory)
    (part,) = pipeline(Window("camera", 0, 0, 0, picture, 0.0))
    return part


def test_a_device_judges_by_the_limits_it_was_given(limits, tmp_path, capsys):
    out = tmp_path / "bundle"
    assert sections.main([str(limits), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workload"] == "catheter_section"
    part = judged(out, section())
    assert part.label == "pass"
    assert part.sizes["outer_diameter_um"] == pytest.approx(601.2, abs=0.1)
    wider = judged(out, section((200.0, 180.0, 152.0, 152.0)))
    assert wider.label == "reject"
    assert wider.reason == "outer_diameter_um 608, allowed 598 to 604"


def test_other_limits_are_another_bundle(limits, tmp_path):
    """So that a device says by which limits it measures."""
    assert sections.main([str(limits), "--out", str(tmp_path / "one")]) == 0
    limits.write_text(TOML.replace("604", "605"))
    assert sections.main([str(limits), "--out", str(tmp_path / "two")]) == 0
    one, two = (Bundle.open(tmp_path / name) for name in ("one", "two"))
    assert one.model_id != two.model_id
    assert one.manifest.data != two.manifest.data


def test_wrong_limits_make_no_bundle(limits, tmp_path, capsys):
    limits.write_text("[limits.girth]\nlow = 1.0\n")
    assert sections.main([str(limits), "--out", str(tmp_path / "bundle")]) == 1
    assert "limits.girth: no such size; fix" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "bundle").exists()
    assert sections.main([str(tmp_path / "none.toml")]) == 1
