"""`vedette bearing`: the fault frequencies of a bearing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from contract import bearings
from contract.bearings import Part

_EXAMPLE = """example:
  vedette bearing 6205 --rpm 1797
  vedette bearing                    # the names there are

exit codes: 0 done, 1 no such bearing, 2 wrong usage
"""
_PARTS: dict[Part, str] = {
    "outer": "BPFO, a fault of the outer race",
    "inner": "BPFI, a fault of the inner race",
    "ball": "2 x BSF, a fault of a rolling element",
    "cage": "FTF, the cage",
}


def main(verb: str, argv: Sequence[str]) -> int:
    """Run the verb; the exit code is returned."""
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        description="How often a damaged part of a rolling bearing strikes: per turn of the shaft, "
        "and in Hz at a speed. Without a name: the catalogue.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help='such as 6205 or "SKF 6205-2RS"')
    parser.add_argument("--rpm", type=float, metavar="N", help="speed of the shaft")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    asked = parser.parse_args(argv)
    if asked.rpm is not None and not 0 < asked.rpm < float("inf"):
        parser.error(f"--rpm {asked.rpm:g} is no speed; give turns per minute above 0")
    if asked.name is None:
        names = list(bearings.CATALOGUE)
        sys.stdout.write(json.dumps({"bearings": names}) if asked.json else ", ".join(names))
        sys.stdout.write("\n")
        return 0
    try:
        bearing = bearings.find(asked.name)
    except ValueError as error:
        sys.stderr.write(f"vedette {verb}: {error}\n")
        return 1
    orders = bearing.orders()
    hz = {part: order * (asked.rpm or 0.0) / 60 for part, order in orders.items()}
    if asked.json:
        found = {"bearing": bearing.name, "orders": orders}
        sys.stdout.write(json.dumps(found | ({"hz": hz} if asked.rpm else {})) + "\n")
        return 0
    sys.stdout.write(
        f"{bearing.name}: {bearing.elements} elements of {bearing.ball_mm:g} mm on a circle of "
        f"{bearing.pitch_mm:g} mm, contact angle {bearing.angle_deg:g} degrees\n"
    )
    for part, text in _PARTS.items():
        at_speed = f"  {hz[part]:8.2f} Hz" if asked.rpm else ""
        sys.stdout.write(f"  {orders[part]:7.4f} x shaft{at_speed}  {text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main("bearing", sys.argv[1:]))
