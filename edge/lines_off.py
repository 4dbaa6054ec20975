"""The outputs of a config at rest: `python -m edge.lines_off CONFIG`, after the service has ended.

The process that keeps the lines does that itself; this is for when it was killed with the service,
on a board whose lines then stay as they were.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge import config
from edge.errors import ConfigError
from edge.lines_child import Gpio, Wiring, why


def main(path: Path) -> int:
    """Each output taken, at rest, and let go; 1 where one could not be."""
    try:
        pipelines = config.read(path).pipeline
    except ConfigError as error:
        sys.stderr.write(f"lines_off: {error}\n")
        return 1
    failed = 0
    for rejector in (pipeline.rejector for pipeline in pipelines):
        if rejector is None:
            continue
        try:
            Gpio(Wiring(None, rejector)).close()
        except (OSError, ModuleNotFoundError) as error:
            sys.stderr.write(f"lines_off: {rejector.chip} line {rejector.line}: {why(error)}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
