"""`vedette run`, `check`, `doctor`, `activate` and `bench`: everything that happens on a device."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

from edge import activate, bench, check, config, doctor, logs, notify
from edge.check import EX_CONFIG
from edge.errors import BundleError, ConfigError, VedetteError

_RUN = """example:
  vedette run --config edge.toml

The config names the device, the broker and one or more pipelines; `vedette check` validates it.
SIGTERM stops cleanly within 2 s; what has not been acknowledged yet is sent after the next start.

exit codes: 0 stopped, 1 failed (restart it), 78 config or bundle wrong (a person must act)
"""
_CHECK = """example:
  vedette check --config edge.toml

Reads the config, opens every bundle and reproduces its golden vectors, opens every source and the
state directory: whatever would stop `vedette run`, one line each, with the fix.
"""
_DOCTOR = """example:
  vedette doctor --config edge.toml
  sudo vedette doctor --config /etc/vedette/pump-1.toml
  vedette doctor --sensor --seconds 10 --config edge.toml

Looks at all that `vedette check` does, and at the machine: engines, clock, memory, temperature,
sensors, the disk and how fast it writes, what waits in the outbox and why, the service, the broker.
One line each: ok, warn or FAIL; where it is not ok, with the one thing to do about it.

Changes nothing, and may be run while the service runs. Without the service it connects to the
broker in its place, and publishes one empty message to PREFIX/DEVICE/doctor, to see whether it may.

--sensor only lists the sensors and listens to those of the config: level, clipping, noise floor and
measured sample rate, every second and in sum. Not while the service runs: a sensor has one reader.

exit codes: 0 nothing failed, 1 the machine needs care, 78 `vedette check` fails
"""
_ACTIVATE = """example:
  vedette activate bundles/new --config edge.toml --pipeline bearing
  vedette activate --back --config edge.toml

Lets the bundle prove itself on this very device, copies it beside the one that serves and swaps one
link; the one before stays in reserve, and --back returns to it. A running service takes up the
change at its next start: systemctl restart vedette-edge@NAME.

exit codes: 0 active, 78 refused or wrong config: what served goes on serving
"""
_BENCH = """example:
  vedette bench --bundle bundles/machine_condition --json > bench-$(hostname).json

Times the pipeline stage by stage and the bare engine call, on this very device.
"""


def main(verb: str, argv: list[str]) -> int:
    """Run one of the device's verbs; the exit code is returned."""
    arguments = _parse(verb, argv)
    logs.begin(logging.WARNING if arguments.quiet else logging.INFO)
    try:
        if verb == "run":
            return _run(arguments.config, as_json=arguments.json)
        if verb in {"check", "doctor"}:
            look = check.main if verb == "check" else doctor.main
            if verb == "doctor" and arguments.sensor:
                look = partial(doctor.listen, seconds=arguments.seconds)
            return look(arguments.config, as_json=arguments.json)
        if verb == "activate":
            return activate.main(
                arguments.config,
                new=arguments.bundle,
                is_back=arguments.back,
                pipeline=arguments.pipeline,
                as_json=arguments.json,
            )
        return bench.main(arguments.bundle, arguments.engine, arguments.seconds, arguments.json)
    except (ConfigError, BundleError) as error:
        return _tell(verb, error, EX_CONFIG)
    except VedetteError as error:
        return _tell(verb, error, 1)


def _tell(verb: str, error: VedetteError, code: int) -> int:
    sys.stderr.write(notify.mark(f"vedette {verb}: {error}", logging.ERROR) + "\n")
    return code


def _run(path: Path, *, as_json: bool) -> int:
    from edge.service import Service

    faulthandler.enable()  # so that the watchdog's SIGABRT tells where every thread was
    service = Service(config.read(path), base=path.parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    code = 1
    try:
        code = service.run()
        if as_json:
            print(json.dumps(service.summary()), flush=True)  # noqa: T201
    except BaseException:
        logging.getLogger(__name__).critical("the service died", exc_info=True)
    finally:
        # a thread stuck in a driver must not keep a stopped service alive
        os._exit(code)


def _parse(verb: str, argv: list[str]) -> argparse.Namespace:
    epilog = {
        "run": _RUN,
        "check": _CHECK,
        "doctor": _DOCTOR,
        "activate": _ACTIVATE,
        "bench": _BENCH,
    }[verb]
    parser = argparse.ArgumentParser(
        f"vedette {verb}", epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object on stdout")
    parser.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    if verb == "bench":
        parser.add_argument("--bundle", type=Path, required=True, help="bundle directory")
        parser.add_argument(
            "--engine", choices=["tflite", "onnx"], help="default: the installed one"
        )
        parser.add_argument("--seconds", type=float, default=3.0, help="how long (default: 3)")
    else:
        parser.add_argument(
            "--config",
            type=Path,
            default=Path("/etc/vedette/edge.toml"),
            help="the device's TOML file",
        )
    if verb == "doctor":
        parser.add_argument("--sensor", action="store_true", help="listen to the sensors instead")
        parser.add_argument("--seconds", type=float, default=6.0, help="how long (default: 6)")
    if verb == "activate":
        parser.add_argument("bundle", type=Path, nargs="?", help="the new bundle's directory")
        parser.add_argument("--back", action="store_true", help="return to the bundle before")
        parser.add_argument("--pipeline", help="whose bundle; needed where there are several")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main("run", sys.argv[1:]))
