"""Speed as ratios measured side by side: `python benchmarks/run.py [--quick]`.

Whatever is compared is measured alternately in one run, because the machine is never the same
twice. Writes `benchmarks/results.md`; with `--quick` it only prints, a number from few samples is
not to be kept.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import engines
import faces
import inspection
import messaging
import methods
import pipeline

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results.md"
FACES = ROOT / "bundles" / "faces"
RUN, BUNDLE = ROOT / "runs" / "bench", ROOT / "runs" / "bench-bundle"
PACKAGES = ("numpy", "ai-edge-litert", "onnxruntime", "paho-mqtt", "msgspec", "keras", "pyod")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few samples, prints only")
    parser.add_argument("--only", choices=["faces", "inspection"], help="one section, put in place")
    parser.add_argument(
        "--anomalib", type=Path, metavar="PYTHON", help="interpreter that has it, for `inspection`"
    )
    asked = parser.parse_args()
    if asked.only:
        return alone(asked)
    train_and_export(RUN, BUNDLE)
    top = header(quick=asked.quick)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sections = [
            pipeline.measure(BUNDLE, quick=asked.quick),
            engines.measure(RUN, BUNDLE, work, quick=asked.quick),
            *messaging.measure(BUNDLE, work, quick=asked.quick),
            methods.measure(BUNDLE, quick=asked.quick),
            faces.measure(FACES, quick=asked.quick),
            inspection.measure(work, quick=asked.quick, anomalib=asked.anomalib),
        ]
    text = "\n\n".join([top, *sections]) + "\n"
    if asked.quick:
        print(text)
    else:
        RESULTS.write_text(text, encoding="utf-8")
        print(RESULTS)
    return 0


def alone(asked: argparse.Namespace) -> int:
    """One section, measured by itself; it takes the place of the old one."""
    measured = (
        f"Measured by itself on {dt.datetime.now(dt.UTC):%Y-%m-%d}, commit `{commit()}`, load "
        f"average {os.getloadavg()[0]:.1f} at the start."
    )
    with tempfile.TemporaryDirectory() as folder:
        if asked.only == "faces":
            made = faces.measure(FACES, quick=asked.quick)
        else:
            made = inspection.measure(Path(folder), quick=asked.quick, anomalib=asked.anomalib)
    head, rest = made.split("\n\n", 1)
    section = f"{head}\n\n{measured}\n\n{rest.rstrip()}\n"
    if asked.quick:
        print(section)
        return 0
    old = RESULTS.read_text(encoding="utf-8")
    before, found, after = old.partition(f"{head}\n")
    _, next_one, others = after.partition("\n## ")
    kept = f"\n## {others}" if next_one else ""
    before = before if found else before.rstrip() + "\n\n"
    RESULTS.write_text(before + section + kept, encoding="utf-8")
    print(RESULTS)
    return 0


def train_and_export(run: Path, bundle: Path) -> None:
    """The model that is timed, made by the code as it is now."""
    shutil.rmtree(run, ignore_errors=True)
    vedette("train", "machine_condition", "--out", str(run))
    vedette("export", str(run), "--out", str(bundle))


def vedette(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "vedette", *arguments], cwd=ROOT, check=True)


def header(*, quick: bool) -> str:
    command = "python benchmarks/run.py" + (" --quick" if quick else "")
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"""# Measured speed

Written by `{command}` (`make bench`), {dt.datetime.now(dt.UTC):%Y-%m-%d}, commit \
`{commit()}`.

- Machine: {processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, \
{platform.machine()}; load average {os.getloadavg()[0]:.1f} at the start
- Versions: {", ".join(versions)}
- Numbers are medians; in parentheses the lowest and the highest of the repeats. Compare ratios,
  not times: what stands side by side was measured alternately in one run. This is no Raspberry Pi
  and no Jetson; `vedette bench --json` measures there."""


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
