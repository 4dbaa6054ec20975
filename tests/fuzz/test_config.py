"""Whatever stands in a device's TOML file is a config, or refused in a line that names the file."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from edge import config
from edge.config import DeviceConfig
from edge.errors import ConfigError

WHOLE = """
[device]
name = "d1"
state_dir = "state"
health_interval_s = 10.0

[mqtt]
host = "localhost"
port = 1883
username = "u"
password_file = "password"

[[pipeline]]
name = "spindle"
bundle = "bundles/machine_condition"
score_interval_s = 1.0
[pipeline.source]
type = "replay"
path = "recording.npz"
window_s = 0.1
hop_s = 0.1
"""
_VALUES = st.sampled_from(
    [
        *("-1", "0", "1e400", "nan", "inf", "-inf", "9223372036854775808", "true", "1979-05-27"),
        *('""', '"x"', '"a\\nb"', '"\\u0000"', '"../.."', '"A B"', '"alert"', "'''\n\n'''"),
        *("[]", "[[]]", "{}", "{a = 1}", "[{name = 1}]", "07:32:00", "0x7fffffffffffffffff"),
    ]
)
_KEYS = st.sampled_from(["name", "nmae", '"a\\nb"', '""', "port", '"ä.ö"', "type", "hop_s", "gate"])


@st.composite
def files(draw):
    """A valid file with a few lines changed, doubled, swapped or lost."""
    lines = WHOLE.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(["value", "value", "key", "add", "lose", "double", "junk"]))
        key, is_pair, value = lines[at].partition(" = ")
        if what == "value" and is_pair:
            lines[at] = f"{key} = {draw(_VALUES)}"
        elif what == "key" and is_pair:
            lines[at] = f"{draw(_KEYS)} = {value}"
        elif what == "add":
            lines.insert(at, f"{draw(_KEYS)} = {draw(_VALUES)}")
        elif what == "lose":
            del lines[at]
        elif what == "double":
            lines[at:at] = lines[max(at - 5, 0) : at + 1]
        elif what == "junk":
            lines[at] += draw(st.text(max_size=5))
    return "\n".join(lines)


def read(text: str) -> DeviceConfig | str:
    """The config, or what is said of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "device.toml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            return config.read(path)
        except ConfigError as error:
            return str(error).replace(folder, "")


def test_the_file_they_are_made_from_is_one():
    """Or all would be refused for the same reason."""
    assert isinstance(read(WHOLE), DeviceConfig)


@given(files())
def test_a_file_is_a_config_or_one_line_that_names_it(text):
    said = read(text)
    if isinstance(said, DeviceConfig):
        tomllib.loads(text)
    else:
        assert said.startswith("/device.toml: ")
        assert len(said) > len("/device.toml: ")
        assert said.isprintable(), said


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x = " + "[" * 5000, id="nested without end"),
        pytest.param(WHOLE + "x = " + "9" * 5000, id="a number without end"),
        pytest.param("\ud800", id="not UTF-8"),
        pytest.param(WHOLE.replace('"localhost"', '"a\\nb"'), id="a line break in a value"),
        pytest.param(WHOLE + '"a\\nb" = 1', id="a line break in a key"),
        pytest.param("", id="empty"),
    ],
)
def test_what_a_parser_may_stumble_over_is_one_line_too(text):
    said = read(text)
    assert isinstance(said, str)
    assert said.startswith("/device.toml: ")
    assert said.isprintable()


@pytest.mark.parametrize(
    "key", ["password", "passwd", "pasword_file", "token", "username_password"]
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(key):
    said = read(WHOLE.replace("port = 1883", f'{key} = "hunter2"'))
    assert isinstance(said, str)
    assert key in said
    assert "hunter2" not in said
