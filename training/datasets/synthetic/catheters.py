"""`python -m training.datasets.synthetic.catheters`: pictures of catheters with known defects.

Tubes, tubes with marker bands and balloons on a simulated inspection line, most of them good, some
with one of nine defects of 3 to 60 pixels, and the mask of each. No public pictures of defects of
balloon catheters exist; these show whether a method works at all, not how well it does on a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.console import fail, print_json, progress, say
from training.datasets import DataError
from training.datasets.synthetic import catheters_folder, catheters_sheet
from training.datasets.synthetic.catheters_camera import Fault
from training.datasets.synthetic.catheters_defects import DEFECTS
from training.datasets.synthetic.catheters_folder import Plan
from training.datasets.synthetic.catheters_parts import KINDS
from training.datasets.synthetic.catheters_picture import Setup

_EXAMPLES = """
examples:
  # 3,000 parts to train on, 2 %% of them defective, about a minute
  python -m training.datasets.synthetic.catheters parts --parts 3000 --seed 1
  # good parts only, of one kind
  python -m training.datasets.synthetic.catheters good --parts 200 --good-only --kinds balloon
  # as many defects as good parts, of another line, to test on
  python -m training.datasets.synthetic.catheters test --parts 600 --seed 2 --defect-share 0.5
  # the lamp fades to half of its light, the lens blurs, the holder gives way
  python -m training.datasets.synthetic.catheters drift --parts 500 --seed 1 \\
      --lamp-fades-to 0.5 --lens-blurs-to 2 --part-shifts-to 30
  # what it looks like
  python -m training.datasets.synthetic.catheters --sheet sheet.png --seed 1

The folder gets images/, masks/ (255 is the defect) and labels.csv. The same command again goes on
where it was interrupted; a folder that holds anything else is left alone. The picture of a number
is the same on every machine, however many others are made.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.datasets.synthetic.catheters",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", nargs="?", type=Path, help="folder to write")
    parser.add_argument("--parts", type=int, default=3000, help="how many parts (default: 3000)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the line and its parts (default: 1)"
    )
    parser.add_argument("--views", type=int, default=1, help="pictures of each part (default: 1)")
    parser.add_argument(
        "--defect-share", type=float, default=0.02, metavar="SHARE",
        help="share of the pictures that show a defect (default: 0.02)",
    )  # fmt: skip
    parser.add_argument("--good-only", action="store_true", help="no defects at all")
    parser.add_argument(
        "--size", type=int, default=256, metavar="PX",
        help="side of the pictures; a defect has as many pixels in a larger one (default: 256)",
    )  # fmt: skip
    parser.add_argument(
        "--kinds", default=",".join(KINDS), metavar="NAMES",
        help=f"of parts, separated by commas (default: {','.join(KINDS)})",
    )  # fmt: skip
    parser.add_argument(
        "--defects", default=",".join(DEFECTS), metavar="NAMES",
        help=f"separated by commas (default: all, which is {','.join(DEFECTS)})",
    )  # fmt: skip
    parser.add_argument("--jpeg", action="store_true", help="JPEG of quality 95 instead of PNG")
    parser.add_argument(
        "--lamp-fades-to", type=float, default=1.0, metavar="SHARE",
        help="of its light at the last part, evenly from the first (default: 1.0)",
    )  # fmt: skip
    parser.add_argument(
        "--lens-blurs-to", type=float, default=0.0, metavar="PX",
        help="standard deviation of the added blur at the last part (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--part-shifts-to", type=float, default=0.0, metavar="PX",
        help="how far down the last part lies (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE.png",
        help="one picture of three good parts and each defect, outlined",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        plan = _plan(args)
        if args.sheet is not None:
            catheters_sheet.write(args.sheet, plan.setup)
            say(f"{args.sheet}: three good parts and each defect")
        if args.out is not None:
            _write(plan, args.out, as_json=args.json)
        elif args.sheet is None:
            raise DataError("give a folder to write, or --sheet FILE.png to see what it looks like")
    except (DataError, OSError) as error:
        return fail("catheters", error)
    return 0


def _write(plan: Plan, folder: Path, *, as_json: bool) -> None:
    with progress() as bar:
        task = bar.add_task("catheters", total=plan.pictures, note="")
        for done in catheters_folder.write(plan, folder):
            bar.update(task, completed=done)
    found = catheters_folder.counted(folder)
    if as_json:
        print_json({"folder": str(folder), **found})
    else:
        say(f"{folder}: {found['pictures']} pictures of {found['parts']} parts, "
            f"{found['defects']} with a defect")  # fmt: skip


def _plan(args: argparse.Namespace) -> Plan:
    """What was asked for.

    Raises:
        DataError: of a number out of range, or a name that is none.
    """
    least = {"parts": 1, "seed": 0, "views": 1, "size": 192, "lens_blurs_to": 0}
    for name, at_least in least.items():
        if (value := getattr(args, name)) < at_least:
            raise DataError(f"--{name.replace('_', '-')} {value}: must be {at_least} or more")
    if not 0.0 <= args.defect_share <= 1.0:
        raise DataError(f"--defect-share {args.defect_share}: must be from 0 to 1")
    if not 0.0 < args.lamp_fades_to <= 2.0:
        raise DataError(f"--lamp-fades-to {args.lamp_fades_to}: must be above 0 and at most 2")
    if abs(args.part_shifts_to) > args.size / 4:
        raise DataError(
            f"--part-shifts-to {args.part_shifts_to:g}: at most {args.size // 4} either way, "
            "or the part leaves the picture"
        )
    setup = Setup(
        seed=args.seed,
        size_px=args.size,
        views=args.views,
        kinds=_names("--kinds", args.kinds, KINDS),
        defect_share=0.0 if args.good_only else args.defect_share,
        defects=_names("--defects", args.defects, tuple(DEFECTS)),
    )
    fault = Fault(args.lamp_fades_to, args.lens_blurs_to, args.part_shifts_to)
    return Plan(setup, args.parts, ".jpg" if args.jpeg else ".png", fault)


def _names(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in known:
            raise DataError(f"{option} {name}: there is none such, only {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
