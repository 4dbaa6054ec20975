"""What a bundle says about itself."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

import msgspec

from contract.spec import OperatingPoint

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
LEARNED = "learned.npz"
_UNSEALED = "0" * 64


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shape with the batch axis, type, and affine quantization where the type is an integer."""

    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model file, as one engine runs it."""

    file: str
    sha256: str
    bytes: int
    input: Tensor
    output: Tensor


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`manifest.json`: everything a device needs to know before it believes a model.

    Attributes:
        stages: model files by stage, then by engine (`tflite`, `onnx`).
        operating_point: thresholds chosen on validation data, after quantization.
        metrics: by engine and for `float`, the workload's metrics on data kept apart.
        tolerances: the largest loss against `float` the export gate allowed, by metric.
        float_bytes: size of the float model as TFLite, by stage.
        data: where the training data came from and a digest of it.
        commit: of the code that made it; `unknown` outside a repository.
        versions: of the tools that made it.
        learned_sha256: of `learned.npz`, what was learned beside the models; empty: nothing was.
        manifest_sha256: of this very file, with these 64 digits as zeros; `encode` fills it in.
    """

    format_version: int
    workload: str
    revision: int
    created: str
    stages: dict[str, dict[str, ModelFile]]
    golden_sha256: str
    operating_point: OperatingPoint
    labels: list[str]
    metrics: dict[str, dict[str, float]]
    tolerances: dict[str, float]
    float_bytes: dict[str, int]
    data: dict[str, str]
    commit: str
    licence: str
    versions: dict[str, str]
    learned_sha256: str = ""
    manifest_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] = _UNSEALED

    def model_id(self, engine: str) -> str:
        """Twelve hex digits that name the models of one engine: what a profile is bound to."""
        models = [self.stages[stage][engine].sha256 for stage in sorted(self.stages)]
        learned = [self.learned_sha256] if self.learned_sha256 else []
        text = " ".join((self.workload, str(self.revision), *models, *learned))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`, readable and sealed."""
    unsealed = msgspec.structs.replace(manifest, manifest_sha256=_UNSEALED)
    return seal(msgspec.json.format(msgspec.json.encode(unsealed), indent=2) + b"\n")


def seal(raw: bytes) -> bytes:
    """A manifest's bytes with the 64 zeros of `manifest_sha256`, its last field, filled in."""
    before, _, after = raw.rpartition(_UNSEALED.encode())
    return before + hashlib.sha256(raw).hexdigest().encode() + after


def decode(raw: bytes) -> Manifest:
    """Read `manifest.json`; every byte of it must be as it was written.

    Raises:
        msgspec.DecodeError: not JSON, a field missing, unknown, twice or of the wrong type, or
            anything changed since it was sealed.
    """
    made = msgspec.json.decode(raw, type=Manifest)
    json.loads(raw, object_pairs_hook=_once)
    unsealed = raw.replace(made.manifest_sha256.encode(), _UNSEALED.encode())
    if hashlib.sha256(unsealed).hexdigest() != made.manifest_sha256:
        raise msgspec.ValidationError(
            f"changed since it was written, or format {made.format_version} (this version reads "
            f"{FORMAT_VERSION}): manifest_sha256 does not fit; fix: copy or export it again"
        )
    return made


def _once(pairs: list[tuple[str, Any]]) -> None:
    """One key twice means two things to two readers."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise msgspec.ValidationError(f"a key stands twice in {keys}")
