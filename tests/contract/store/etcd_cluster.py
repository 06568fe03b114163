"""An etcd cluster of someone else: real members on loopback, as many as wanted, each with a certificate of its own."""

import datetime
import ipaddress
import json
import os
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from manager.etcd.members import TlsFiles
from tests.ports import free_port

HEALTHY_SECONDS = 60.0


class Authority:
    """Signs certificates into a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd's authority")])
        builder = _builder(self._name, self._name, self._key)
        certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            self._key, hashes.SHA256()
        )
        self.file = directory / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, label: str, host: str, *, server_name: str = "") -> TlsFiles:
        """Files of a certificate that names this host, or address, and nothing else."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a certificate")])
        builder = _builder(subject, self._name, key)
        names = x509.SubjectAlternativeName([_general_name(host)])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        files = TlsFiles(
            ca=self.file,
            certificate=self._directory / f"{label}.pem",
            key=self._directory / f"{label}.key",
            server_name=server_name,
        )
        pem = serialization.Encoding.PEM
        files.certificate.write_bytes(certificate.public_bytes(pem))
        files.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return files


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
        now + datetime.timedelta(hours=1)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@dataclass
class Member:
    """One member: where it is said to be found, and its process."""

    endpoint: str
    process: subprocess.Popen[bytes]

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)


@contextmanager
def etcd_cluster(
    directory: Path, hosts: Sequence[str], authority: Authority | None, *flags: str, named: str = ""
) -> Generator[list[Member]]:
    """A member on each of these hosts, all of which must lead to loopback.

    Args:
        authority: of the members' certificates; None: plain HTTP.
        flags: more of etcd's.
        named: what every certificate is for instead of its member's own host.
    """
    peers = ",".join(f"m{number}=unix://p{number}:0" for number in range(len(hosts)))
    with ExitStack() as stack:
        members, metrics = list[Member](), list[str]()
        for number, host in enumerate(hosts):
            listening = "[::1]" if ":" in host else "127.0.0.1"
            port = free_port("::1" if ":" in host else "127.0.0.1")
            scheme = "https" if authority else "http"
            command = ["/usr/bin/etcd", f"--name=m{number}", f"--data-dir={directory / f'm{number}'}"]
            command += ["--log-level=error", "--logger=zap", "--unsafe-no-fsync", f"--initial-cluster={peers}"]
            command += [f"--{kind}-client-urls={scheme}://{listening}:{port}" for kind in ("listen", "advertise")]
            command += [f"--{kind}-peer-urls=unix://p{number}:0" for kind in ("listen", "initial-advertise")]
            if authority is not None:
                files = authority.issue(f"m{number}", named or host)
                command += ["--client-cert-auth", f"--trusted-ca-file={files.ca}"]
                command += [f"--cert-file={files.certificate}", f"--key-file={files.key}"]
            metrics.append(f"http://127.0.0.1:{free_port()}")
            command += [f"--listen-metrics-urls={metrics[-1]}"]
            process = stack.enter_context(subprocess.Popen([*command, *flags], cwd=directory))
            stack.callback(process.kill)
            members.append(Member(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", process))
        for where in metrics:
            wait_until_healthy(where)
        yield members


def wait_until_healthy(where: str) -> None:
    """Wait until a member knows a leader: a client that comes before waits for a few seconds only.

    Args:
        where: URL at which it serves its health (https://etcd.io/docs/v3.4/op-guide/monitoring/).
    """
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not _is_healthy(where):
        assert time.monotonic() < deadline, f"etcd is not healthy at {where}"
        time.sleep(0.02)


def _is_healthy(where: str) -> bool:
    try:
        with urlopen(f"{where}/health", timeout=1) as answer:
            return bool(json.load(answer)["health"] == "true")
    except OSError:
        return False
