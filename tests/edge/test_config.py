"""Every mistake in the config is told in one line with file, key and value."""

from __future__ import annotations

import tomllib

import pytest

from edge import config, sources
from edge.errors import ConfigError

GOOD = """
[device]
name = "pump-1"

[mqtt]
host = "broker.example"
ca_file = "ca.pem"
cert_file = "cert.pem"
key_file = "key.pem"

[[pipeline]]
name = "bearing"
bundle = "bundles/machine_condition"

[pipeline.source]
type = "simulate"
"""
REPLAY = 'type = "replay"\npath = "a.npz"\nwindow_s = 0.1\nhop_s = 10.0'


@pytest.fixture
def read(tmp_path):
    """Reads a config given as text."""

    def read_text(text: str):
        path = tmp_path / "edge.toml"
        path.write_text(text, encoding="utf-8")
        return config.read(path)

    return read_text


def test_a_short_file_is_enough_and_the_rest_has_defaults(read):
    """Name, bundle and source; nothing else must be said."""
    got = read(GOOD)
    assert got.device.name == "pump-1"
    assert got.mqtt.port == 8883
    assert got.pipeline[0].engine is None
    assert got.pipeline[0].source.rate_hz == 25_600.0


def test_every_source_in_its_folder_can_be_named(read):
    """The folder is the registry."""
    assert read(GOOD.replace('type = "simulate"', REPLAY)).pipeline[0].source.path == "a.npz"
    assert {c.__struct_config__.tag for c in sources.configs()} >= {"replay", "simulate"}


