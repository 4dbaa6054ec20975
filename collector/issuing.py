"""What `vedette site` does: found a site, issue, renew and revoke certificates, tell the broker."""

from __future__ import annotations

import datetime as dt
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from collector import certificates, mosquitto
from collector.certificates import Authority
from collector.site_folder import (
    BROKER,
    Holder,
    Issued,
    Registry,
    Role,
    SiteError,
    SiteFolder,
)
from contract.tls import Setting, TlsError

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHORITY_DAYS = 20 * 365
LEAF_DAYS = 5 * 365
_LEFTOVERS = {"ca", ".lock", f".new-{BROKER}"}  # of an `init` that was interrupted


def found(folder: SiteFolder, wanted: Registry, *, now: dt.datetime) -> bool:
    """Make a site, or what is missing of it; whether the broker's files have changed.

    Raises:
        SiteError: the folder holds something else, or a site with other settings.
    """
    if folder.is_made:
        _compare(folder.registry(), wanted, folder.path)
    else:
        strangers = {path.name for path in folder.path.iterdir()} - _LEFTOVERS
        if strangers:
            raise SiteError(f"{folder.path}: holds {min(strangers)}; fix: an empty folder")
    ca_key, ca_cert = folder.path / "ca" / "key.pem", folder.path / "ca" / "cert.pem"
    if not ca_key.exists():
        folder.write(ca_key, certificates.key_to_pem(certificates.new_key()), mode=0o600)
    if not ca_cert.exists():
        until = now + dt.timedelta(days=AUTHORITY_DAYS)
        name = f"vedette site {folder.path.name}"[:64]
        key = certificates.key_from_pem(ca_key.read_bytes())
        made = certificates.make_authority(key, name, until=until)
        folder.write(ca_cert, certificates.to_pem(made))
    if not folder.is_made:
        folder.save(wanted)
    registry = folder.registry()
    is_new = BROKER not in registry.holders
    if is_new:
        _issue(folder, registry, BROKER, "broker", key=None, days=LEAF_DAYS, now=now)
    return settle(folder) or is_new


def add(
    folder: SiteFolder, names: Sequence[str], role: Role, *, days: int, now: dt.datetime
) -> bool:
    """Issue a key and a certificate to each name that has none; whether the broker must know.

    Raises:
        SiteError: a name has another role, or its files are no longer here.
    """
    registry = folder.registry()
    fresh = []
    for name in names:
        holder = registry.holders.get(name)
        if holder is None or holder.is_revoked:
            fresh.append(name)
        elif holder.role != role:
            raise SiteError(f"{name} is a {holder.role}; fix: another name, or revoke it first")
        elif not (folder.path / name / "cert.pem").exists():
            fix = f"fix: `vedette site renew {name} --new-key` if they are lost"
            raise SiteError(f"{name} has its certificate, but its files are not here; {fix}")
    for name in fresh:
        _issue(folder, registry, name, role, key=None, days=days, now=now)
    return settle(folder)


def renew(
    folder: SiteFolder,
    name: str,
    *,
    has_new_key: bool,
    days: int,
    now: dt.datetime,
    hosts: list[str] | None = None,
) -> bool:
    """Issue a new certificate; the old one stays valid, so that nothing stops meanwhile.

    Args:
        folder: the site.
        name: of a client, or `broker`.
        has_new_key: else it is for the same key, and nothing secret has to travel.
        days: how long it is valid.
        now: the wall clock.
        hosts: new names of the broker.

    Raises:
        SiteError: nobody has this name, it is revoked, or its certificate is no longer here.
    """
    registry = folder.registry()
    holder = _holder(registry, name)
    if holder.is_revoked:
        raise SiteError(f"{name} is revoked; fix: `vedette site add {name}`")
    key = None
    if not has_new_key:
        path = folder.path / name / "cert.pem"
        try:
            old = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
        except FileNotFoundError:
            raise SiteError(f"{path}: no such file; fix: --new-key") from None
        assert isinstance(old, ec.EllipticCurvePublicKey)  # we make no others
        key = old
    registry.hosts = hosts or registry.hosts
    _issue(folder, registry, name, holder.role, key=key, days=days, now=now)
    return settle(folder) or name == BROKER


def revoke(folder: SiteFolder, names: Sequence[str], *, now: dt.datetime) -> bool:
    """Take every certificate a name has ever had out of use; its key here is destroyed.

    Raises:
        SiteError: nobody has this name, or it is the broker's.
    """
    registry = folder.registry()
    for name in names:
        if _holder(registry, name).role == "broker":
            why = "clients read no revocation list"
            raise SiteError(
                f"{name}: {why}; fix: docs/security.md, when the broker's key is stolen"
            )
    for name in names:
        for issued in registry.holders[name].issued:
            issued.revoked = issued.revoked or now
    folder.save(registry)
    is_changed = settle(folder)
    for name in names:
        for file in ("key.pem", "cert.pem"):
            (folder.path / name / file).unlink(missing_ok=True)
    return is_changed


