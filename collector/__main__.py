"""`vedette collect`: store what devices send, acknowledge it, show it."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import socket
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from collector import broker, web
from collector.evidence import Fetcher
from collector.ingest import Ingest
from collector.metrics import Metrics, StoreMetrics
from collector.store import DiskError, Store, StoreError
from contract import messages
from contract.tls import Context, is_loopback

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt

_LOG = logging.getLogger("vedette.collect")
# Each of the three parts gets this long to end; together they stay below two seconds.
_STOP_S = 0.6

_EXAMPLE = """example:
  vedette collect --host broker.local --db /var/lib/vedette/collector.db \\
    --ca-file ca.pem --cert-file cert.pem --key-file key.pem
  and open http://127.0.0.1:8080/

exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage, 78 wrong configuration
"""


def main(verb: str, argv: list[str]) -> int:
    """Run the collector until a signal stops it; the exit code is returned."""
    args = _parser(verb).parse_args(argv)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s", level=logging.INFO)
    files = (args.ca_file, args.cert_file, args.key_file)
    is_tls = not args.no_tls and (any(files) or not is_loopback(args.host))
    options = broker.BrokerOptions(
        host=args.host,
        port=args.port or (8883 if is_tls else 1883),
        version=args.mqtt_version,
        client_id=args.client_id or _client_id(args.prefix, args.share),
        username=args.username,
        password_file=args.password_file,
        ca_file=args.ca_file,
        cert_file=args.cert_file,
        key_file=args.key_file,
        share=args.share,
    )
    try:
        context = broker.make_context(options) if is_tls else None
        client = broker.make_client(options, context)
        listener = _listen(args.http_host, args.http_port)
        store = _open(args.db, listener, is_shared=args.share is not None)
    except (OSError, ValueError, StoreError) as error:
        sys.stderr.write(f"vedette {verb}: {error}\n")
        return 1 if isinstance(error, DiskError) else 78
    host = f"[{args.http_host}]" if ":" in args.http_host else args.http_host
    url = f"http://{host}:{listener.getsockname()[1]}/"
    sys.stdout.write(
        json.dumps({"url": url, "db": str(args.db.absolute())}) + "\n"
        if args.json
        else f"page at {url}, messages in {args.db}\n"
    )
    sys.stdout.flush()
    return _serve(store, client, options, context, listener, args.prefix)


def _serve(
    store: Store,
    client: mqtt.Client,
    options: broker.BrokerOptions,
    context: Context | None,
    listener: socket.socket,
    prefix: str,
) -> int:
    """Run the three threads (network, writer, web) until a signal comes or one of them dies."""
    stopping = threading.Event()
    deaths: list[threading.ExceptHookArgs] = []

    def died(death: threading.ExceptHookArgs) -> None:
        # A collector with a dead part looks alive and stores nothing: end, and be restarted.
        name = death.thread.name if death.thread else "?"
        _LOG.critical("thread %s died", name, exc_info=death.exc_value)
        deaths.append(death)
        stopping.set()

    threading.excepthook = died
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    measured = Metrics()
    fetcher = Fetcher(store.path)
    ingest = Ingest(
        client,
        store,
        prefix=prefix,
        share=options.share,
        observe=measured.observe,
        take_evidence=fetcher.take,
        refusal=lambda: context.refusal if context else None,
    )
    measured.registry.register(StoreMetrics(store.path, ingest))
    app = web.make_app(store.path, ingest, measured, fetcher, stopping)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )

    def serve_pages() -> None:
        server.run(sockets=[listener])
        if not stopping.is_set():
            raise RuntimeError("the web server ended by itself")

    writer = threading.Thread(target=ingest.run, args=(stopping,), name="writer", daemon=True)
    pages = threading.Thread(target=serve_pages, name="web", daemon=True)
    writer.start()
    pages.start()
    broker.start(client, ingest, options)

    stopping.wait()
    writer.join(_STOP_S)
    broker.stop(client, within_s=_STOP_S)
    server.should_exit = True
    pages.join(_STOP_S)
    if not writer.is_alive():  # else it is in a commit: the process ends without it
        store.close()
    return 1 if deaths else 0


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound before anything starts so that a taken port is a user's mistake."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = f"cannot listen on {host}:{port}: {error.strerror}"
        raise OSError(f"{why}; fix: another --http-port, or 0 for any free one") from None


def _open(path: Path, listener: socket.socket, *, is_shared: bool) -> Store:
    try:
        return Store(path, is_shared=is_shared)
    except DiskError as error:
        listener.close()
        why = "fix: make space there or mend the disk, then it starts again"
        raise DiskError(f"{error}; {why}") from None
    except StoreError as error:
        listener.close()
        why = "fix: another --db, or make that file and its folder readable and writable"
        raise StoreError(f"{error}; {why}") from None


def _client_id(prefix: str, share: str | None) -> str:
    """Lasting as the session it names; of those that share, and have none, each has its own."""
    return f"{prefix}-collector" if share is None else f"{prefix}-{share}-{uuid.uuid4().hex[:8]}"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use 0 to 65535")
    return int(text)


def _name(text: str) -> str:
    if why := messages.check_name(text):
        raise argparse.ArgumentTypeError(f"{text!r}: {why}")
    return text


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"vedette {verb}",
        description="Store what devices send, acknowledge it to them, and show it on a page.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mqtt_broker = parser.add_argument_group("broker")
    add = mqtt_broker.add_argument
    add("--host", default="127.0.0.1", help="of the MQTT broker (default %(default)s)")
    add("--port", type=_port, help="of the MQTT broker (default 8883 with TLS, 1883 without)")
    add("--mqtt-version", choices=("5", "3.1.1"), default="5", help="default %(default)s")
    add("--prefix", type=_name, default="vedette", help="first part of all topics")
    add("--client-id", help="names the session at the broker (default PREFIX-collector)")
    add(
        "--share",
        type=_name,
        metavar="NAME",
        help="share the work and --db with the other collectors of this name on this machine",
    )
    add("--username", help="at the broker")
    add("--password-file", type=Path, help="the password and nothing else, mode 600")
    add("--ca-file", type=Path, help="certificate of the site, by which the broker's is checked")
    add("--cert-file", type=Path, help="the collector's own certificate")
    add("--key-file", type=Path, help="the private key of it, mode 600")
    add("--no-tls", action="store_true", help="send in the open, to another machine as well")
    add = parser.add_argument
    add("--db", type=Path, default=Path("collector.db"), help="database (default ./%(default)s)")
    add("--http-host", default="127.0.0.1", help="address of the page (default %(default)s)")
    add("--http-port", type=_port, default=8080, help="0 picks a free one (default %(default)s)")
    add("--json", action="store_true", help="print one line of JSON: url and db")
    return parser
