"""`make fuzz`: coverage-guided fuzzing of everything that reads what others wrote."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("decode", "ingest", "manifest", "bundle")
_MOST_BYTES = 128 * 1024
_START_S = 60.0  # imports, seeds
_ONE_INPUT_S = 10
_MEMORY_MB = 1024
# A process begins with the peak memory of the one that it was, which may be a large test run; the
# child of a shell begins with the shell's.
_OF_ITS_OWN = ("sh", "-c", '"$@"; exit $?', "sh")
_EXAMPLE = """examples:
  make fuzz                                each target for 20 seconds
  make fuzz FUZZ="--seconds 600 decode"    one of them for ten minutes

exit codes: 0 nothing found; 1 a bug, its input kept and the command that shows it printed;
2 not possible here
"""


@dataclass(frozen=True)
class Outcome:
    """What fuzzing one target has shown.

    Attributes:
        inputs: how many were tried.
        failure: the last words where it has failed, else empty.
        again: the command that shows it again.
    """

    inputs: int
    failure: str = ""
    again: str = ""


def why_not() -> str | None:
    """Why nothing can be fuzzed here; None if it can."""
    if importlib.util.find_spec("atheris") is None:
        return "atheris is not installed: it exists for Linux on x86-64"
    return None


def fuzz(name: str, folder: Path, *, seconds: float, seed: int = 0) -> Outcome:
    """Let one target run.

    Args:
        name: of its module.
        folder: for its corpus and what makes it fail.
        seconds: for how long.
        seed: 0: another one every time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fuzz.engine", name, str(folder)]
    options = [
        *(f"-max_total_time={max(round(seconds), 1)}", f"-seed={seed}", f"-max_len={_MOST_BYTES}"),
        *(f"-timeout={_ONE_INPUT_S}", f"-rss_limit_mb={_MEMORY_MB}"),
        f"-artifact_prefix={folder}/",
    ]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*_OF_ITS_OWN, *command, *options],
        cwd=ROOT,
        # what targets leave lies there too: libFuzzer ends the process without cleaning up
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + _START_S,
        check=False,
    )
    said = done.stdout + done.stderr
    inputs = max(map(int, re.findall(r"^#(\d+)", said, re.MULTILINE)), default=0)
    if done.returncode == 0:
        return Outcome(inputs)
    kept = [path for path in folder.iterdir() if path.name.partition("-")[0] in _KEPT]
    again = " ".join(["PYTHONPATH=.:tests", *command, *map(str, kept[:1])])
    return Outcome(inputs, said[-3000:] or f"ended with {done.returncode}", again)


_KEPT = {"crash", "timeout", "oom", "slow", "leak"}  # how libFuzzer begins their names


def main(argv: list[str]) -> int:
    """Each target in turn."""
    parser = argparse.ArgumentParser(
        "make fuzz", epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default all)")
    add("--seconds", type=float, default=20.0, help="for each (default 20)")
    add("--seed", type=int, default=0, help="0: another one every time (default)")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no target {min(unknown)!r}; known: {', '.join(TARGETS)}")
    if why := why_not():
        print(why)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="vedette-fuzz-"))
    failed = False
    for name in arguments.targets or TARGETS:
        began_s = time.monotonic()
        found = fuzz(
            f"fuzz.fuzz_{name}", folder / name, seconds=arguments.seconds, seed=arguments.seed
        )
        took_s = time.monotonic() - began_s
        verdict = "FAILED" if found.failure else "nothing found"
        print(f"{name}: {found.inputs} inputs in {took_s:.0f} s, {verdict}", flush=True)
        if found.failure:
            failed = True
            print(f"{found.failure}\nthe same again: {found.again}", flush=True)
    if not failed:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