MISTAKES = {
    "unknown key with a near spelling": (
        ('name = "pump-1"', 'name = "pump-1"\nstate_dri = "x"'),
        ["[device]", "'state_dri'", "did you mean 'state_dir'?"],
    ),
    "unknown key far from any": (
        ("[mqtt]", "[mqtt]\nzzz = 1"),
        ["[mqtt]", "'zzz'", "known:", "keepalive_s"],
    ),
    "unknown key of a pipeline": (
        ('name = "bearing"', 'name = "bearing"\nlearn_window = 3'),
        ["pipeline[0]", "'learn_window'", "did you mean 'learn_windows'?"],
    ),
    "unknown key of a source": (
        ('type = "simulate"', 'type = "simulate"\nonsett = 0.5'),
        ["pipeline[0].source", "'onsett'", "did you mean 'onset'?"],
    ),
    "unknown key of a machine": (
        ('type = "simulate"', 'type = "simulate"\n[pipeline.machine]\nspeed = 1797.0'),
        ["pipeline[0].machine", "'speed'", "did you mean 'speed_rpm'?"],
    ),
    "unknown key of a bearing": (
        ('type = "simulate"', 'type = "simulate"\n[[pipeline.machine.bearings]]\nballs_mm = 8.0'),
        ["pipeline[0].machine.bearings[0]", "'balls_mm'", "did you mean 'ball_mm'?"],
    ),
    "bearing that is in no catalogue": (
        ('type = "simulate"', 'type = "simulate"\n[pipeline.machine]\nbearings = ["62o5"]'),
        ["pipeline[0].machine", "'62o5'", "fix:"],
    ),
    "no evidence by less than nothing": (
        ('name = "pump-1"', 'name = "pump-1"\nevidence_max_bytes = -1'),
        ["device.evidence_max_bytes", "-1"],
    ),
    "unknown table": (("[mqtt]", "[mqqt]"), ["the file", "'mqqt'", "did you mean 'mqtt'?"]),
    "missing key": (('bundle = "bundles/machine_condition"', ""), ["pipeline[0]", "`bundle`"]),
    "missing table": (('[device]\nname = "pump-1"', ""), ["`device`"]),
    "no pipeline at all": (
        (GOOD, 'pipeline = []\n[device]\nname = "pump-1"'),
        ["pipeline", "length"],
    ),
    "text for a number": (
        ('host = "broker.example"', 'port = "1883"'),
        ["mqtt.port", "'1883'", "int"],
    ),
    "number for a text": (
        ('host = "broker.example"', "host = 5"),
        ["mqtt.host", "5", "str"],
    ),
    "port beyond its range": (
        ('host = "broker.example"', "port = 70000"),
        ["mqtt.port", "70000", "65535"],
    ),
    "unknown MQTT version": (
        ('host = "broker.example"', 'version = "4"'),
        ["mqtt.version", "'4'"],
    ),
    "another machine without certificates": (
        ('ca_file = "ca.pem"\ncert_file = "cert.pem"\nkey_file = "key.pem"', ""),
        [
            "mqtt.host = 'broker.example'",
            "ca_file and cert_file and key_file",
            "vedette site add pump-1",
            "say tls = false",
        ],
    ),
    "a certificate without its key": (
        ('key_file = "key.pem"', 'username = "pump-1"'),
        ["TLS needs key_file", "vedette site add pump-1"],
    ),
    "no CA to check the broker by": (('ca_file = "ca.pem"', ""), ["TLS needs ca_file"]),
    "certificates and tls = false": (
        ('host = "broker.example"', "tls = false"),
        ["mqtt.tls = false", "mqtt.ca_file is given"],
    ),
    "unknown engine": (
        ('name = "bearing"', 'name = "bearing"\nengine = "tensorrt"'),
        ["pipeline[0].engine", "'tensorrt'"],
    ),
    "unknown source": (
        ('type = "simulate"', 'type = "telescope"'),
        ["pipeline[0].source", "'telescope'"],
    ),
    "source without a type": (('type = "simulate"', "seed = 1"), ["pipeline[0].source", "`type`"]),
    "negative hop": (
        ('type = "simulate"', 'type = "simulate"\nhop_s = -1.0'),
        ["pipeline[0].source.hop_s", "-1.0"],
    ),
    "onset beyond the end": (
        ('type = "simulate"', 'type = "simulate"\nonset = 1.5'),
        ["pipeline[0].source.onset", "1.5"],
    ),
    "outbox too small": (
        ('name = "pump-1"', 'name = "pump-1"\noutbox_max_bytes = 1000'),
        ["device.outbox_max_bytes", "1000"],
    ),
    "device name with upper case": (
        ('name = "pump-1"', 'name = "Pump"'),
        ["device.name", "'Pump'", "lower-case"],
    ),
    "device name with a wildcard": (('name = "pump-1"', 'name = "pump+"'), ["device.name"]),
    "pipeline name that is a word of the topics": (
        ('name = "bearing"', 'name = "health"'),
        ["pipeline[0].name", "'health'"],
    ),
    "prefix with a slash": (
        ('host = "broker.example"', 'prefix = "a/b"'),
        ["mqtt.prefix", "'a/b'"],
    ),
    "two pipelines of one name": (
        ("[device]", GOOD[GOOD.index("[[pipeline]]") :] + "\n[device]"),
        ["'bearing'", "own name"],
    ),
    "not TOML": (("[device]", "[device"), ["not valid TOML", "line 2"]),
}


