"""One TOML file per device, read once into frozen structures; every mistake is named."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from contract.bearings import Bearing
from contract.machine import Machine
from contract.messages import check_name
from contract.tls import is_loopback
from edge import sources
from edge.errors import ConfigError
from edge.gates import Limits
from edge.rejector import RejectorConfig
from edge.shift import ShiftConfig
from edge.trigger import ImageTrigger, TriggerConfig

if TYPE_CHECKING:
    from edge.sources import SourceConfig as AnyConfig
else:
    AnyConfig = sources.AnyConfig


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[device]`: who this is and where it keeps what it must not forget."""

    name: str
    state_dir: str = "/var/lib/vedette"
    outbox_max_bytes: Annotated[int, Meta(ge=1_048_576)] = 256 * 1024 * 1024
    health_interval_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 10.0
    evidence_max_bytes: Annotated[int, Meta(ge=0)] = 64 * 1024 * 1024


class Mqtt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[mqtt]`: the broker. Secrets are files, or names of systemd credentials.

    `tls` and `port` are settled once read: TLS is on unless the broker is on this very machine and
    no certificate is named, and port 0 stands for the usual one.
    """

    host: str = "localhost"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    version: Literal["5", "3.1.1"] = "5"
    prefix: str = "vedette"
    tls: bool | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_s: Annotated[int, Meta(ge=5)] = 30
    resend_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 5.0

    def __post_init__(self) -> None:
        """Settle what depends on other keys."""
        if self.tls is None:
            named = self.ca_file or self.cert_file or self.key_file
            msgspec.structs.force_setattr(self, "tls", bool(named) or not is_loopback(self.host))
        if self.port == 0:
            msgspec.structs.force_setattr(self, "port", 8883 if self.tls else 1883)


class PipelineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[pipeline]]`: one source watched by one bundle."""

    name: str
    bundle: str
    source: AnyConfig
    engine: Literal["tflite", "onnx"] | None = None
    learn_windows: Annotated[int, Meta(ge=2)] | None = None
    gallery: str | None = None
    gallery_key: str | None = None
    false_accepts_per_1000: Annotated[float, Meta(gt=0.0, lt=1000.0)] = 1.0
    score_interval_s: Annotated[float, Meta(ge=0.0)] = 10.0
    sensor_alert_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 30.0
    gate: Limits = Limits()
    machine: Machine = Machine()
    trigger: TriggerConfig | None = None
    rejector: RejectorConfig | None = None
    shift: ShiftConfig = ShiftConfig()


class DeviceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    device: Device
    pipeline: Annotated[list[PipelineConfig], Meta(min_length=1)]
    mqtt: Mqtt = Mqtt()


def read(path: Path) -> DeviceConfig:
    """Read and validate a config file.

    Raises:
        ConfigError: one line naming file, key and value, with the fix where it can be guessed.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; fix: --config FILE") from None
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, too long, too deep
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        config = msgspec.convert(raw, DeviceConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error), raw)}") from None
    names = [("device.name", config.device.name), ("mqtt.prefix", config.mqtt.prefix)]
    names += [(f"pipeline[{i}].name", p.name) for i, p in enumerate(config.pipeline)]
    for key, name in names:
        if why := check_name(name):
            raise ConfigError(f"{path}: {key} = {name!r}: {why}")
    lines = [(f"pipeline[{i}].", _line_trouble(p)) for i, p in enumerate(config.pipeline)]
    for table, why in (*lines, ("", _tls_trouble(config.mqtt, config.device.name))):
        if why:
            raise ConfigError(f"{path}: {table}{why}")
    pipelines = [name for _, name in names[2:]]
    for name in pipelines:
        if pipelines.count(name) > 1:
            raise ConfigError(f"{path}: two pipelines are called {name!r}; each needs its own name")
    return config


def _line_trouble(pipeline: PipelineConfig) -> str | None:
    """Why trigger, rejector and source do not go together, or None if they do."""
    source, trigger, rejector = pipeline.source, pipeline.trigger, pipeline.rejector
    if trigger is None:
        return (
            "rejector: no part to reject without a trigger; fix: [pipeline.trigger]"
            if rejector
            else None
        )
    if source.window_s:
        return "trigger: the source gives no pictures; fix: leave it out, or take a camera"
    if rejector is None:
        return None
    is_seen = isinstance(trigger, ImageTrigger) and not trigger.delay_ms  # that is the picture
    needed_ms = 0.0 if is_seen else trigger.delay_ms + 1e3 * source.hop_s
    if needed_ms >= rejector.deadline_ms:
        return (
            f"rejector.deadline_ms = {rejector.deadline_ms:g}: the picture alone may come "
            f"{needed_ms:g} ms after the trigger (trigger.delay_ms and source.hop_s); "
            "fix: hop_s of one period of the camera, such as 0.03, or a later deadline"
        )
    return None


def _tls_trouble(mqtt: Mqtt, device: str) -> str | None:
    """Why the keys about TLS do not go together, or None if they do."""
    files = {key: getattr(mqtt, key) for key in ("ca_file", "cert_file", "key_file")}
    if not mqtt.tls:
        given = [f"mqtt.{key}" for key, name in files.items() if name]
        return f"mqtt.tls = false, but {given[0]} is given; fix: leave out one" if given else None
    # a user name with a password is the other way to be known at the broker
    needed = ["ca_file"] if mqtt.username and not (mqtt.cert_file or mqtt.key_file) else [*files]
    missing = [key for key in needed if not files[key]]
    if not missing:
        return None
    what = f"mqtt.host = {mqtt.host!r}: TLS needs {' and '.join(missing)}"
    return f"{what}; fix: the files of `vedette site add {device}`, or say tls = false"


def _explain(message: str, raw: Any) -> str:
    """The library's message with the key in TOML's words, the value, and a near spelling."""
    text, _, where = message.partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    value = raw
    for step in re.findall(r"\w+", key):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError):
            break
    if unknown := re.search(r"unknown field `(.*?)`", text, re.DOTALL):
        table = f"[{key}]" if key else "the file"
        known = _known_keys(key, value)
        near = difflib.get_close_matches(unknown[1], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
        return f"{table} has no key {unknown[1]!r}{hint}"
    shown = "" if isinstance(value, dict | list) else f" = {value!r}"
    return f"{key or 'the file'}{shown}: {text[0].lower()}{text[1:]}"


def _known_keys(key: str, value: Any) -> list[str]:
    """The keys a table may have; the table is found by its place in the file."""
    if key.endswith("source") and isinstance(value, dict):
        of_type = [c for c in sources.configs() if c.__struct_config__.tag == value.get("type")]
        return ["type", *(f for c in of_type for f in c.__struct_fields__)]
    if key.endswith("trigger") and isinstance(value, dict):
        of_kind = [
            c for c in get_args(TriggerConfig) if c.__struct_config__.tag == value.get("kind")
        ]
        return ["kind", *(f for c in of_kind for f in c.__struct_fields__)]
    name = re.sub(r"\[.*?\]|\W", "", key)
    structs = {
        "device": Device,
        "mqtt": Mqtt,
        "pipeline": PipelineConfig,
        "pipelinegate": Limits,
        "pipelinemachine": Machine,
        "pipelinemachinebearings": Bearing,
        "pipelinerejector": RejectorConfig,
        "pipelineshift": ShiftConfig,
        "": DeviceConfig,
    }
    return list(structs.get(name, DeviceConfig).__struct_fields__)
