"""What a device can be told is in the docs, with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from contract.machine import Machine
from edge import config, sources
from edge.gates import Limits
from edge.rejector import RejectorConfig
from edge.shift import ShiftConfig
from edge.trigger import TriggerConfig

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "device.md").read_text(encoding="utf-8")
TRIGGERS = get_args(TriggerConfig)
TABLES = {
    "`[device]`": config.Device,
    "`[mqtt]`": config.Mqtt,
    "`[[pipeline]]`": config.PipelineConfig,
    "`[pipeline.gate]`": Limits,
    "`[pipeline.machine]`": Machine,
    **{f'`[pipeline.trigger]`, `kind = "{c.__struct_config__.tag}"`': c for c in TRIGGERS},
    "`[pipeline.rejector]`": RejectorConfig,
    "`[pipeline.shift]`": ShiftConfig,
    **{f'`[pipeline.source]`, `type = "{c.__struct_config__.tag}"`': c for c in sources.configs()},
}


@pytest.mark.parametrize(("heading", "struct"), TABLES.items(), ids=TABLES.keys())
def test_every_key_is_documented_with_its_default_and_no_other_is(heading, struct):
    """In the table of its own heading."""
    section = re.split(r"\n##+ ", DOCS.partition(f"### {heading}\n")[2])[0]
    cells = re.findall(r"^\| `(\w+)` \|(.*?)\|", section, flags=re.MULTILINE)
    rows = {name: default.strip() for name, default in cells}
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        if field.required:
            assert rows[name] == ""
        elif isinstance(field.default, msgspec.Struct):
            assert rows[name] == "all defaults"
        elif field.default is not None and field.default is not msgspec.NODEFAULT:
            assert str(field.default) in rows[name].replace('"', "")


def test_the_example_is_a_valid_config(tmp_path):
    """As copied from the page."""
    (example,) = re.findall(r"```toml\n(.*?)```", DOCS, flags=re.DOTALL)
    path = tmp_path / "edge.toml"
    path.write_text(example)
    assert config.read(path).device.name == "pump-1"


@pytest.mark.parametrize("code", [0, 1, 2, 78])
def test_every_exit_code_is_documented(code):
    """What systemd does after each."""
    assert re.search(rf"^\| {code} \| \w+", DOCS, flags=re.MULTILINE)
