"""`make chaos`: real parts, a seeded schedule of faults, and not one alert lost or doubled."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from chaos import report, sandbox, schedule, site
from chaos.faults import KINDS
from chaos.run import Run
from chaos.site import Site
from chaos.soak import LEAST_MINUTES, soak
from chaos.units import DEVICES, Load

_DRAIN_S = 120.0
_EXAMPLE = """examples:
  make chaos                               the full schedule with seed 1
  make chaos CHAOS="--seed 3 --json"       another one, the result as JSON
  make chaos CHAOS="--short"               what the test suite runs
  make chaos CHAOS="--soak 60 --rate 100"  an hour without faults: does memory grow?

exit codes: 0 nothing lost, nothing doubled; 1 something was; 2 not possible here
"""


def main(argv: list[str]) -> int:
    """Run one schedule, or a soak."""
    arguments = _parse(argv)
    if why := sandbox.no_broker():
        print(why)
        return 2
    why_no_sandbox = sandbox.enter(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    folder = Path(tempfile.mkdtemp(prefix="vedette-chaos-"))
    began_s = time.monotonic()

    def say(line: str) -> None:
        stream = sys.stderr if arguments.json else sys.stdout
        print(f"[{time.monotonic() - began_s:6.1f} s] {line}", file=stream, flush=True)

    missing = sandbox.left_out(why_no_sandbox)
    say(f"seed {arguments.seed}, files in {folder}")
    with site.running(folder, _load(arguments), is_real=why_no_sandbox is None) as whole:
        say("broker, collectors and devices are up")
        if arguments.soak:
            failures = soak(whole, minutes=arguments.soak, say=say)
        else:
            failures = _schedule(arguments, whole, missing, say)
        if arguments.keep or failures:
            whole.save()
    for failure in failures:
        say(failure)
    if failures:
        say(f"failed; the same again: --seed {arguments.seed}; logs and databases in {folder}")
    elif not arguments.keep:
        shutil.rmtree(folder)
    return 1 if failures else 0


def _schedule(
    arguments: argparse.Namespace, whole: Site, missing: dict[str, str], say: Callable[[str], None]
) -> list[str]:
    """Draw a schedule, carry it out, print the table; what is wrong, one line each."""
    kinds = [kind for kind in KINDS if kind.needs not in missing]
    left_out = [f"{kind.name}: {missing[kind.needs]}" for kind in KINDS if kind.needs in missing]
    for line in left_out:
        say(f"left out: {line}")
    steps = schedule.draw(
        kinds,
        seed=arguments.seed,
        count=max(arguments.faults, len(kinds)),
        seconds=arguments.minutes * 60,
        is_short=arguments.short,
    )
    outcome = Run(whole, steps, say=say)(drain_s=_DRAIN_S)
    if arguments.json:
        found = report.as_json(outcome, seed=arguments.seed, left_out=left_out)
        print(json.dumps(found, indent=1))
    for name, exits in outcome.exits.items():
        around = Counter((each.code, str(outcome.nearest(each.at_s))) for each in exits)
        for (code, fault), times in around.items():
            say(f"{name} ended by itself, {times} times with {code}, near {fault}")
    say(
        f"{len(outcome.raised)} alerts raised, {len(outcome.lost)} lost; {len(outcome.died)} more"
        " were held in memory on a full disk, said so, and died with their process"
    )
    print(report.as_text(report.lines(outcome)), file=sys.stderr if arguments.json else sys.stdout)
    return outcome.failures


def _load(arguments: argparse.Namespace) -> Load:
    """Recordings that last longer than the schedule, whatever delays it."""
    if arguments.soak:
        each_per_s = arguments.rate / len(DEVICES)
        minutes = arguments.soak + 2
        return Load(arguments.seed, minutes, each_per_s, each_per_s, has_clocks=False)
    return Load(arguments.seed, 2 * arguments.minutes + 5)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "make chaos", epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seed", type=int, default=1, help="of the schedule and of the machines (default 1)")
    add("--short", action="store_true", help="each fault only as long as it must")
    add("--faults", type=int, default=40, help="at least one of each kind (default 40)")
    add("--minutes", type=float, help="the schedule should take (default 13; with --short 2)")
    add("--json", action="store_true", help="print the result as JSON, progress to stderr")
    add("--keep", action="store_true", help="keep logs and databases, also when all went well")
    add("--soak", type=float, metavar="MINUTES", help="no faults: watch memory instead")
    add("--rate", type=float, default=100.0, help="alerts per second in a soak (default 100)")
    arguments = parser.parse_args(argv)
    if arguments.soak is not None and arguments.soak < LEAST_MINUTES:
        parser.error(f"--soak {arguments.soak:g}: at least {LEAST_MINUTES:g} minutes")
    arguments.minutes = arguments.minutes or (2.0 if arguments.short else 13.0)
    return arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
