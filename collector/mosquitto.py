"""What a Mosquitto for one site is told: configuration, access list, how it is installed."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from contract.messages import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

INSTALLED_FOLDER, INSTALLED_DATA = "/etc/mosquitto/vedette", "/var/lib/mosquitto"
SCRIPTS = ("check-database.sh", "install.sh")
FILES = ("mosquitto.conf", "vedette.conf", *SCRIPTS)
_TOPIC_BYTES = 4096  # topic and properties, beside the payload


def text_of(file: str, *, port: int, folder: str, data: str) -> str:
    """One of `FILES` for a broker that finds its own in `folder` and keeps its queue in `data`."""
    template = resources.files("collector").joinpath("broker_files", file)
    values = {
        "PORT": port,
        "FOLDER": folder,
        "DATA": data,
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
        "MAX_PACKET_BYTES": MAX_PAYLOAD_BYTES + _TOPIC_BYTES,
    }
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def access_list(
    prefix: str, *, collectors: Iterable[str], viewers: Iterable[str], revoked: Iterable[str]
) -> str:
    """Who may write and read what; `topic deny` goes before everything else, wherever it stands.

    A device needs no line of its own, so a new one needs no change at the broker. The two patterns
    would give a collector or viewer a place to write, too, which is taken back by name. A revoked
    client that is still connected keeps its connection when the broker reads this again, but can
    neither say nor hear anything.
    """
    lines = [
        "# Made by `vedette site`; %u is the name in the certificate.",
        "# A device writes below its own name and hears its own commands.",
        f"pattern write {prefix}/%u/#",
        f"pattern read {prefix}/%u/command/#",
    ]
    for name in sorted(collectors):
        lines += ["", f"# {name} stores what devices send and acknowledges it", f"user {name}"]
        lines += [f"topic deny {prefix}/{name}/#", f"topic read {prefix}/#"]
        lines += [f"topic write {prefix}/+/command/#"]
    for name in sorted(viewers):
        lines += ["", f"# {name} looks on", f"user {name}", f"topic deny {prefix}/{name}/#"]
        lines += [f"topic deny {prefix}/+/command/#", f"topic read {prefix}/#"]
    for name in sorted(revoked):
        lines += ["", f"# {name} is revoked", f"user {name}", "topic deny #"]
    return "\n".join(lines) + "\n"
