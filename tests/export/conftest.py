import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDS_KERAS = pytest.mark.skip(reason="needs Keras; fix: make setup")


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("keras") is None:
        for item in items:
            if item.get_closest_marker("training"):
                item.add_marker(NEEDS_KERAS)


@dataclass(frozen=True)
class Exported:
    """One short training run and its bundle, with what `export --json` said."""

    run: Path
    bundle: Path
    said: dict


def small_recipe(patch):
    """The real recipe on few and simulated machines only."""
    from training.recipes import machine_condition

    patch.delenv("VEDETTE_DATA", raising=False)
    patch.setattr(machine_condition, "_MACHINES", 5)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    base = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch, (base / "said.json").open("w") as said:
        small_recipe(patch)
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        from export.__main__ import main as export
        from training.__main__ import main as train

        run, bundle = base / "run", base / "bundle"
        assert train("train", ["machine_condition", "--out", str(run), "--epochs", "8"]) == 0
        patch.setattr("sys.stdout", said)
        assert export("export", [str(run), "--out", str(bundle), "--json"]) == 0
    return Exported(run, bundle, json.loads((base / "said.json").read_text()))


@pytest.fixture
def copied(exported, tmp_path, monkeypatch):
    """A run and a bundle of its own for a test that changes them."""
    small_recipe(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(exported.run.parent / "cache"))
    shutil.copytree(exported.run, tmp_path / "run")
    shutil.copytree(exported.bundle, tmp_path / "bundle")
    return Exported(tmp_path / "run", tmp_path / "bundle", exported.said)
