"""Real servers on loopback for the tests of identity: a manager's two ports, an agent's one, and strangers."""

# ruff: noqa: N802  # the methods are named by the protocol

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from grpc import aio

from manager.certificate_authority.ca_service import MAX_JOIN_BYTES, CertificateAuthorityService
from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.certificate_authority.join_limits import FailedTokenLimit, IssuanceLimit
from manager.certificate_authority.manager_joins import ManagerJoins
from manager.store import kinds
from manager.store.changes import put
from manager.store.store import Store
from shoal.api.v1.certificate_authority_pb2 import (
    FindManagersResponse,
    GetRootRequest,
    GetRootResponse,
    JoinManagerRequest,
    JoinManagerResponse,
    JoinRequest,
    JoinResponse,
)
from shoal.api.v1.certificate_authority_pb2_grpc import (
    CertificateAuthorityServicer,
    add_CertificateAuthorityServicer_to_server,
)
from shoal.api.v1.cluster_pb2 import ManagerAddress, RegisteredManager
from shoal.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from shoal.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server
from shoal.api.v1.streams_pb2_grpc import add_AgentStreamsServicer_to_server
from shoal.errors import NotFound
from shoal.identity.authority import Authority
from shoal.identity.identity import Identity
from shoal.identity.keyring import Keyring
from shoal.identity.roles import CertificateSubject, Role
from shoal.ids import new_id
from shoal.rpc import access
from shoal.rpc.caller import Context
from shoal.rpc.grpc_server import CurrentIdentity, listen, make_server
from shoal.rpc.manager_access import MANAGER_API
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.integration.identity.servicers import Control, Dispatcher, Streams

CLUSTER_KEY = bytes(range(32))


@dataclass
class Cluster:
    """A manager that serves.

    Attributes:
        identities: what the manager shows; replace it to see a renewal.
        api, joining: `host:port`.
    """

    store: Store
    authority: CertificateAuthority
    shown: Identity
    control: Control
    now: float = field(default_factory=time.time)
    api: str = ""
    joining: str = ""

    async def token(self) -> str:
        """A new join token."""
        token, _ = await self.authority.tokens.create()
        return token

    def identity(self, role: Role, identifier: str = "party") -> Identity:
        """An identity of this cluster, of any role."""
        return self.at(datetime.now(UTC), role, identifier)

    def at(self, begin: datetime, role: Role, identifier: str = "party") -> Identity:
        """The same, given out at another time."""
        made = self.authority._authority()
        return made.issue(CertificateSubject(identifier, role, self.authority.cluster().meta.id), begin)

    def expired(self, role: Role) -> Identity:
        """One that ended yesterday."""
        return self.at(datetime.now(UTC) - timedelta(days=366), role)


@asynccontextmanager
async def serving(server: aio.Server) -> AsyncGenerator[None]:
    """Start, and stop at the end."""
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


@asynccontextmanager
async def cluster() -> AsyncGenerator[Cluster]:
    """A founded cluster with one manager that serves its API and lets nodes join."""
    async with loaded_store(MemoryEtcd()) as store:
        authority = CertificateAuthority(store=store, keyring=Keyring(CLUSTER_KEY), clock=time.time, new_id=new_id)
        await authority.bootstrap()
        await store.commit(
            [put(kinds.REGISTERED_MANAGER, "m1", RegisteredManager(id="m1", api_address="192.0.2.1:4242"))]
        )
        # Only some of its methods: the rest stays as the stubs have it, unserved.
        control = Control()  # type: ignore[abstract]
        made = Cluster(store=store, authority=authority, shown=authority.issue_manager("m1"), control=control)
        api, joining = make_server(MANAGER_API), make_server(access.JOIN, max_receive_bytes=MAX_JOIN_BYTES)
        service = CertificateAuthorityService(
            authority=authority,
            manager_joins=ManagerJoins(
                store=store, authority=authority, own_etcd=True, now_ms=lambda: int(made.now * 1000), new_id=new_id
            ),
            managers=store.tables.registered_managers,
            failed_tokens=FailedTokenLimit(clock=lambda: made.now),
            issuance=IssuanceLimit(clock=lambda: made.now),
        )
        for server in (api, joining):
            add_CertificateAuthorityServicer_to_server(service, server)
        add_ControlServicer_to_server(control, api)
        add_DispatcherServicer_to_server(Dispatcher(), api)
        made.api = _local(listen(api, "127.0.0.1:0", lambda: made.shown))
        made.joining = _local(listen(joining, "127.0.0.1:0", lambda: made.shown, require_client_certificate=False))
        async with serving(api), serving(joining):
            yield made


@asynccontextmanager
async def agent(identity: CurrentIdentity) -> AsyncGenerator[str]:
    """An agent's stream server; its address."""
    server = make_server(access.AGENT_STREAMS)
    add_AgentStreamsServicer_to_server(Streams(), server)
    address = _local(listen(server, "127.0.0.1:0", identity))
    async with serving(server):
        yield address


class Impostor(CertificateAuthorityServicer):
    """Serves the join port with any certificate and any root, and keeps what it received."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.reported: list[str] = []

    async def GetRoot(self, request: GetRootRequest, context: Context) -> GetRootResponse:
        return GetRootResponse(ca_certificate=self.root)

    async def Join(self, request: JoinRequest, context: Context) -> JoinResponse:
        self.reported.append(request.token)
        return JoinResponse()

    async def FindManagers(self, request: Any, context: Context) -> FindManagersResponse:
        return FindManagersResponse(managers=[ManagerAddress(id="m1", api_address="192.0.2.66:1")])

    async def JoinManager(self, request: JoinManagerRequest, context: Context) -> JoinManagerResponse:
        self.reported.append(request.token)
        return JoinManagerResponse()

    async def Renew(self, request: Any, context: Context) -> Any:
        raise NotFound("no renewal here")

    async def IssueServerCertificate(self, request: Any, context: Context) -> Any:
        raise NotFound("no certificates here")


@asynccontextmanager
async def impostor(shown: Identity, root: bytes) -> AsyncGenerator[tuple[str, Impostor]]:
    """A man in the middle: its address, and what it learns."""
    server, spy = make_server(access.JOIN), Impostor(root)
    add_CertificateAuthorityServicer_to_server(spy, server)
    address = _local(listen(server, "127.0.0.1:0", lambda: shown, require_client_certificate=False))
    async with serving(server):
        yield address, spy


@asynccontextmanager
async def plain_listener(answer: bytes) -> AsyncGenerator[str]:
    """Something that is not Shoal: answers the first bytes, without TLS, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield _local(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def silent_listener() -> AsyncGenerator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield _local(listener.getsockname()[1])


def stranger(role: Role, *, believes: bytes) -> Identity:
    """An identity of another cluster that believes in this authority."""
    now = datetime.now(UTC)
    made = Authority.create("elsewhere", now).issue(CertificateSubject("party", role, "elsewhere"), now)
    return Identity(certificate=made.certificate, key=made.key, ca=believes)


def foreign_authority() -> Authority:
    """Of another cluster."""
    return Authority.create("elsewhere", datetime.now(UTC))


def run(scenario: Callable[[Cluster], Any]) -> None:
    """Run it against a cluster, within half a minute."""

    async def whole() -> None:
        async with asyncio.timeout(60), cluster() as made:
            await scenario(made)

    asyncio.run(whole())


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"
