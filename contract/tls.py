"""The client's side of TLS, the same for devices and collectors: files, checks, reasons in words.

Only the standard library: a device must not install a cryptography package to read one date.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

_OF_OTHERS = 0o077
_COMMON_NAME = bytes.fromhex("0603550403")  # object identifier 2.5.4.3


class TlsError(ValueError):
    """A certificate, key or password cannot be used; the text names the setting and the fix."""


@dataclass(frozen=True)
class Setting:
    """A file and who named it.

    Attributes:
        text: as a person wrote it, such as `mqtt.key_file = 'key.pem'`; errors begin with it.
        path: where the file is.
    """

    text: str
    path: Path

    def read(self) -> str:
        """The file's text.

        Raises:
            TlsError: it cannot be read.
        """
        try:
            return self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise TlsError(f"{self.text}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise TlsError(f"{self.text}: not a text file") from None

    def read_secret(self) -> str:
        """The text of a file that nobody else may read.

        What lies below `CREDENTIALS_DIRECTORY` is not asked for its mode: systemd made it.

        Raises:
            TlsError: it cannot be read, or others could read it as well.
        """
        text = self.read()
        made_by_systemd = os.environ.get("CREDENTIALS_DIRECTORY")
        if made_by_systemd and self.path.is_relative_to(made_by_systemd):
            return text
        mode = self.path.stat().st_mode & 0o777
        if mode & _OF_OTHERS:
            why = f"others may use this secret (mode {mode:04o}); fix: chmod 600 {self.path}"
            raise TlsError(f"{self.text}: {why}")
        return text


@dataclass(frozen=True)
class Certificate:
    """What a client must know about its own certificate.

    Attributes:
        name: the common name, which the broker takes for the user.
        until: the end of its validity.
    """

    name: str
    until: dt.datetime


class Context(ssl.SSLContext):
    """TLS 1.2 or newer, the broker's certificate and name checked.

    Attributes:
        refusal: why the last connection did not come about, with the fix; None: nothing is known.
    """

    refusal: str | None = None


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this machine, so that it may be sent plain."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_context(ca: Setting, cert: Setting | None, key: Setting | None) -> Context:
    """What a client needs to reach the broker; with `cert` and `key` the broker knows it, too.

    Raises:
        TlsError: a file is missing, is not what it should be, or does not fit the other.
    """
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    try:
        context.load_verify_locations(cadata=ca.read())
    except (ssl.SSLError, ValueError) as error:
        if isinstance(error, TlsError):
            raise
        raise TlsError(f"{ca.text}: holds no certificate (PEM)") from None
    if cert is None or key is None:
        return context
    read_certificate(cert)
    if "PRIVATE KEY-----" not in key.read_secret():
        raise TlsError(f"{key.text}: holds no private key (PEM)")

    def no_password() -> str:  # without this OpenSSL would ask on the terminal, and wait
        raise TlsError(f"{key.text}: is encrypted; fix: a key without a password, mode 600")

    try:
        context.load_cert_chain(cert.path, key.path, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of {cert.text}; fix: the two files that were issued together"
            raise TlsError(f"{key.text}: {why}") from None
        raise TlsError(f"{key.text}: not a usable private key ({error.reason})") from None
    return context


def read_certificate(setting: Setting) -> Certificate:
    """Name and end of the first certificate in a PEM file.

    Raises:
        TlsError: it cannot be read or is none.
    """
    text = setting.read()
    end = text.find(ssl.PEM_FOOTER)
    try:
        pem = text[text.index(ssl.PEM_HEADER) : end] + ssl.PEM_FOOTER
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)  # whole, or not
        return _parse(ssl.PEM_cert_to_DER_cert(pem))
    except (ssl.SSLError, ValueError, IndexError):
        raise TlsError(f"{setting.text}: holds no certificate (PEM)") from None


def expiry_warning(certificate: Certificate, now: dt.datetime, *, within_days: int) -> str | None:
    """One line when a certificate has ended or is about to."""
    left_days = (certificate.until - now).days
    if left_days >= within_days:
        return None
    when = f"{certificate.until:%Y-%m-%d}"
    said = f"expires on {when}, in {left_days} days" if left_days >= 0 else f"expired on {when}"
    return f"the certificate of {certificate.name} {said}; fix: {_RENEW} {certificate.name}"


def _parse(der: bytes) -> Certificate:
    """Walk to validity and subject; the signature is the broker's business."""
    _, at, _ = _element(der, 0)  # Certificate
    _, at, _ = _element(der, at)  # TBSCertificate
    tag, _, end = _element(der, at)
    if tag == 0xA0:  # version, which version 1 leaves out
        _, _, end = _element(der, end)  # serial number
    _, _, end = _element(der, end)  # signature algorithm
    _, _, end = _element(der, end)  # issuer
    _, validity, end = _element(der, end)
    _, _, not_before_end = _element(der, validity)
    tag, begin, until_end = _element(der, not_before_end)
    digits = der[begin:until_end].decode("ascii")
    if tag == 0x17:  # UTCTime has two digits of the year
        digits = ("19" if digits >= "50" else "20") + digits
    until = dt.datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC)
    _, begin, end = _element(der, end)
    subject = der[begin:end]
    found = subject.find(_COMMON_NAME)
    name = b""
    if found >= 0:
        _, begin, end = _element(subject, found + len(_COMMON_NAME))
        name = subject[begin:end]
    return Certificate(name.decode("utf-8", "replace"), until)


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag of the element at `at`, and where its content begins and ends."""
    length, begin = der[at + 1], at + 2
    if length >= 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin], "big")
    return der[at], begin, begin + length


class _Socket(ssl.SSLSocket):
    """Notes in its context why the other side, or we, would not go on.

    Under TLS 1.3 a server judges the client's certificate when the client already takes itself for
    connected: the reason waits unread while the first write fails with nothing but an end of file.
    """

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's
        if isinstance(self.context, Context):
            self.context.refusal = None
        try:
            super().do_handshake(block)
        except OSError as error:
            self._note(error)
            self.close()  # or nobody would: the client never gets to see this socket
            raise

    def send(self, data: object, flags: int = 0) -> int:
        try:
            return super().send(data, flags)  # type: ignore[arg-type]
        except (ssl.SSLEOFError, ConnectionError):
            with contextlib.suppress(OSError):
                self.recv(1)
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except OSError as error:
            self._note(error)
            raise

    def _note(self, error: OSError) -> None:
        if isinstance(self.context, Context):
            self.context.refusal = explain(error) or self.context.refusal


_RENEW = "vedette site renew"
# Ends of OpenSSL's reasons, in the words of who must do something about it.
_REASONS = {
    "ALERT_CERTIFICATE_REVOKED": "the broker says that our certificate is revoked; fix: a new one"
    " by `vedette site add`",
    "ALERT_CERTIFICATE_EXPIRED": "the broker says that our certificate has expired; fix: a new one"
    f" by `{_RENEW}`",
    "ALERT_UNKNOWN_CA": "the broker does not trust who issued our certificate; fix: one issued by"
    " the broker's own site",
    "ALERT_CERTIFICATE_REQUIRED": "the broker asks for a certificate; fix: give one, with its key",
    "ALERT_HANDSHAKE_FAILURE": "the broker breaks off the handshake; fix: most likely it asks for a"
    " certificate, give one with its key",
    "ALERT_UNSUPPORTED_CERTIFICATE": "the broker says that our certificate is not a client's; fix:"
    " one issued by `vedette site add`",
    "WRONG_VERSION_NUMBER": "no TLS is spoken on the broker's port; fix: the port, usually 8883",
}


def explain(error: OSError) -> str | None:
    """What a TLS error means to a person, with the fix; None: it is another kind of error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        fix = {
            10: "a new certificate for the broker, by `vedette site renew broker`",
            62: "the host must be one of the names in the broker's certificate",
            64: "the host must be one of the addresses in the broker's certificate",
        }.get(error.verify_code, "the CA file of this broker's own site")
        return f"we do not believe the broker: {error.verify_message.rstrip('.')}; fix: {fix}"
    reason = getattr(error, "reason", None)
    if not isinstance(error, ssl.SSLError) or reason is None:
        return None
    for end, words in _REASONS.items():
        if reason.endswith(end):
            return words
    return None
