"""`vedette doctor`: whether trigger and rejector are there, free, and in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edge.config import PipelineConfig
from edge.finding import Finding
from edge.lines_child import CONSUMER, INSTALL, why
from edge.trigger import ImageTrigger

_SLOW = 2.0  # the median window against the time there is; the slowest takes longer


def needs(pipelines: Iterable[PipelineConfig]) -> Iterator[Finding]:
    """The lines of a config, each once, and what is risky about their use."""
    for pipeline in pipelines:
        trigger, rejector = pipeline.trigger, pipeline.rejector
        if trigger is not None and not isinstance(trigger, ImageTrigger):
            yield _line(f"trigger of {pipeline.name}", trigger.chip, trigger.line)
        if rejector is None:
            continue
        yield _line(f"rejector of {pipeline.name}", rejector.chip, rejector.line)
        if rejector.energised == "reject":
            text = "energised to reject: a dead device lets everything pass"
            fix = "energised = 'pass', if the machine can be built so"
            yield Finding(f"rejector of {pipeline.name}", text, "warn", fix)


def deadline(pipeline: PipelineConfig, window_s: float) -> Iterator[Finding]:
    """Whether a part is decided in time, by what a window took on this device.

    Args:
        pipeline: of a config.
        window_s: the fastest of a few, seconds.
    """
    if pipeline.rejector is None or pipeline.trigger is None:
        return
    is_seen = isinstance(pipeline.trigger, ImageTrigger)
    picture_ms = pipeline.trigger.delay_ms + (0.0 if is_seen else 1e3 * pipeline.source.hop_s)
    left_ms = pipeline.rejector.deadline_ms - picture_ms
    took_ms = 1e3 * window_s
    what = f"deadline of {pipeline.name}"
    text = (
        f"{took_ms:.3g} ms a window, of {left_ms:.3g} ms left of {pipeline.rejector.deadline_ms:g} "
        "when the picture is there"
    )
    fix = "a later deadline_ms, a smaller network, or a smaller picture"
    if took_ms >= left_ms:
        yield Finding(what, f"{text}: every part would be rejected", "fail", fix)
    elif _SLOW * took_ms >= left_ms:
        yield Finding(what, f"{text}: good parts will be lost now and then", "warn", fix)
    else:
        yield Finding(what, text)


def _line(what: str, chip: str, line: int) -> Finding:
    try:
        import gpiod

        with gpiod.Chip(chip) as opened:
            info = opened.get_line_info(line)
    except ModuleNotFoundError:
        return Finding(what, "libgpiod is not installed", "fail", INSTALL)
    except (OSError, ValueError) as error:
        text, _, fix = why(error).partition("; fix: ")
        return Finding(what, f"{chip} line {line}: {text}", "fail", fix)
    place = f"{chip} line {line}" + (f" ({info.name})" if info.name else "")
    if not info.used:
        return Finding(what, f"{place} is free")
    if info.consumer == CONSUMER:
        return Finding(what, f"{place} is in use by the service, as it should be while it runs")
    fix = f"end {info.consumer or 'what'} has it, or take another line"
    return Finding(what, f"{place} is in use by {info.consumer or 'the kernel'}", "fail", fix)
