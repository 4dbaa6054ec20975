"""What runs a model file. A file here is an engine: it defines `open_model` and `version`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Protocol

from contract.manifest import ModelFile
from contract.spec import Engine
from edge.errors import BundleError


class EngineModule(Protocol):
    """The shape of a module in this folder."""

    def open_model(self, raw: bytes, model: ModelFile) -> Engine:
        """Load a model file's bytes and check its tensors against the manifest."""

    def version(self) -> str:
        """Runtime and version; raises ImportError where it is not installed."""


def names() -> list[str]:
    """Names of all engines, sorted, installed or not."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def version(name: str) -> str | None:
    """Runtime and version of an engine on this machine, or None where it is not installed."""
    try:
        return _module(name).version()
    except ImportError:
        return None


def open_engine(name: str, raw: bytes, model: ModelFile) -> Engine:
    """An engine with a model loaded.

    Args:
        name: of the engine.
        raw: the model file's bytes: the very ones that were checked, not a path to read again.
        model: what the manifest says of it.

    Raises:
        BundleError: unknown engine, runtime not installed, or a file its runtime will not load.
    """
    try:
        return _module(name).open_model(raw, model)
    except ImportError as error:
        extra = "edge" if name == "tflite" else f"edge-{name}"
        raise BundleError(
            f"engine {name!r} is not installed here ({error.name}); "
            f"fix: pip install 'vedette[{extra}]'"
        ) from None


def _module(name: str) -> EngineModule:
    if name not in names():
        raise BundleError(f"no engine {name!r}; known: {', '.join(names())}")
    module: EngineModule = importlib.import_module(f"{__name__}.{name}")
    return module
