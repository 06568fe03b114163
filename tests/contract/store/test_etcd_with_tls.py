"""An etcd cluster of someone else, which demands a client certificate."""

import asyncio
import datetime
import ipaddress
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from manager.store.changes import put
from manager.store.etcd import Etcd
from manager.store.etcd_channel import EtcdTls, cluster_channel
from manager.store.kinds import TASK
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Unavailable
from tests.contract.store.rig import running_store


def make_certificate(directory: Path) -> EtcdTls:
    """One certificate that is its own authority, a server's and a client's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd.test")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("etcd.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, *private))
    return EtcdTls(directory / "cert.pem", directory / "cert.pem", directory / "key.pem", server_name="etcd.test")


@contextmanager
def etcd_with_tls(directory: Path, tls: EtcdTls) -> Generator[str]:
    """A member on loopback; its HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
    command = ["/usr/bin/etcd", f"--data-dir={directory / 'data'}", "--log-level=error", "--logger=zap"]
    command += [f"--{kind}-client-urls=https://{address}" for kind in ("listen", "advertise")]
    command += [f"--{kind}-peer-urls=unix://peer:0" for kind in ("listen", "initial-advertise")]
    command += ["--initial-cluster=default=unix://peer:0", "--unsafe-no-fsync", "--max-txn-ops=1024"]
    command += ["--client-cert-auth", f"--trusted-ca-file={tls.ca}"]
    command += [f"--cert-file={tls.certificate}", f"--key-file={tls.key}"]
    with subprocess.Popen(command, cwd=directory) as process:
        try:
            yield address
        finally:
            process.terminate()


@pytest.mark.parametrize("copies", [1, 2])
def test_store_runs_over_mutual_tls(tmp_path: Path, copies: int) -> None:
    async def scenario(address: str, tls: EtcdTls) -> None:
        async with (
            asyncio.timeout(30),
            cluster_channel([address] * copies, tls) as channel,
            running_store(Etcd(channel=channel)) as store,
        ):
            revision = await store.commit([put(TASK, "t", Task(id="t"))])
            await store.reached(revision)

    tls = make_certificate(tmp_path)
    with etcd_with_tls(tmp_path, tls) as address:
        asyncio.run(scenario(address, tls))


def test_client_without_certificate_gets_nothing(tmp_path: Path) -> None:
    async def scenario(address: str) -> None:
        async with cluster_channel([address], None) as channel:
            with pytest.raises(Unavailable):
                await Etcd(channel=channel, deadline_seconds=1).read([b"a"])

    tls = make_certificate(tmp_path)
    with etcd_with_tls(tmp_path, tls) as address:
        asyncio.run(scenario(address))
