"""A small certificate authority: issue and revoke (RFC 5280). Pure: times come in, PEM goes out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Role = Literal["broker", "cloud", "gateway", "page"]

AUTHORITY_DAYS = 3650
_BACKDATED = timedelta(minutes=5)  # a gateway whose clock is a little slow still believes it
_LIST_DAYS = 3650  # mosquitto refuses every client once its revocation list is out of date


@dataclass(frozen=True)
class Issued:
    """One certificate with its key, PEM."""

    cert: bytes
    key: bytes
    serial: int
    not_after: datetime


class Authority:
    """Signs certificates. Keys are on the curve P-256, which every TLS library of the last ten years speaks."""

    def __init__(self, cert: bytes, key: bytes) -> None:
        self.pem = cert
        self._cert = x509.load_pem_x509_certificate(cert)
        loaded = serialization.load_pem_private_key(key, None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not an EC key")
        self._key = loaded

    @classmethod
    def create(cls, name: str, now: datetime) -> tuple[Authority, bytes]:
        """A new authority, and its private key in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        cert = (
            _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = _private(key)
        return cls(cert.public_bytes(serialization.Encoding.PEM), pem), pem

    def issue(
        self, name: str, role: Role, now: datetime, days: int, hosts: Sequence[str] = ()
    ) -> Issued:
        """A certificate whose common name is `name`: the broker's and a page's take `hosts`, the others are for clients."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        builder = (
            _builder(subject, self._cert.subject, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName(list(map(_alternative, hosts)))
            builder = builder.add_extension(names, critical=False)
        cert = builder.sign(self._key, hashes.SHA256())
        return Issued(
            cert.public_bytes(serialization.Encoding.PEM),
            _private(key),
            cert.serial_number,
            cert.not_valid_after_utc,
        )

    def revocations(self, serials: Iterable[tuple[int, datetime]], now: datetime) -> bytes:
        """The list of revoked certificates, PEM: (serial number, when)."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._cert.subject)
            .last_update(now - _BACKDATED)
            .next_update(now + timedelta(days=_LIST_DAYS))
        )
        for serial, when in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
            builder = builder.add_revoked_certificate(revoked.build())
        made = builder.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)


def not_after(pem: bytes) -> datetime:
    """When the first certificate of `pem` ends.

    Raises:
        ValueError: it is none.
    """
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def hosts_of(pem: bytes) -> list[str]:
    """The names and addresses a server's certificate is for.

    Raises:
        ValueError: it is no certificate, or names none.
    """
    cert = x509.load_pem_x509_certificate(pem)
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as exc:
        raise ValueError("names no host") from exc
    return [str(name.value) for name in names]


def fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate of `pem`, as phones show it: pairs of hex digits.

    Raises:
        ValueError: it is none.
    """
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex(":").upper()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _BACKDATED)
        .not_valid_after(now.astimezone(UTC) + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
