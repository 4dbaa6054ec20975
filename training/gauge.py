"""`python -m training.gauge`: is the gauge good enough for the parts it measures?

From a table of values, or from pictures of sections that are measured here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contract import section_limits
from contract.section import PX, UM
from contract.section_limits import Limits, LimitsError
from training import gauge_page, pictures
from training.console import fail, print_json, progress, say
from training.datasets import DataError
from training.gauge_study import SPREAD, Study, study, table
from training.people import table as rows_of

COLUMNS = ("part", "operator", "repeat", "value")
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
_DIAMETER = "outer_diameter_px"
_EXAMPLE = """example:
  python -m training.gauge measures.csv --out gauge.html
  python -m training.gauge pictures/ --size wall_least_um --limits limits.toml --json

exit codes: 0 done, 1 failed, 2 wrong usage
"""
Value = tuple[str, str, str, float]


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit code is returned."""
    asked = _parser().parse_args(argv)
    try:
        limits = _limits(asked.limits)
        if asked.tolerance is not None and not asked.tolerance > 0:
            raise DataError(f"--tolerance {asked.tolerance:g}; fix: a number above 0")
        size = asked.size or ("" if asked.measures.is_file() else _DIAMETER)
        tolerance = asked.tolerance or _tolerance(limits, size)
        values = measured(asked.measures, limits, size)
        parts, operators, array = table(values)
        found = study(array)
        if asked.out:
            page = gauge_page.write(
                asked.out,
                found,
                array,
                parts=parts,
                operators=operators,
                measured=size or asked.measures.stem,
                tolerance=tolerance,
                command=" ".join(["python -m training.gauge", *argv]),
            )
            say(f"report: {page}")
    except (DataError, LimitsError, OSError) as error:
        return fail("gauge", error)
    except KeyboardInterrupt:
        return fail("gauge", "interrupted; fix: run it again")
    say(
        f"gauge R&R {found.study_percent(found.grr):.1f} % of the study variation, "
        f"{found.categories} distinct categories: {found.verdict}"
    )
    if asked.json:
        print_json(as_json(found, tolerance))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m training.gauge",
        description="Gauge R&R of a crossed study: every operator measures every part as often.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "measures",
        type=Path,
        metavar="MEASURES.csv|DIR",
        help="a table with columns part, operator, repeat, value; or pictures of sections as "
        "DIR/PART/OPERATOR/PICTURE, each one a repeat",
    )
    add("--size", metavar="NAME", help=f"what is measured in pictures; default: {_DIAMETER}")
    add("--limits", type=Path, metavar="FILE", help="of the part, TOML or JSON: scale, tolerance")
    add("--tolerance", type=float, metavar="WIDTH", help="high less low limit; default: --limits'")
    add("--out", type=Path, metavar="FILE.html", help="a page with figures")
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    return parser


def as_json(found: Study, tolerance: float | None) -> dict[str, object]:
    """What `--json` prints; percentages are of the study variation."""
    names = {"ev": found.ev, "av": found.av, "interaction": found.interacting}
    names |= {"grr": found.grr, "pv": found.pv, "tv": found.tv}
    said: dict[str, object] = {
        **names,
        **{f"{name}_percent": found.study_percent(one) for name, one in names.items()},
        "ndc": found.categories,
        "interaction_p": found.p_interaction,
        "interaction_pooled": found.is_pooled,
        "verdict": found.verdict,
    }
    if tolerance is not None:
        said["grr_percent_of_tolerance"] = 100.0 * SPREAD * found.grr / tolerance
    return said


def measured(source: Path, limits: Limits, size: str) -> list[Value]:
    """Part, operator, repeat and value of every row of a table, or of every picture of a folder.

    Raises:
        DataError: nothing there, a value is no number, or a picture cannot be measured.
    """
    if source.is_dir():
        return _from_pictures(source, limits, size)
    rows = []
    for number, row in enumerate(rows_of(source, COLUMNS), start=2):
        try:
            value = float(row["value"])
        except ValueError:
            raise DataError(
                f"{source}: line {number}: value {row['value']!r}; fix: a number"
            ) from None
        rows.append((row["part"], row["operator"], row["repeat"], value))
    return rows


def _from_pictures(folder: Path, limits: Limits, size: str) -> list[Value]:
    files = sorted(file for file in folder.glob("*/*/*") if file.suffix.lower() in _ENDINGS)
    if not files:
        raise DataError(f"{folder}: no pictures as PART/OPERATOR/PICTURE; fix: sort them so")
    scale = Limits(
        limits.um_per_px, {n: one for n, one in limits.limits.items() if n in section_limits.LOOKS}
    )
    rows = []
    with progress() as bars:
        task = bars.add_task("measuring", total=len(files), note="")
        for file in files:
            part = section_limits.inspect(pictures.read(file), scale)
            if part.label == section_limits.REFUSED:
                raise DataError(f"{file}: not measured: {part.reason}; fix: photograph it again")
            if size not in part.sizes:
                known = ", ".join(sorted(part.sizes))
                raise DataError(f"--size {size}: not among what {file} has: {known}")
            rows.append((file.parts[-3], file.parts[-2], file.name, part.sizes[size]))
            bars.update(task, note=file.name)
            bars.advance(task)
        bars.update(task, note="")
    return rows


def _limits(file: Path | None) -> Limits:
    return Limits() if file is None else section_limits.read(file.read_bytes(), name=str(file))


def _tolerance(limits: Limits, size: str) -> float | None:
    """Of a size, in its own unit, also where the other one is limited."""
    limit, scale = limits.limits.get(size), 1.0
    other = size.removesuffix(PX) + UM if size.endswith(PX) else size.removesuffix(UM) + PX
    if limit is None and other in limits.limits and limits.um_per_px is not None:
        limit = limits.limits[other]
        scale = 1.0 / limits.um_per_px if size.endswith(PX) else limits.um_per_px
    if limit is None or limit.low is None or limit.high is None or limit.low == limit.high:
        return None
    return (limit.high - limit.low) * scale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
