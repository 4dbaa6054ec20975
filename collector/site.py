"""`vedette site`: certificates for broker, devices, collectors and viewers, made on one machine."""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector import issuing
from collector.site_folder import BROKER, RESERVED, Holder, Registry, SiteError, SiteFolder
from contract.messages import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable

WARN_DAYS = 60
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)

_EXAMPLE = """example: a site of fifty devices
  vedette site init plant --broker broker.local,192.168.1.10
  vedette site add --site plant press-{01..50}
  vedette site add --site plant central --role collector
then plant/broker/ goes to the broker's machine (there: sudo sh install.sh), and plant/NAME/ to each
device and to the collector. Every command takes --json.
docs/security.md explains it, and what to do when a device is lost.

exit codes: 0 done, 1 failed, 2 wrong usage
"""


def main(verb: str, argv: list[str]) -> int:
    """Carry out one command; the exit code is returned."""
    args = _parser(verb).parse_args(argv)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    folder = SiteFolder(args.site)
    try:
        if args.command == "init":
            args.site.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not folder.is_made:
            folder.registry()  # says why, before a lock is left in a folder that is no site
        with folder.locked():
            is_changed = _carry_out(folder, args, now)
            registry = folder.registry()
    except SiteError as error:
        sys.stderr.write(f"vedette {verb} {args.command}: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"vedette {verb} {args.command}: {error.filename}: {error.strerror}\n")
        return 1
    names = args.names if args.command not in {"init", "list"} else list(registry.holders)
    if args.json:
        shown = [_as_json(name, registry.holders[name], now) for name in names]
        sys.stdout.write(json.dumps({"holders": shown, "broker_changed": is_changed}) + "\n")
        return 0
    sys.stdout.writelines(f"{line}\n" for line in _table(registry, names, now))
    if args.command != "list":
        steps = _next_steps(registry, args, names, is_changed=is_changed)
        sys.stdout.writelines(f"{step}\n" for step in steps)
    _warn(registry, now)
    return 0


def _carry_out(folder: SiteFolder, args: argparse.Namespace, now: dt.datetime) -> bool:
    """Whether the broker's files have changed."""
    if args.command == "init":
        wanted = Registry(
            hosts=args.broker, port=args.port, prefix=args.prefix, is_in_place=args.in_place
        )
        return issuing.found(folder, wanted, now=now)
    if args.command == "add":
        return issuing.add(folder, args.names, args.role, days=args.days, now=now)
    if args.command == "revoke":
        return issuing.revoke(folder, args.names, now=now)
    if args.command == "renew":
        if args.broker and args.names != [BROKER]:
            raise SiteError("--broker is for `renew broker` alone")
        is_changed = [
            issuing.renew(
                folder,
                name,
                has_new_key=args.new_key,
                days=args.days,
                now=now,
                hosts=args.broker,
            )
            for name in args.names
        ]
        return any(is_changed)
    return issuing.settle(folder)


def _state(holder: Holder, now: dt.datetime) -> str:
    if holder.is_revoked:
        return "revoked"
    if holder.until <= now:
        return "expired"
    left_days = (holder.until - now).days
    return "valid" if left_days >= WARN_DAYS else "expiring"


def _as_json(name: str, holder: Holder, now: dt.datetime) -> dict[str, Any]:
    return {
        "name": name,
        "role": holder.role,
        "state": _state(holder, now),
        "until": holder.until.isoformat(),
    }


def _table(registry: Registry, names: Iterable[str], now: dt.datetime) -> list[str]:
    rows = [("NAME", "ROLE", "VALID UNTIL", "STATE")]
    for name in names:
        holder = registry.holders[name]
        rows.append((name, holder.role, f"{holder.until:%Y-%m-%d}", _state(holder, now)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*map(str.ljust, row, widths), row[3]]) for row in rows]


