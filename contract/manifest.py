"""What a bundle says about itself."""

from __future__ import annotations

import hashlib

import msgspec

from contract.spec import OperatingPoint

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"


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

    def model_id(self, engine: str) -> str:
        """Twelve hex digits that name the models of one engine: what a profile is bound to."""
        models = [self.stages[stage][engine].sha256 for stage in sorted(self.stages)]
        text = " ".join((self.workload, str(self.revision), *models))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`, readable."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode(raw: bytes) -> Manifest:
    """Read `manifest.json`.

    Raises:
        msgspec.DecodeError: not JSON, a field missing, unknown or of the wrong type.
    """
    return msgspec.json.decode(raw, type=Manifest)
