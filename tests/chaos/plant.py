"""Certificates and the broker's configuration, made by `vedette site` as anybody would."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

ROGUE = "rogue"  # allowed to do what it will: a bridge that the site trusts
_CHANGES = {
    # so that a fault finds a database to harm
    "autosave_interval 300": "autosave_interval 2",
    "persistence_location {folder}/": "persistence_location {database}/",
}
_MQTT = """\
[mqtt]
host = "{host}"
port = {port}
ca_file = "{own}/ca.pem"
cert_file = "{own}/cert.pem"
key_file = "{own}/key.pem"
keepalive_s = 5
resend_s = 2.0
"""


class Plant:
    """A folder as `vedette site` makes it."""

    def __init__(self, folder: Path, *, host: str, port: int, database: Path) -> None:
        """Found the site.

        Args:
            folder: new.
            host: where clients find the broker, or what they take for it.
            port: where it listens.
            database: folder for its persistence.
        """
        self._folder = folder
        self._host = host
        names = ",".join({host, "127.0.0.1"})
        _site("init", str(folder), "--broker", names, "--port", str(port), "--in-place")
        self.config = folder / "broker" / "mosquitto.conf"
        text = self.config.read_text(encoding="utf-8")
        for old, new in _CHANGES.items():
            line = old.format(folder=folder / "broker")
            assert line in text, line
            text = text.replace(line, new.format(database=database))
        self.config.write_text(text + "user root\n", encoding="utf-8")

    def add(self, role: str, *names: str) -> None:
        """Issue certificates; before the broker is started."""
        _site("add", "--site", str(self._folder), "--role", role, *names)
        if ROGUE in names:
            with (self._folder / "broker" / "acl").open("a", encoding="utf-8") as acl:
                acl.write(f"user {ROGUE}\ntopic readwrite vedette/#\n")

    def mqtt_table(self, name: str, *, port: int) -> str:
        """`[mqtt]` of a device's config."""
        return _MQTT.format(host=self._host, port=port, own=self._folder / name)

    def options(self, name: str, *, port: int) -> list[str]:
        """The same for `vedette collect`."""
        own = self._folder / name
        files = [f"--{part}-file={own / part}.pem" for part in ("ca", "cert", "key")]
        return ["--host", self._host, "--port", str(port), *files]

    def context(self, name: str) -> ssl.SSLContext:
        """The same for a client of the harness."""
        own = self._folder / name
        made = ssl.create_default_context(cafile=own / "ca.pem")
        made.load_cert_chain(own / "cert.pem", own / "key.pem")
        return made


def _site(*words: str) -> None:
    command = [sys.executable, "-m", "vedette", "site", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