def settle(folder: SiteFolder) -> bool:
    """Write what follows from the registry; whether any of the broker's files has changed.

    Access list and revocation list always; configuration and scripts only where they are missing,
    because a person may have changed them.
    """
    registry = folder.registry()
    broker = folder.path / BROKER
    is_changed = False
    for file in mosquitto.FILES:
        is_wanted = not registry.is_in_place or file == "mosquitto.conf"
        if is_wanted and not (broker / file).exists():
            in_place = str(broker.resolve())
            text = mosquitto.text_of(
                file,
                port=registry.port,
                folder=in_place if registry.is_in_place else mosquitto.INSTALLED_FOLDER,
                data=in_place if registry.is_in_place else mosquitto.INSTALLED_DATA,
            )
            is_script = file in mosquitto.SCRIPTS
            folder.write(broker / file, text.encode(), mode=0o755 if is_script else 0o644)
            is_changed = True
    acl = _access_list(registry).encode()
    if not (broker / "acl").exists() or (broker / "acl").read_bytes() != acl:
        folder.write(broker / "acl", acl, mode=0o600)
        is_changed = True
    revoked = {
        int(issued.serial, 16): issued.revoked
        for holder in registry.holders.values()
        for issued in holder.issued
        if issued.revoked
    }
    if _listed(broker / "crl.pem") != set(revoked):
        registry.lists += 1
        folder.save(registry)
        made = _authority(folder).revoke(revoked.items(), number=registry.lists)
        folder.write(broker / "crl.pem", made)
        is_changed = True
    return is_changed


def _issue(
    folder: SiteFolder,
    registry: Registry,
    name: str,
    role: Role,
    *,
    key: ec.EllipticCurvePublicKey | None,
    days: int,
    now: dt.datetime,
) -> None:
    """Stage, register, hand out: a certificate that anybody can have is one that can be revoked."""
    authority = _authority(folder)
    files = {"ca.pem": certificates.to_pem(authority.certificate)}
    if key is None:
        private = certificates.new_key()
        files["key.pem"] = certificates.key_to_pem(private)
        key = private.public_key()
    until = now + dt.timedelta(days=days)
    if role == "broker":
        made = authority.for_broker(key, registry.hosts, until=until)
    else:
        made = authority.for_client(key, name, until=until)
    files["cert.pem"] = certificates.to_pem(made)
    if role == "device":
        files["mqtt.toml"] = _mqtt_table(registry).encode()
    folder.stage(name, files)
    issued = Issued(serial=f"{made.serial_number:x}", until=made.not_valid_after_utc)
    before = registry.holders.get(name)
    earlier = before.issued if before else []
    registry.holders[name] = Holder(role=role, issued=[*earlier, issued])
    folder.save(registry)
    folder.hand_out(name)


def _mqtt_table(registry: Registry) -> str:
    """What a device's config says of the broker."""
    lines = ["[mqtt]", f'host = "{registry.hosts[0]}"', f"port = {registry.port}"]
    lines += [f'prefix = "{registry.prefix}"', 'ca_file = "ca.pem"', 'cert_file = "cert.pem"']
    return "\n".join([*lines, 'key_file = "key.pem"']) + "\n"


def _access_list(registry: Registry) -> str:
    def names(role: Role) -> list[str]:
        holders = registry.holders.items()
        return [name for name, held in holders if held.role == role and not held.is_revoked]

    return mosquitto.access_list(
        registry.prefix,
        collectors=names("collector"),
        viewers=names("viewer"),
        revoked=[name for name, held in registry.holders.items() if held.is_revoked],
    )


def _authority(folder: SiteFolder) -> Authority:
    """The site's own, with its key.

    Raises:
        SiteError: it is not here, or others can read its key.
    """
    key_path = folder.path / "ca" / "key.pem"
    try:
        key = certificates.key_from_pem(Setting(str(key_path), key_path).read_secret().encode())
        certificate = (folder.path / "ca" / "cert.pem").read_bytes()
        return Authority(x509.load_pem_x509_certificate(certificate), key)
    except (TlsError, OSError, ValueError) as error:
        why = "without the site's authority nothing can be issued or revoked"
        raise SiteError(f"{error}; {why}") from None


def _listed(path: Path) -> set[int] | None:
    """The serial numbers in a revocation list; None: there is none."""
    try:
        return {one.serial_number for one in x509.load_pem_x509_crl(path.read_bytes())}
    except (FileNotFoundError, ValueError):
        return None


def _holder(registry: Registry, name: str) -> Holder:
    if name in registry.holders:
        return registry.holders[name]
    near = difflib.get_close_matches(name, registry.holders, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; `vedette site list` shows who has one"
    raise SiteError(f"nobody here is called {name}{hint}")


def _compare(made: Registry, wanted: Registry, path: Path) -> None:
    """A second `init` must ask for the same."""
    if made.hosts != wanted.hosts:
        fix = f"`vedette site renew broker --broker {','.join(wanted.hosts)}`"
        raise SiteError(f"{path}: its broker is {','.join(made.hosts)}; fix: {fix}")
    for key in ("port", "prefix", "is_in_place"):
        if (before := getattr(made, key)) != getattr(wanted, key):
            raise SiteError(f"{path}: was made with {key} {before}; fix: the same, or a new folder")
