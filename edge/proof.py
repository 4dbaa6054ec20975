"""Let a bundle prove itself in a process of its own, which a bad model may crash, hang or bloat.

LiteRT and ONNX Runtime are C++: a file that fits its hash can still end in a signal or in a loop
without end. In the service that would be crash and restart again and again; here it is a reason.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import Bundle
from edge.errors import BundleError, one_line

TIME_S = 30.0
MEMORY_BYTES = 384 << 20  # runtime, model and golden vectors, on top of Python and NumPy
_GRACE_S = 1.0  # the child ends itself, also where nobody waits for it any more
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Proof:
    """What a bundle showed on this device.

    Attributes:
        model_id: of the models that were tried.
        window_s: how long a window takes here, seconds.
    """

    model_id: str
    window_s: float


def prove(
    path: Path,
    engine: str | None = None,
    *,
    within_s: float | None = None,
    time_s: float = TIME_S,
    python: str = sys.executable,
) -> Proof:
    """Open a bundle in another process: its time and memory bounded, its death survived.

    Args:
        path: the bundle's directory, or a link to it.
        engine: `tflite` or `onnx`; None: the first one that is installed, `tflite` before.
        within_s: the longest a window may take on this device; None: as long as it likes.
        time_s: the longest the whole proof may take.
        python: what runs it.

    Raises:
        BundleError: refused by `Bundle.open`, or too slow, too large, hanging or crashing.
    """
    command = [python, "-m", "edge.proof", str(path.absolute()), engine or "", str(time_s)]
    try:
        done = subprocess.run(
            command,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_s + _GRACE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _hangs(path, time_s) from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be tried: {command[0]}: {error.strerror}") from None
    if done.returncode == -signal.SIGALRM:
        raise _hangs(path, time_s)
    if done.returncode < 0:
        death = signal.strsignal(-done.returncode)
        raise BundleError(f"{path}: its model kills the runtime ({death}); fix: export again")
    try:
        said = json.loads(done.stdout.splitlines()[-1])  # a runtime may have written before
    except (IndexError, ValueError):
        last = one_line(Exception(done.stderr.strip().rpartition("\n")[2]))
        raise BundleError(f"{path}: could not be tried, exit {done.returncode}: {last}") from None
    if refused := said.get("refused"):
        raise BundleError(refused)
    proof = Proof(said["model_id"], said["window_s"])
    if within_s is not None and proof.window_s > within_s:
        raise BundleError(
            f"{path}: too slow for this device: a window takes {proof.window_s * 1e3:.4g} ms, "
            f"{within_s * 1e3:.4g} ms are allowed; fix: a smaller model, or a longer hop_s"
        )
    return proof


def _hangs(path: Path, time_s: float) -> BundleError:
    return BundleError(f"{path}: not through its golden vectors after {time_s:g} s")


def main(argv: list[str]) -> int:
    """The other process: PATH, ENGINE or nothing, and the seconds it has; JSON on stdout."""
    path, engine, time_s = argv
    signal.setitimer(signal.ITIMER_REAL, float(time_s))
    with contextlib.suppress(ImportError):
        import cv2  # noqa: F401 - before: its libraries take 300 MB of addresses, and no memory
    _restrain()
    try:
        bundle = Bundle.open(Path(path), engine or None)
    except BundleError as error:
        said: dict[str, object] = {"refused": str(error)}
    except MemoryError:
        said = {"refused": f"{path}: needs more than {MEMORY_BYTES >> 20} MiB"}
    else:
        said = {"model_id": bundle.model_id, "window_s": bundle.window_s}
    sys.stdout.write(f"\n{json.dumps(said)}\n")
    return 0


def _restrain() -> None:
    """No more memory than a model may need, and no core dumps of what it does wrong."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    for what, soft in ((resource.RLIMIT_AS, most), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        limits = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(what, (limits, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
