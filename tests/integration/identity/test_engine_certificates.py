"""An engine that runs for years renews its certificate, and reads that of its own TLS again."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from grpc import aio

from shoal.api.v1.control_pb2 import ListNodesRequest, WatchServicesRequest
from shoal.contexts.context_store import ContextStore
from shoal.identity.authority import ADMIN_LIFETIME, Authority
from shoal.identity.identity import CERTIFICATE_FILE, KEY_FILE, Identity
from shoal.identity.roles import CertificateSubject, Role
from shoal.manager_calls.certificate_maintenance import CertificateMaintenance, ServerCertificate
from shoal.manager_calls.manager_connection import connect_to_managers
from shoal.manager_calls.managers import Managers
from shoal.manager_calls.replaceable_channel import ReplaceableChannel
from shoal.rpc.channel import connect_aio
from tests.integration.identity.rig import cluster
from tests.polling import until


def test_calls_use_the_renewed_certificate_and_streams_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster() as made:
            now = datetime.now(UTC)
            late = made.at(now - ADMIN_LIFETIME * 0.7, Role.ADMIN)
            context = ContextStore(tmp_path).create("default", late, [made.api])
            used: list[Identity] = []

            def connect(identity: Identity) -> aio.Channel:
                used.append(identity)
                return connect_aio([made.api], identity, one_at_a_time=True)

            async with connect(late) as first:
                channel = ReplaceableChannel(first)
                managers = Managers(channel)
                maintenance = CertificateMaintenance(
                    context, channel, connected_as=late, connect=connect, now=lambda: now
                )
                # Bound before the renewal, as handlers do.
                list_nodes = managers.control.ListNodes
                await managers.call(list_nodes, ListNodesRequest())
                stream = managers.stream(managers.control.WatchServices, WatchServicesRequest(services=["web"]))
                await anext(stream)

                await maintenance.check()
                await maintenance.check()
                renewed = Identity.load(context.directory)
                assert used == [late, renewed]
                assert renewed.certificate != late.certificate
                await managers.call(list_nodes, ListNodesRequest())
                assert (await anext(stream)).done
                await stream.aclose()

                for _ in range(3):  # as other programs renew it; the channels before the last are closed
                    made.at(now, Role.ADMIN).save(context.directory)
                    await maintenance.check()
                    await managers.call(list_nodes, ListNodesRequest())
                assert len(used) == 5
                await maintenance.close()

    asyncio.run(scenario())


def test_files_that_are_missing_leave_the_connection_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = datetime.now(UTC)
    identity = _issue(Authority.create("c1", now), now)
    context = ContextStore(tmp_path).create("default", identity, ["127.0.0.1:1"])
    (context.directory / CERTIFICATE_FILE).unlink()

    async def scenario() -> None:
        async with connect_aio(["127.0.0.1:1"], identity) as first:
            refuse: Callable[[Identity], aio.Channel] = lambda _: pytest.fail("connected")  # noqa: E731
            channel = ReplaceableChannel(first)
            await CertificateMaintenance(
                context, channel, connected_as=identity, connect=refuse, now=lambda: now
            ).check()

    asyncio.run(scenario())
    assert "stays connected with its old certificate" in caplog.text


def test_a_connection_uses_a_manager_that_answers_and_the_certificate_that_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def scenario() -> None:
        async with cluster() as made, AsyncExitStack() as stack:
            now = datetime.now(UTC)
            first = made.at(now, Role.ADMIN)
            context = ContextStore(tmp_path).create("default", first, ["127.0.0.1:1", made.api])
            managers, maintenance = await connect_to_managers(stack, context, first)
            await managers.call(managers.control.ListNodes, ListNodesRequest())

            made.at(now, Role.ADMIN).save(context.directory)
            checking = asyncio.create_task(maintenance.maintain(check_seconds=0.01))
            await until(lambda: "use the renewed certificate" in caplog.text)
            checking.cancel()
            await asyncio.wait([checking])
            await managers.call(managers.control.ListNodes, ListNodesRequest())

    asyncio.run(scenario())


def test_the_server_certificate_is_read_again_if_it_fits_its_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    authority = Authority.create("c1", now)
    one, two = _issue(authority, now), _issue(authority, now)
    one.save(tmp_path)
    certificate, key = tmp_path / CERTIFICATE_FILE, tmp_path / KEY_FILE
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    served = ServerCertificate(context, certificate, key)

    def shown() -> str:
        return _handshake(context)

    served.check()
    assert shown() == one.certificate.decode()
    certificate.write_bytes(two.certificate)  # half way
    served.check()
    assert shown() == one.certificate.decode()
    assert "the old server certificate stays in use" in caplog.text
    key.write_bytes(two.key)
    served.check()
    assert shown() == two.certificate.decode()


def _issue(authority: Authority, now: datetime) -> Identity:
    return authority.issue(CertificateSubject("root", Role.ADMIN, "c1"), now)


def _handshake(server_context: ssl.SSLContext) -> str:
    """The certificate (PEM) that a client sees."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found)