def _next_steps(
    registry: Registry, args: argparse.Namespace, names: list[str], *, is_changed: bool
) -> list[str]:
    """What is left to a person: files to be carried, the broker to be told."""
    roles = {registry.holders[name].role for name in names}
    steps = []
    if args.command in {"add", "renew"}:
        files = "cert.pem" if args.command == "renew" and not args.new_key else "the files"
        host, port, prefix = registry.hosts[0], registry.port, registry.prefix
        options = f"--host {host} --port {port} --prefix {prefix}"
        tell = {
            "device": "each device; mqtt.toml is the [mqtt] of its config",
            "collector": f"the collector: vedette collect {options} --ca-file ca.pem"
            " --cert-file cert.pem --key-file key.pem",
            "viewer": f"the viewer, which connects to {host}:{port} and hears {prefix}/#",
        }
        steps = [f"{files} of {args.site}/NAME/ to {tell[role]}" for role in tell if role in roles]
    if is_changed and registry.is_in_place:
        steps.append(f"mosquitto -c {args.site / BROKER / 'mosquitto.conf'}; if it runs: SIGHUP")
    elif is_changed:
        steps.append(f"{args.site / BROKER}/ to the broker's machine, there: sudo sh install.sh")
    return [f"next: {step}" for step in steps]


def _warn(registry: Registry, now: dt.datetime) -> None:
    for name, holder in registry.holders.items():
        state = _state(holder, now)
        if state in {"expiring", "expired"}:
            when = f"{state}, valid until {holder.until:%Y-%m-%d}"
            sys.stderr.write(f"warning: {name} is {when}; fix: vedette site renew {name}\n")


def _hosts(text: str) -> list[str]:
    hosts = text.split(",")
    for host in hosts:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            if not _HOST.fullmatch(host) or len(host) > 253:
                why = f"{host!r} is neither a host's name nor an address"
                raise argparse.ArgumentTypeError(why) from None
    return hosts


def _name(text: str) -> str:
    if why := check_name(text):
        raise argparse.ArgumentTypeError(f"{text!r}: {why}")
    return text


def _client_name(text: str) -> str:
    if text in RESERVED:
        raise argparse.ArgumentTypeError(f"{text!r}: is the site's own; choose another")
    return _name(text)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most}")
    return int(text)


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"vedette {verb}",
        description="Make and look after the certificates of one site, on one machine, without a"
        " cloud. The folder holds the site's private keys: keep it safe, and keep a copy.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--json", action="store_true", help="print a JSON object on stdout")
        return made

    def days(text: str) -> int:
        return _number(text, issuing.AUTHORITY_DAYS)

    init = command("init", "found a site: its authority, and the broker's folder")
    init.add_argument("site", type=Path, metavar="DIR", help="new folder, only for this site")
    init.add_argument(
        "--broker", type=_hosts, required=True, metavar="HOST[,HOST...]", help="names and addresses"
    )
    init.add_argument("--port", type=lambda text: _number(text, 65_535), default=8883)
    init.add_argument("--prefix", type=_name, default="vedette", help="first part of all topics")
    init.add_argument("--in-place", action="store_true", help="the broker runs from DIR/broker")

    add = command("add", "issue key and certificate to new names")
    roles = ("device", "collector", "viewer")
    add.add_argument("--role", choices=roles, default="device", help="default %(default)s")
    renew = command("renew", "issue new certificates; the old ones stay valid until they end")
    renew.add_argument("--new-key", action="store_true", help="with new private keys as well")
    renew.add_argument(
        "--broker", type=_hosts, metavar="HOST[,HOST...]", help="new names, for `renew broker`"
    )
    revoke = command("revoke", "shut names out for good; `add` may issue anew")
    for made, kind in ((add, _client_name), (renew, _name), (revoke, _name)):
        made.add_argument("names", type=kind, nargs="+", metavar="NAME")
    for made in (add, renew):
        made.add_argument(
            "--days", type=days, default=issuing.LEAF_DAYS, help="valid for (default %(default)s)"
        )
    listing = command("list", "show who there is, and until when")
    for made in (add, renew, revoke, listing):
        made.add_argument(
            "--site", type=Path, default=Path(), help="the folder (default: this one)"
        )
    return parser
