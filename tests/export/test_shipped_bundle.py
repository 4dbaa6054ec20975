"""The bundle in the repository: what a device gets that has nobody to train for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import Bundle

SHIPPED = Path(__file__).resolve().parents[2] / "bundles"


@pytest.mark.parametrize("engine", ["tflite", "onnx"])
@pytest.mark.parametrize(
    "path", sorted(SHIPPED.glob("*/manifest.json")), ids=lambda p: p.parent.name
)
def test_a_shipped_bundle_proves_itself_here_to_the_last_bit(path: Path, engine: str):
    """It fails when a workload's features or revision move: `make bundle` makes it anew."""
    bundle = Bundle.open(path.parent, engine)
    assert bundle.workload.name == path.parent.name
    assert bundle.manifest.labels == list(bundle.workload.labels)
    assert bundle.manifest.tolerances == bundle.workload.tolerances


def test_machine_condition_is_shipped():
    """`vedette evaluate` and the first device need no training."""
    assert (SHIPPED / "machine_condition" / "manifest.json").is_file()
