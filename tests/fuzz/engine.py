"""One target under atheris, in a process of its own: libFuzzer ends it with the first failure.

Usage: python -m fuzz.engine MODULE FOLDER [libFuzzer options, or files to try again]
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from random import Random

import atheris

_OURS = ["contract", "edge", "collector"]


def main(argv: list[str]) -> None:
    """Fuzz until the time is up or something fails.

    Args:
        argv: the module with `seeds`, `mutate` and `one`; a folder for inputs; libFuzzer's options.
    """
    name, folder, *options = argv
    with atheris.instrument_imports(include=[*_OURS, name]):
        target = importlib.import_module(name)
    corpus = Path(folder) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(target.seeds()):
        (corpus / f"seed-{i}").write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = Random(seed)
        structured = target.mutate(bytes(data), rng) if rng.random() < 0.7 else None
        if structured is None or len(structured) > max_size:
            return atheris.Mutate(data, max_size)
        return structured

    def one(data: bytes) -> None:
        try:
            target.one(data)
        except Exception:
            traceback.print_exc()
            raise

    is_repeat = any(not option.startswith("-") for option in options)
    where = [] if is_repeat else [str(corpus)]
    atheris.Setup([name, *options, *where], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
