"""The one command: `vedette VERB ...`. One line per verb; nothing is imported until chosen."""

from __future__ import annotations

import importlib
import sys

VERBS = {
    "demo": ("host.demo", "the whole suite on this machine: train, deploy, watch, see the alert"),
    "train": ("training.__main__", "train a workload's model from recordings"),
    "export": ("export.__main__", "turn a training run into a verified int8 bundle"),
    "evaluate": (
        "export.evaluate",
        "measure a bundle on a data set, through the device's own code",
    ),
    "run": ("edge.__main__", "the device service: watch, and send alerts"),
    "check": ("edge.__main__", "validate a device's config and its bundles before they run"),
    "doctor": ("edge.__main__", "what is wrong with a device, and what to do about it"),
    "activate": ("edge.__main__", "make another bundle serve, or go back to the one before"),
    "enrol": ("edge.enrolment", "who is recognised: people from 1 to 5 pictures each, and consent"),
    "forget": ("edge.enrolment", "erase somebody who was enrolled, and look whether it is done"),
    "bearing": ("contract.__main__", "the fault frequencies of a bearing, from a catalogue"),
    "bench": ("edge.__main__", "time a bundle on this very device"),
    "collect": ("collector.__main__", "the central side: store alerts, acknowledge, show the page"),
    "evidence": ("collector.fetch", "what an alert was raised on, as a file, from the collector"),
    "site": ("collector.site", "certificates for broker and devices, made here; revocation"),
}

_HELP = """usage: vedette VERB [options]

{verbs}

  vedette demo                 see all of it work, in about a minute
  vedette VERB --help          what a verb does, with an example

exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration (a person must act)
"""


def main(argv: list[str] | None = None) -> int:
    """Run one verb; the exit code is returned."""
    arguments = sys.argv[1:] if argv is None else argv
    verb = arguments[0] if arguments else "--help"
    if verb in {"-h", "--help", "help"}:
        verbs = "\n".join(f"  {name:<10} {text}" for name, (_, text) in VERBS.items())
        sys.stdout.write(_HELP.format(verbs=verbs))
        return 0
    if verb not in VERBS:
        sys.stderr.write(f"vedette: no verb {verb!r}; known: {', '.join(VERBS)}\n")
        return 2
    try:
        module = importlib.import_module(VERBS[verb][0])
    except ModuleNotFoundError as error:
        if error.name in {"contract", "edge", "training", "export", "host", "collector"}:
            raise
        role = VERBS[verb][0].partition(".")[0]
        sys.stderr.write(
            f"vedette {verb}: the package {error.name!r} is not installed here; "
            f"fix: pip install 'vedette[{role}]', or `make setup` in a checkout\n"
        )
        return 1
    code: int = module.main(verb, arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
