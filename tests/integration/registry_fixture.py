"""A real docker-registry for tests, with TLS and passwords on demand."""

import ipaddress
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.playground.registry_server import RegistryAccess, RegistryServer
from tests.ports import free_port


@dataclass(frozen=True)
class CertifiedKey:
    """PEM files of a certificate that vouches for itself, and its key."""

    certificate: Path
    key: Path
    private: ec.EllipticCurvePrivateKey


@asynccontextmanager
async def running_registry(
    directory: Path,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    security: RegistryAccess | None = None,
    namespace: str = "",
) -> AsyncGenerator[RegistryServer]:
    """A registry with its files in `directory`; it is stopped at the end, also on failure."""
    server = RegistryServer(directory, address, port or free_port(address), security=security, namespace=namespace)
    async with server:
        yield server


def make_certificate(directory: Path, address: str = "127.0.0.1") -> CertifiedKey:
    """An authority and server in one, for an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True)
    found = CertifiedKey(directory / "tls.crt", directory / "tls.key", key)
    found.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    found.key.chmod(0o600)
    return found


def make_htpasswd(path: Path, username: str, password: str) -> Path:
    """A file of one user as docker-registry takes it (bcrypt)."""
    subprocess.run(["htpasswd", "-Bbc", str(path), username, password], check=True, capture_output=True)
    return path
