"""Who may import whom, and what is packaged."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = ("tensorflow", "keras", "sklearn", "torch")

# Imports every module of a package with some names blocked; prints those that failed.
IMPORT_ALL = """
import importlib, json, pkgutil, sys
package, blocked = sys.argv[1], sys.argv[2].split(",")
for name in blocked:
    sys.modules[name] = None
root = importlib.import_module(package)
found = [m.name for m in pkgutil.walk_packages(root.__path__, package + ".")]
failed = {}
for name in found:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = error.name
print(json.dumps({"found": found, "failed": failed, "loaded": sorted(sys.modules)}))
"""


def import_all(package: str, blocked: tuple[str, ...]) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, package, ",".join(blocked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("package", ["contract", "edge", "host", "collector"])
def test_device_host_and_collector_import_without_any_training_framework(package):
    """Every module of theirs, with those names blocked."""
    got = import_all(package, BLOCKED)
    assert not [name for name, missing in got["failed"].items() if missing.split(".")[0] in BLOCKED]
    # libraries of another role may be missing where only one role is installed
    assert all(importlib.util.find_spec(missing) is None for missing in got["failed"].values())
    assert "training" not in got["loaded"]
    assert "export" not in got["loaded"]


def test_the_contract_needs_numpy_and_msgspec_and_nothing_else():
    """Nor any other package of this repository."""
    others = ("edge", "training", "export", "host", "collector", "paho", "onnxruntime", "rich")
    got = import_all("contract", (*BLOCKED, *others))
    assert got["found"]
    assert got["failed"] == {}


def test_the_device_imports_nothing_of_the_other_roles():
    """So that its install stays small."""
    got = import_all("edge", (*BLOCKED, "training", "export", "host", "collector", "starlette"))
    blocked = {"training", "export", "host", "collector", "starlette", *BLOCKED}
    assert not blocked & {missing.split(".")[0] for missing in got["failed"].values()}


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_six_packages_and_the_command(tmp_path):
    """No tests, no configs, no stray folder."""
    for tool in ("build", "hatchling"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"{tool} is not installed: no wheel can be built")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    done = subprocess.run(
        [*command, str(tmp_path), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    metadata = {name for name in top if name.endswith(".dist-info")}
    assert len(metadata) == 1
    packages = {"contract", "edge", "training", "export", "host", "collector", "vedette.py"}
    assert top - metadata == packages
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert "contract/workloads/machine_condition.py" in names
