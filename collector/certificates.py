"""X.509 for one site: its authority, certificates for broker and clients, the revocation list.

Everything is valid from 1970 on. A board without a battery clock boots there, and must reach the
broker to be heard at all; what protects against an old certificate is its end and the revocation
list, never its beginning.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key that the smallest board can use: EC on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS 8, not encrypted: a service must be able to start without a person."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The private key in a file that `key_to_pem` wrote.

    Raises:
        ValueError: it is none.
    """
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")  # noqa: TRY004 - a file, not an argument
    return key


def to_pem(made: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """As the broker and the clients read it."""
    return made.public_bytes(serialization.Encoding.PEM)


def make_authority(
    key: ec.EllipticCurvePrivateKey, name: str, *, until: dt.datetime
) -> x509.Certificate:
    """The site's own root, which signs nothing but the certificates of this site."""
    subject = _name(name)
    builder = _builder(subject, subject, key.public_key(), until).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return builder.add_extension(_usage(signs_certificates=True), critical=True).sign(
        key, hashes.SHA256()
    )


class Authority:
    """Signs for the site.

    Attributes:
        certificate: what broker and clients trust.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    def for_broker(
        self, key: ec.EllipticCurvePublicKey, hosts: Sequence[str], *, until: dt.datetime
    ) -> x509.Certificate:
        """A certificate that proves to clients that they speak to one of `hosts`."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = self._leaf(hosts[0], key, until, ExtendedKeyUsageOID.SERVER_AUTH)
        return builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())

    def for_client(
        self, key: ec.EllipticCurvePublicKey, name: str, *, until: dt.datetime
    ) -> x509.Certificate:
        """A certificate whose name is the user name at the broker; it is no proof of a server."""
        builder = self._leaf(name, key, until, ExtendedKeyUsageOID.CLIENT_AUTH)
        return builder.sign(self._key, hashes.SHA256())

    def revoke(self, serials: Iterable[tuple[int, dt.datetime]], *, number: int) -> bytes:
        """The revocation list as PEM: serial numbers with the time each was revoked.

        Its date is `number` seconds after 1970: of two lists OpenSSL believes the later one, so
        dates must rise with every list, whatever the clock of this machine says, and must not lie
        ahead of the broker's. It expires only with the authority: a broker with an expired list
        refuses everybody.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(EPOCH + dt.timedelta(seconds=number))
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._identifier(), critical=False)
        )
        for serial, when in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _leaf(
        self,
        common_name: str,
        key: ec.EllipticCurvePublicKey,
        until: dt.datetime,
        purpose: x509.ObjectIdentifier,
    ) -> x509.CertificateBuilder:
        until = min(until, self.certificate.not_valid_after_utc)
        return (
            _builder(_name(common_name), self.certificate.subject, key, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(self._identifier(), critical=False)
        )

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        key = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key.value)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(EPOCH)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
