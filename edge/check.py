"""`vedette check`: what would stop the service, one line each, with the fix."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract.tls import expiry_warning
from edge import config, sources, tls
from edge.activate import open_or_previous
from edge.config import DeviceConfig, PipelineConfig
from edge.errors import BundleError, ConfigError, VedetteError


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    is_ok: bool
    text: str


def main(path: Path, *, as_json: bool) -> int:
    """Print the findings for a config file; 0 if nothing stands in the way, else 78."""
    findings = check(path)
    is_ok = all(finding.is_ok for finding in findings)
    if as_json:
        print(json.dumps({"ok": is_ok, "findings": [asdict(f) for f in findings]}))  # noqa: T201
    else:
        for finding in findings:
            mark = "ok  " if finding.is_ok else "FAIL"
            (sys.stdout if finding.is_ok else sys.stderr).write(
                f"{mark} {finding.what}: {finding.text}\n"
            )
    return 0 if is_ok else 78


def check(path: Path) -> list[Finding]:
    """Everything looked at, in the order the service would."""
    try:
        device = config.read(path)
    except ConfigError as error:
        return [Finding("config", is_ok=False, text=str(error))]
    findings = [Finding("config", is_ok=True, text=f"{path}: device {device.device.name!r}")]
    for pipeline in device.pipeline:
        for what, look in (("bundle", _bundle), ("source", _source)):
            findings.append(_finding(f"{what} of {pipeline.name}", look, pipeline, path.parent))
    findings.append(_finding("mqtt", _mqtt, device, path.parent))
    findings.append(_finding("state_dir", _state_dir, device, path.parent))
    return findings


def _finding(what: str, look: Callable[[Any, Path], str], of: Any, base: Path) -> Finding:
    try:
        return Finding(what, is_ok=True, text=look(of, base))
    except VedetteError as error:
        return Finding(what, is_ok=False, text=str(error))


def _bundle(pipeline: PipelineConfig, base: Path) -> str:
    hop_s = pipeline.source.hop_s
    bundle, refused = open_or_previous(base / pipeline.bundle, pipeline.engine, hop_s=hop_s)
    if refused:
        raise BundleError(f"model {bundle.model_id}, the one before, would serve: {refused}")
    took = f"{bundle.window_s * 1e3:.3g} ms a window of {hop_s:g} s"
    return f"{bundle.workload.name}, model {bundle.model_id}, golden vectors reproduced, {took}"


def _source(pipeline: PipelineConfig, base: Path) -> str:
    sources.open_source(pipeline.source, name=pipeline.name, base=base).close()
    return "opens"


def _mqtt(device: DeviceConfig, _base: Path) -> str:
    mqtt = device.mqtt
    tls.read_password(mqtt)
    tls.context(mqtt, device.device.name)
    said = [f"{mqtt.host}:{mqtt.port}", "TLS" if mqtt.tls else "not encrypted", "not contacted"]
    if own := tls.certificate(mqtt):
        now = dt.datetime.now(dt.UTC)
        said += [expiry_warning(own, now, within_days=tls.WARN_DAYS) or f"until {own.until:%F}"]
    return ", ".join(said)


def _state_dir(device: DeviceConfig, base: Path) -> str:
    state_dir = base / device.device.state_dir
    existing = next(p for p in (state_dir, *state_dir.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"{state_dir}: not writable; fix: device.state_dir, or its owner")
    return f"{state_dir} is writable"
