"""The MQTT client. Alone, it has a session in which the broker keeps what comes while it is away.

Of several that share the work none has one: a broker would go on dealing to a collector that is
gone, and keep its hand for it alone. Without a session the others get everything, what the lost one
had in hand when the devices send it again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from contract import tls
from contract.tls import Setting

if TYPE_CHECKING:
    from pathlib import Path

    from collector.ingest import Ingest

# A connection that is dead without a word is noticed, and made anew, after twice this.
KEEPALIVE_S = 15
SESSION_EXPIRY_S = 7 * 24 * 3600
# Unacknowledged deliveries the broker may have under way: a full batch, far less than the queue.
RECEIVE_MAXIMUM = 500
# Eight times what a message may have: a little over the limit is still seen and recorded, a flood
# of far larger ones is stopped by the broker.
MAX_PACKET_BYTES = 1024 * 1024
ACKS_WAITING = 10_000


@dataclass(frozen=True)
class BrokerOptions:
    """How to reach the broker."""

    host: str
    port: int
    version: str
    client_id: str
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    share: str | None = None


def make_context(options: BrokerOptions) -> tls.Context:
    """What TLS needs.

    Raises:
        TlsError: a file was not given or cannot be used; the text names the option.
    """
    files = {
        f"--{name}-file": path
        for name, path in (
            ("ca", options.ca_file),
            ("cert", options.cert_file),
            ("key", options.key_file),
        )
    }
    # a user name with a password is the other way to be known at the broker
    is_named = options.username and not (options.cert_file or options.key_file)
    needed = ["--ca-file"] if is_named else [*files]
    if missing := [option for option in needed if files[option] is None]:
        fix = "fix: the files of `vedette site add NAME --role collector`, or --no-tls"
        raise tls.TlsError(f"--host {options.host}: TLS needs {' and '.join(missing)}; {fix}")
    ca, cert, key = (
        Setting(f"{option} {path}", path) if path else None for option, path in files.items()
    )
    assert ca is not None
    return tls.make_context(ca, cert, key)


def make_client(options: BrokerOptions, context: tls.Context | None) -> mqtt.Client:
    """A client that is not connected yet.

    Raises:
        TlsError: the password file cannot be read, or others can read it; the text names it.
    """
    is_v5 = options.version == "5"
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=mqtt.MQTTv5 if is_v5 else mqtt.MQTTv311,
        clean_session=None if is_v5 else options.share is not None,
        manual_ack=True,
    )
    if options.username is not None:
        password = None
        if options.password_file is not None:
            file = Setting(f"--password-file {options.password_file}", options.password_file)
            password = file.read_secret().rstrip("\r\n")
        client.username_pw_set(options.username, password)
    if context is not None:
        client.tls_set_context(context)

        def forget(*_: object) -> None:
            context.refusal = None

        client.on_pre_connect = forget
    client.reconnect_delay_set(min_delay=1, max_delay=15)
    client.max_inflight_messages_set(RECEIVE_MAXIMUM)
    client.max_queued_messages_set(ACKS_WAITING)
    return client


def start(client: mqtt.Client, ingest: Ingest, options: BrokerOptions) -> None:
    """Connect in paho's own thread, and again whenever the connection is lost.

    paho runs its loop itself because only then may another thread acknowledge: a loop run from
    outside lets `ack` write to the socket from the caller's thread, beside the loop.
    """
    client.on_connect = ingest.on_connect
    client.on_subscribe = ingest.on_subscribe
    client.on_disconnect = ingest.on_disconnect
    client.on_connect_fail = ingest.on_connect_fail
    client.on_message = ingest.on_message
    if options.version == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S if options.share is None else 0
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect_async(
            *(options.host, options.port, KEEPALIVE_S),
            clean_start=options.share is not None,
            properties=properties,
        )
    else:
        client.connect_async(options.host, options.port, KEEPALIVE_S)
    client.loop_start()


def stop(client: mqtt.Client, *, within_s: float) -> None:
    """Say goodbye after the acknowledgements already handed over; the session stays."""
    client.disconnect()
    deadline_s = time.monotonic() + within_s
    while client.socket() is not None and time.monotonic() < deadline_s:
        time.sleep(0.01)
