"""`vedette check`: what would stop the service, one line each, with the fix."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

from contract.tls import expiry_warning
from edge import config, doctor_lines, sources, tls
from edge.activate import open_or_previous
from edge.bundle import Bundle
from edge.config import DeviceConfig, PipelineConfig
from edge.errors import VedetteError
from edge.finding import Finding, failed, show
from edge.serving import enrolled

EX_CONFIG = 78  # sysexits.h; the unit does not restart the service after it
_RENEW = "vedette site add {device}, and bring its files here"


def main(path: Path, *, as_json: bool) -> int:
    """Print the findings for a config file; 0 if nothing stands in the way, else 78."""
    _, findings = check(path)
    show(findings, as_json=as_json)
    return 0 if all(finding.is_ok for finding in findings) else EX_CONFIG


def check(path: Path) -> tuple[DeviceConfig | None, list[Finding]]:
    """Everything looked at, in the order the service would; and the config, if it is one."""
    try:
        device = config.read(path)
    except VedetteError as error:
        return None, [failed("config", error, otherwise=f"correct {path}")]
    base = path.parent
    findings = [Finding("config", f"{path}: device {device.device.name!r}")]
    for pipeline in device.pipeline:
        findings += [*_bundle(pipeline, base), _source(pipeline, base)]
    return device, [*findings, _mqtt(device), _state_dir(device, base)]


def _bundle(pipeline: PipelineConfig, base: Path) -> Iterator[Finding]:
    what, hop_s = f"bundle of {pipeline.name}", pipeline.source.hop_s
    try:
        bundle, refused = open_or_previous(base / pipeline.bundle, pipeline.engine, hop_s=hop_s)
    except VedetteError as error:
        yield failed(what, error, otherwise="export it again, with this version")
        return
    model = f"{bundle.workload.name}, model {bundle.model_id}"
    if refused:
        text = f"{model}, the one before, would serve: {refused.partition('; fix: ')[0]}"
        yield Finding(what, text, "fail", "vedette activate a good one, or vedette activate --back")
    else:
        took = f"{bundle.window_s * 1e3:.3g} ms a window of {hop_s:g} s"
        yield Finding(what, f"{model}, golden vectors reproduced, {took}")
        yield from doctor_lines.deadline(pipeline, bundle.window_s)
    if pipeline.gallery is not None:
        yield _gallery(pipeline, bundle, base)


def _gallery(pipeline: PipelineConfig, bundle: Bundle, base: Path) -> Finding:
    what = f"gallery of {pipeline.name}"
    try:
        found = enrolled(pipeline, bundle, base=base)
    except VedetteError as error:
        return failed(what, error, otherwise="enrol anew, with this bundle")
    assert found is not None
    assert pipeline.gallery is not None
    if not found.version:
        fix = "vedette enrol NAME --images DIR --config FILE"
        return Finding(what, f"{base / pipeline.gallery!s}: nobody is enrolled yet", "warn", fix)
    names, threshold = found.arrays["names"], float(found.arrays["threshold"])
    text = f"version {found.version}, {len(names)} enrolled, named from cosine {threshold:.4f}"
    return Finding(what, text)


def _source(pipeline: PipelineConfig, base: Path) -> Finding:
    """Opens it; of a live sensor one window is taken, for only that shows that it is there."""
    what = f"source of {pipeline.name}"
    try:
        source = sources.open_source(pipeline.source, name=pipeline.name, base=base)
        with contextlib.closing(source):
            if not hasattr(pipeline.source, "stall_s"):
                return Finding(what, getattr(source, "about", "opens"))
            window = next(source.windows(), None)
    except VedetteError as error:
        return failed(what, error, otherwise=f"the sensor, or [pipeline.source] of {pipeline.name}")
    if window is None or window.data.size == 0:
        return Finding(what, "gives nothing that can be read", "warn", "look at its cable and lens")
    size = " x ".join(str(n) for n in window.data.shape)
    return Finding(what, f"gives {size}, from {window.data.min():.4g} to {window.data.max():.4g}")


def _mqtt(device: DeviceConfig) -> Finding:
    mqtt, name = device.mqtt, device.device.name
    said = [f"{mqtt.host}:{mqtt.port}", "TLS" if mqtt.tls else "not encrypted"]
    try:
        tls.read_password(mqtt)
        tls.context(mqtt, name)
        own = tls.certificate(mqtt)
    except VedetteError as error:
        return failed("mqtt", error, otherwise="put the file there, readable for the service")
    if own:
        now = dt.datetime.now(dt.UTC)
        if warning := expiry_warning(own, now, within_days=tls.WARN_DAYS):
            return Finding("mqtt", warning, "warn", _RENEW.format(device=name))
        said.append(f"certificate until {own.until:%F}")
    return Finding("mqtt", ", ".join(said))


def _state_dir(device: DeviceConfig, base: Path) -> Finding:
    state_dir = base / device.device.state_dir
    existing = next(p for p in (state_dir, *state_dir.parents) if p.exists())
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        fix = f"mount -o remount,rw {existing}, or device.state_dir"
        return Finding("state_dir", f"{state_dir}: read-only file system", "fail", fix)
    if not os.access(existing, os.W_OK):
        fix = f"chown -R USER {existing}, or device.state_dir"
        return Finding("state_dir", f"{state_dir}: not writable", "fail", fix)
    return Finding("state_dir", f"{state_dir} is writable")