@pytest.mark.parametrize(("change", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_in_one_line_with_file_key_and_value(read, change, words):
    """So that a person finds it without reading the code."""
    assert change[0] in GOOD
    with pytest.raises(ConfigError) as error:
        read(GOOD.replace(*change))
    said = str(error.value)
    assert "\n" not in said
    assert said.partition(": ")[0].endswith("edge.toml")
    for word in words:
        assert word in said, said


CERTIFICATES = 'ca_file = "ca.pem"\ncert_file = "cert.pem"\nkey_file = "key.pem"'


@pytest.mark.parametrize(
    ("host", "keys", "is_tls"),
    [
        ("broker.example", "tls = false", False),
        ("127.0.0.1", "", False),
        ("localhost", CERTIFICATES, True),
        ("broker.example", 'ca_file = "ca.pem"\nusername = "pump-1"', True),
    ],
    ids=["said to be off", "this machine", "this machine, encrypted", "user name and password"],
)
def test_other_ways_to_reach_a_broker_are_open(read, host, keys, is_tls):
    """Each one by what the file says."""
    got = read(GOOD.replace(CERTIFICATES, keys).replace("broker.example", host)).mqtt
    assert (got.host, got.tls, got.port) == (host, is_tls, 8883 if is_tls else 1883)


def test_a_missing_file_is_named(tmp_path):
    """With what to do about it."""
    with pytest.raises(ConfigError, match=r"nothing\.toml: No such file.*--config"):
        config.read(tmp_path / "nothing.toml")


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    """Not a traceback."""
    path = tmp_path / "edge.toml"
    path.write_bytes(b"[device]\nname = '\xff'")
    with pytest.raises(ConfigError, match=r"edge\.toml: not valid TOML"):
        config.read(path)


@pytest.mark.parametrize("key", ["window_s", "hop_s", "rate_hz"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_number_that_is_none_is_refused(read, key, value):
    """TOML has words for them; no sensor has."""
    with pytest.raises(ConfigError, match=key):
        read(GOOD.replace('type = "simulate"', f'type = "simulate"\n{key} = {value}'))


def test_the_example_here_is_itself_valid_toml():
    """Or half the table above would prove nothing."""
    assert tomllib.loads(GOOD)["pipeline"][0]["source"] == {"type": "simulate"}


LINE = (
    GOOD.replace('type = "simulate"', 'type = "camera"\nurl = "/dev/video0"\nhop_s = 0.03')
    + """
[pipeline.trigger]
kind = "gpio"
chip = "/dev/gpiochip0"
line = 17

[pipeline.rejector]
chip = "/dev/gpiochip0"
line = 22
deadline_ms = 150
"""
)


def test_a_line_has_its_gate_at_the_deadline_unless_said(read):
    """And what is not said has a default that lets nothing pass by itself."""
    (line,) = read(LINE).pipeline
    assert line.rejector.delay_ms == 150
    assert line.rejector.energised == "pass"
    assert line.trigger.pulses == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("line = 17", "lin = 17"), ("[pipeline[0].trigger] has no key 'lin'", "'line'")),
        (("line = 22", "lyne = 22"), ("[pipeline[0].rejector] has no key 'lyne'", "'line'")),
        (('"gpio"', '"gpo"'), ("pipeline[0].trigger.kind = 'gpo'",)),
        (("= 150", "= 40\ndelay_ms = 39"), ("pipeline[0].rejector", "delay_ms = 39")),
        (("hop_s = 0.03", "hop_s = 0.2"), ("rejector.deadline_ms = 150", "fix: hop_s")),
        (("line = 17", "line = 17\ndelay_ms = 120"), ("trigger.delay_ms", "150 ms after")),
        (('kind = "gpio"', 'kind = "image"'), ("[pipeline[0].trigger] has no key 'chip'",)),
        (("[pipeline.trigger]", "[pipeline.tigger]"), ("'tigger'", "'trigger'")),
        (
            ('type = "camera"\nurl = "/dev/video0"\nhop_s = 0.03', 'type = "simulate"'),
            ("pipeline[0].trigger: the source gives no pictures",),
        ),
    ],
)
def test_what_does_not_go_together_on_a_line_is_told(read, change, words):
    with pytest.raises(ConfigError) as refused:
        read(LINE.replace(*change))
    for word in words:
        assert word in str(refused.value)


def test_a_rejector_without_a_trigger_has_nothing_to_reject(read):
    without = LINE.partition("[pipeline.trigger]")[0] + "[pipeline.rejector]"
    without += LINE.partition("[pipeline.rejector]")[2]
    with pytest.raises(ConfigError, match=r"pipeline\[0\].rejector: no part to reject"):
        read(without)


def test_the_part_that_the_camera_sees_needs_no_further_picture(read):
    """So a slow camera is fast enough for any deadline."""
    start, _, end = LINE.partition("[pipeline.trigger]")
    seen = f'[pipeline.trigger]\nkind = "image"\n[pipeline.rejector]{end.partition("rejector]")[2]}'
    assert read(start.replace("hop_s = 0.03", "hop_s = 0.5") + seen).pipeline[0].rejector
