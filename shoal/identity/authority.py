"""The certificate authority as a value: its signing key and its certificate."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.identity.roles import ETCD_SERVER_NAME, ETCD_UNIT, CertificateSubject, Role, server_names
from shoal.identity.served_names import served_names

CA_LIFETIME = timedelta(days=20 * 365)
NODE_LIFETIME = timedelta(days=90)
ADMIN_LIFETIME = timedelta(days=365)
CLOCK_SKEW = timedelta(hours=1)
"""Certificates begin this long ago, for hosts whose clocks are slow."""


@dataclass(frozen=True)
class Authority:
    """Signs certificates of one cluster.

    Attributes:
        certificate: its own, self-signed, PEM.
        key: PKCS #8, PEM. Never printed.
    """

    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def create(cls, cluster_id: str, now: datetime) -> "Authority":
        """A new authority, good for 20 years."""
        pem = certificates.new_key()
        key = certificates.load_key(pem)
        name = _name("Shoal certificate authority", cluster_id)
        certificate = (
            _builder(name, name, key.public_key(), now, CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate.public_bytes(serialization.Encoding.PEM), pem)

    def sign(self, csr: bytes, caller: CertificateSubject, now: datetime) -> bytes:
        """A certificate (PEM) that names the caller, for the key of the request (PKCS #10, PEM).

        Raises:
            InvalidInput: the request is not valid; what it asks for beside the key is not looked at.
        """
        public = certificates.requested_key(csr)
        issuer, key = certificates.load_certificate(self.certificate), certificates.load_key(self.key)
        lifetime = ADMIN_LIFETIME if caller.role in (Role.ADMIN, Role.ENGINE, Role.CONSOLE) else NODE_LIFETIME
        builder = _builder(_subject(caller), issuer.subject, public, now, lifetime)
        for extension, critical in _leaf_extensions(caller, public, key.public_key()):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def sign_server(self, csr: bytes, caller: CertificateSubject, names: Sequence[str], now: datetime) -> bytes:
        """A certificate (PEM) to serve clients outside the cluster with, for 90 days. Nobody is a client with it.

        Args:
            names: host names and IP addresses, as of `served_names`.
        Raises:
            InvalidInput: the request or a name is not valid.
        """
        public = certificates.requested_key(csr)
        alternatives = x509.SubjectAlternativeName(served_names(names))
        issuer, key = certificates.load_certificate(self.certificate), certificates.load_key(self.key)
        builder = _builder(_subject(caller), issuer.subject, public, now, NODE_LIFETIME)
        for extension, critical in _common_extensions([ExtendedKeyUsageOID.SERVER_AUTH], public, key.public_key()):
            builder = builder.add_extension(extension, critical=critical)
        signed = builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def sign_peer(self, csr: bytes, manager_id: str, cluster_id: str, host: str, now: datetime) -> bytes:
        """A certificate (PEM) for a manager's etcd to speak to other managers' etcds with, for 90 days. No role: nobody
        calls Shoal with it, and no other certificate is one of etcd's.

        Args:
            host: the name or IP address at which the others reach it.
        Raises:
            InvalidInput: the request or the host is not valid.
        """
        public = certificates.requested_key(csr)
        alternatives = x509.SubjectAlternativeName([x509.DNSName(ETCD_SERVER_NAME), *served_names([host])])
        issuer, key = certificates.load_certificate(self.certificate), certificates.load_key(self.key)
        unit = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, ETCD_UNIT)
        subject = x509.Name([*_name(manager_id, cluster_id), unit])
        builder = _builder(subject, issuer.subject, public, now, NODE_LIFETIME)
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        for extension, critical in _common_extensions(uses, public, key.public_key()):
            builder = builder.add_extension(extension, critical=critical)
        signed = builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def issue(self, caller: CertificateSubject, now: datetime) -> Identity:
        """A new identity, key and all, for a party on this machine."""
        key = certificates.new_key()
        return Identity(certificate=self.sign(certificates.request(key), caller, now), key=key, ca=self.certificate)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _leaf_extensions(
    caller: CertificateSubject, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> list[tuple[x509.ExtensionType, bool]]:
    names = server_names(caller)
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])]
    extensions = _common_extensions(uses, key, issuer_key)
    if names:
        extensions.append((x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False))
    return extensions


def _common_extensions(
    uses: list[x509.ObjectIdentifier], key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage(uses), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False),
    ]


def _subject(caller: CertificateSubject) -> x509.Name:
    role = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, caller.role.value)
    return x509.Name([*_name(caller.id, caller.cluster), role])


def _name(common_name: str, cluster_id: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster_id),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
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
