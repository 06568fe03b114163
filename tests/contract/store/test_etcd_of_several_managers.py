"""Managers' own etcds become members of one cluster, and leave it: real etcds on loopback, over mutual TLS."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from manager.etcd.layout import load_layout
from manager.store.backend import Put
from shoal.api.v1.cluster_pb2 import ManagerMembership
from shoal.identity.roles import CertificateSubject, Role
from tests.contract.store.own_etcds import AUTHORITY, Cluster, cluster, write_certificate

SECONDS = 60.0


def test_three_managers_and_one_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as managers:
            await managers.first.client.txn((), [Put(b"/a", b"1")])
            for name in ("m2", "m3"):
                joined = await managers.join(name)
                assert (await joined.client.read([b"/a"])).records[b"/a"].value == b"1"
            assert not any(each.is_learner for each in (await managers.first.client.member_changes.list()).members)
            await removed_manager_says_so(managers, "m3")
            listed = await managers.first.client.member_changes.list()
            assert sorted(each.name for each in listed.members) == ["m1", "m2"]
            await managers.join("m4")
            assert load_layout(managers.first.server.directory) is not None

    asyncio.run(scenario())


async def removed_manager_says_so(managers: Cluster, name: str) -> None:
    """An operator removes it: its etcd ends, and its data are moved away."""
    manager = managers.others[name]
    await managers.set_state(name, ManagerMembership.REMOVING)
    await managers.state(name, "")
    async with asyncio.timeout(SECONDS):
        await manager.removed.wait()
    assert (manager.server.directory / "data.removed.1").is_dir()


def test_only_certificates_of_etcds_are_peers(tmp_path: Path) -> None:
    """An agent's or a manager's certificate of the same authority must not reach etcd's data."""

    async def scenario() -> None:
        async with cluster(tmp_path) as managers:
            await managers.request("m2")
            await managers.state("m2", "LEARNER")
            address = managers.first.address
            assert await asyncio.to_thread(members_read_with, tmp_path, address, peer=True)
            for role in Role:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await asyncio.to_thread(members_read_with, tmp_path, address, role=role)

    asyncio.run(scenario())


def members_read_with(directory: Path, address: str, *, role: Role = Role.AGENT, peer: bool = False) -> bool:
    """Ask etcd's peer port for its members, with a certificate of the authority; whether it answered."""
    files = directory / "client"
    if peer:
        write_certificate(files, "198.51.100.1")  # Not where the connection comes from: NAT.
    else:
        AUTHORITY.issue(CertificateSubject("n1", role, "a-cluster"), datetime.now(UTC)).save(files)
    context = ssl.create_default_context(cafile=str(files / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=SECONDS) as plain, context.wrap_socket(plain) as secured:
        secured.sendall(b"GET /members HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")
        answer = secured.recv(64)
        if not answer:
            raise ConnectionError("closed")
        return answer.startswith(b"HTTP/1.1 200")
