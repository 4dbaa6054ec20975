"""The registry: a file in this folder that defines `WORKLOAD` is a workload."""

from __future__ import annotations

import importlib
import pkgutil

from contract.spec import Workload


def names() -> list[str]:
    """Names of all workloads, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Workload:
    """The workload called `name`.

    Raises:
        LookupError: no file of that name is in this folder.
    """
    if name not in names():
        raise LookupError(f"no workload {name!r}; known: {', '.join(names())}")
    workload = importlib.import_module(f"{__name__}.{name}").WORKLOAD
    assert isinstance(workload, Workload)
    return workload
