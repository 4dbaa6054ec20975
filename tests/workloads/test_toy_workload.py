"""The walk in docs/adding-a-workload.md works: three files, and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import contract

ROOT = Path(contract.__file__).parents[1]
WALK = ROOT / "docs" / "adding-a-workload.md"
FILES = (
    "contract/workloads/tone.py",
    "training/recipes/tone.py",
    "tests/workloads/test_tone.py",
)
SHARED = "tests/workloads/test_registry.py"


def blocks():
    """The Python blocks of the page by the path in the heading above each."""
    found, path, inside = {}, "", False
    for line in WALK.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("### "):
            path = line.rpartition(": `")[2].rstrip("`\n")
        elif line.startswith("```"):
            inside = line == "```python\n"
        elif inside:
            found[path] = found.get(path, "") + line
    return found


@pytest.fixture
def checkout(tmp_path):
    """A checkout with nothing but what the walk tells to add."""
    for package in ("contract", "edge", "training", "export"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    (tmp_path / "tests" / "workloads").mkdir(parents=True)
    for name in (SHARED, "pyproject.toml", "vedette.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in blocks().items():
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(checkout, *arguments):
    """A Python process in the checkout that sees its packages and not those under test here."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "XDG_CACHE_HOME": str(checkout / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def shared_tests(checkout, marks):
    """Output of the shared and the toy's own tests, as far as they are about the toy."""
    files = (SHARED, FILES[2])
    options = ("-p", "no:cacheprovider", "-v", "-k", "tone", "-m", marks)
    return run(checkout, "pytest", *files, *options)


def test_walk_has_three_files():
    """A fourth would mean that an abstraction is missing."""
    assert tuple(blocks()) == FILES


def test_shared_tests_find_the_toy_and_pass(checkout):
    """A file in a folder is all that a workload needs to be known."""
    done = shared_tests(checkout, "not training")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.findall(r"::(\w+)\[tone\S*\] PASSED", done.stdout)
    assert "test_rows_have_the_declared_shape_and_type" in passed
    assert "test_every_model_has_a_recipe_or_is_published" in passed
    assert "test_data_are_rows_for_the_model" in passed
    assert "test_tone.py::test_tone_stands_out_in_its_own_band PASSED" in done.stdout


def test_shared_tests_notice_a_broken_toy(checkout):
    """They pass because it is right, not because they look away."""
    file = checkout / FILES[0]
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("input_shape=(N_BANDS,)", "input_shape=(N_BANDS + 1,)"), "utf-8")
    done = shared_tests(checkout, "not training")
    assert "test_rows_have_the_declared_shape_and_type[tone] FAILED" in done.stdout


@pytest.mark.training
@pytest.mark.slow
def test_toy_is_trained_exported_and_opened_by_a_device(checkout):
    """The commands at the end of the walk, to a bundle that proves itself."""
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed (make setup)")
    (checkout / "data").mkdir()
    trained = run(checkout, "vedette", "train", "tone", "--data", "data", "--out", "run", "--json")
    assert trained.returncode == 0, trained.stderr
    exported = run(checkout, "vedette", "export", "run", "--out", "bundles/tone", "--json")
    assert exported.returncode == 0, exported.stderr
    timed = run(checkout, "vedette", "bench", "--bundle", "bundles/tone", "--seconds", "0.2")
    assert timed.returncode == 0, timed.stderr
    assert timed.stdout.startswith("tone on ")
