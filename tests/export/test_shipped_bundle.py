"""The bundle in the repository: what a device gets that has nobody to train for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import Bundle

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "machine_condition"


@pytest.mark.parametrize("engine", ["tflite", "onnx"])
def test_the_shipped_bundle_proves_itself_here_to_the_last_bit(engine: str):
    """It fails when the workload's features or revision move: `make bundle` makes it anew."""
    bundle = Bundle.open(SHIPPED, engine)
    assert bundle.workload.name == "machine_condition"
    assert bundle.manifest.labels == list(bundle.workload.labels)
    assert bundle.manifest.tolerances == bundle.workload.tolerances
