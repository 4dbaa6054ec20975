"""The four ways a device can fail that are not bugs. Anything else crashes and is restarted."""


class VedetteError(Exception):
    """The common parent: one line for a person, no traceback."""


class ConfigError(VedetteError, ValueError):
    """A person must act; the service exits with 78 and is not restarted."""


class BusyError(VedetteError):
    """Another process has what we need; it ends some time, so the service is started again."""


class BundleError(VedetteError, ValueError):
    """A model was refused; the previous bundle keeps serving."""


class SourceError(VedetteError, OSError):
    """The sensor is unavailable; tried again with backoff, reported in health."""


class EngineError(VedetteError, RuntimeError):
    """An inference failed; the pipeline is restarted once, then the process ends."""


class OutputError(EngineError):
    """One window's numbers are not finite; it is not judged, and many in a row end the engine."""


def one_line(error: BaseException) -> str:
    """What a library says over several lines, in one."""
    return " ".join(str(error).split())
