"""What the device shows its broker and asks of it: certificate, key, password, the site's CA."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from contract import tls
from contract.tls import Certificate, Context, Setting, TlsError
from edge.config import Mqtt
from edge.errors import ConfigError

WARN_DAYS = 30


def context(config: Mqtt, device: str) -> Context | None:
    """For every connection to the broker; None where TLS is off.

    The certificate must carry the device's own name: the broker takes it for the user and lets that
    user write below its own name only, so under another one everything would be thrown away.

    Raises:
        ConfigError: a file is missing, is not what it should be, or others could read the key.
    """
    if not config.tls:
        return None
    with _as_config_errors():
        made = tls.make_context(
            _setting("ca_file", config.ca_file),
            _setting("cert_file", config.cert_file) if config.cert_file else None,
            _setting("key_file", config.key_file) if config.key_file else None,
        )
    own = certificate(config)
    if own is not None and own.name != device:
        why = f"is the certificate of {own.name!r}, and device.name is {device!r}"
        fix = f"fix: the files of `vedette site add {device}`"
        raise ConfigError(f"mqtt.cert_file = {config.cert_file!r}: {why}; {fix}")
    return made


def certificate(config: Mqtt) -> Certificate | None:
    """The device's own certificate, to warn before it ends.

    Raises:
        ConfigError: it cannot be read.
    """
    if not (config.tls and config.cert_file):
        return None
    with _as_config_errors():
        return tls.read_certificate(_setting("cert_file", config.cert_file))


def read_password(config: Mqtt) -> str | None:
    """The password for the broker, where there is one.

    Raises:
        ConfigError: its file cannot be read, or others could read it, too.
    """
    if config.password_file is None:
        return None
    with _as_config_errors():
        return _setting("password_file", config.password_file).read_secret().strip()


def _setting(key: str, name: str | None) -> Setting:
    """A file by its path, or a systemd credential of that name."""
    if name is None:
        raise ConfigError(f"mqtt.{key} is missing, and mqtt.tls is on")
    path = Path(os.environ.get("CREDENTIALS_DIRECTORY", ".")) / name
    return Setting(f"mqtt.{key} = {name!r}", path)


@contextlib.contextmanager
def _as_config_errors() -> Iterator[None]:
    try:
        yield
    except TlsError as error:
        raise ConfigError(str(error)) from None
