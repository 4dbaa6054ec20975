"""`python -m export.sections`: limits of a section, as a bundle that a device measures by.

Nothing is trained and no model is in it: the file of limits is all there is to know.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contract import section_limits, workloads
from contract.manifest import FORMAT_VERSION, Manifest
from contract.section_limits import Limits, LimitsError
from contract.spec import Array, OperatingPoint
from edge.errors import VedetteError
from export import bundle
from training import run as runs
from training.console import fail, print_json, say

NAME = "catheter_section"
_LIMIT = 1.0  # excess of a size that is at its limit
_EXAMPLE = """example:
  python -m export.sections limits.toml --out bundles/catheter_section

exit codes: 0 done, 1 failed, 2 wrong usage
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is returned."""
    parser = argparse.ArgumentParser(
        "python -m export.sections",
        description="Make a bundle that measures sections and judges them by limits.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("limits", type=Path, metavar="LIMITS", help="TOML or JSON, see docs/inspection.md")
    add(
        "--out", type=Path, metavar="DIR", default=Path("bundles", NAME), help="the bundle's folder"
    )
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    asked = parser.parse_args(argv)
    try:
        raw = asked.limits.read_bytes()
        limits = section_limits.read(raw, name=str(asked.limits))
        made = build(limits, asked.out, digest=hashlib.sha256(raw).hexdigest())
    except (LimitsError, VedetteError, OSError) as error:
        return fail("sections", error)
    say(f"bundle   {asked.out}: {len(limits.limits)} limits")
    if asked.json:
        print_json({"bundle": str(asked.out), "workload": made.workload, **made.data})
    return 0


def build(limits: Limits, out: Path, *, digest: str) -> Manifest:
    """Write a bundle and let the device's own check open it.

    Args:
        limits: of a section.
        out: the bundle's folder; an older bundle there is replaced.
        digest: of the file that the limits stand in.

    Returns:
        the manifest as written.

    Raises:
        BundleError: the device would refuse it; nothing has changed.
    """
    workload = workloads.load(NAME)
    made = Manifest(
        format_version=FORMAT_VERSION,
        workload=workload.name,
        revision=workload.revision,
        created=runs.now(),
        stages={},
        golden_sha256="",
        operating_point=OperatingPoint(_LIMIT, _LIMIT, "the limits of a section", {}),
        labels=list(workload.labels),
        metrics={},
        tolerances=dict(workload.tolerances),
        float_bytes={},
        data={"limits": digest},
        commit=runs.commit(),
        licence="nothing was trained",
        versions=runs.versions("numpy"),
    )
    golden = {"windows": _golden()[None], "rate_hz": np.array(0.0)}
    return bundle.write(out, made, {}, golden, section_limits.as_arrays(limits))


def _golden() -> Array:
    """(240, 320, 3) uint8: a ring with soft edges."""
    y, x = np.mgrid[:240, :320]
    radius = np.hypot(x - 160.0, y - 120.0)
    share = np.clip((90.0 - radius) / 3 + 0.5, 0, 1) * np.clip((radius - 60.0) / 3 + 0.5, 0, 1)
    grey = np.round(40.0 + 180.0 * share).astype(np.uint8)
    return grey[:, :, None].repeat(3, axis=2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
