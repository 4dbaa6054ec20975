"""`vedette VERB`: one door, no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vedette


@pytest.mark.parametrize("verb", vedette.VERBS)
def test_every_verb_teaches_with_an_example(verb: str):
    """In a fresh process, as a person would ask."""
    done = subprocess.run(
        [sys.executable, "-m", "vedette", verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"vedette {verb}" in done.stdout
    assert "example" in done.stdout
    assert "--json" in done.stdout


def test_no_verb_and_help_list_the_verbs(capsys: pytest.CaptureFixture[str]):
    """The first thing anybody sees."""
    assert vedette.main([]) == vedette.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in vedette.VERBS)
    assert "exit codes" in said


def test_an_unknown_verb_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    """Exit code 2, the known ones named."""
    assert vedette.main(["frobnicate"]) == 2
    assert "demo" in capsys.readouterr().err


def test_a_role_that_is_not_installed_says_how_to_install_it():
    """A device has no rich: `vedette demo` there names the extra, not a traceback."""
    code = (
        "import sys; sys.modules['rich'] = None; sys.modules['rich.console'] = None\n"
        "import vedette; sys.exit(vedette.main(['demo']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "vedette[host]" in done.stderr
    assert "Traceback" not in done.stderr
