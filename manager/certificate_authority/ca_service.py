"""The gRPC service over the authority.

Join, JoinManager, FindManagers and GetRoot are served on the join port, Renew, IssueServerCertificate and GetRoot on
the API port.
"""

import asyncio
import ipaddress
from collections.abc import Mapping

from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.certificate_authority.join_limits import FailedTokenLimit, IssuanceLimit
from manager.certificate_authority.manager_joins import ManagerJoins
from shoal.api.v1.certificate_authority_pb2 import (
    FindManagersRequest,
    FindManagersResponse,
    GetRootRequest,
    GetRootResponse,
    IssueServerCertificateRequest,
    IssueServerCertificateResponse,
    JoinManagerRequest,
    JoinManagerResponse,
    JoinRequest,
    JoinResponse,
    RenewRequest,
    RenewResponse,
)
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityServicer
from shoal.api.v1.cluster_pb2 import JoinToken, ManagerAddress, RegisteredManager
from shoal.errors import Unauthenticated
from shoal.rpc.caller import Context, caller_of
from shoal.rpc.host_port import peer_address

LAG_SECONDS = 0.5
"""Within this time, what another manager wrote is in the tables."""
MAX_JOIN_BYTES = 64 * 1024
"""Of one message on the join port, which anyone may send."""


class CertificateAuthorityService(CertificateAuthorityServicer):
    """Serve it with `access.JOIN` on the join port, with `manager_access.MANAGER_API` on the API port.

    Args:
        managers: the live table of all managers, including those that are not running.
    """

    def __init__(
        self,
        *,
        authority: CertificateAuthority,
        manager_joins: ManagerJoins,
        managers: Mapping[str, RegisteredManager],
        failed_tokens: FailedTokenLimit,
        issuance: IssuanceLimit,
    ) -> None:
        self._authority = authority
        self._manager_joins = manager_joins
        self._managers = managers
        self._failed_tokens = failed_tokens
        self._issuance = issuance

    async def GetRoot(self, request: GetRootRequest, context: Context) -> GetRootResponse:  # noqa: N802
        return GetRootResponse(ca_certificate=self._authority.cluster().ca_certificate)

    async def FindManagers(self, request: FindManagersRequest, context: Context) -> FindManagersResponse:  # noqa: N802
        return FindManagersResponse(managers=self._addresses())

    async def Join(self, request: JoinRequest, context: Context) -> JoinResponse:  # noqa: N802
        await self._admit(request.token, JoinToken.AGENT, context)
        node = await self._authority.join(request.token, request.csr, request.hostname)
        return JoinResponse(
            node_id=node.node_id,
            cluster_id=node.cluster_id,
            certificate=node.certificate,
            ca_certificate=self._authority.cluster().ca_certificate,
            managers=self._addresses(),
        )

    async def JoinManager(self, request: JoinManagerRequest, context: Context) -> JoinManagerResponse:  # noqa: N802
        await self._admit(request.token, JoinToken.MANAGER, context)
        made = await self._manager_joins.join(request.token, request.csr, request.peer_csr, request.peer_address)
        return JoinManagerResponse(
            manager_id=made.manager_id,
            cluster_id=made.cluster_id,
            certificate=made.certificate,
            ca_certificate=self._authority.cluster().ca_certificate,
            peer_certificate=made.peer_certificate,
            cluster_key=made.cluster_key,
            previous_cluster_key=made.previous_cluster_key,
            managers=self._addresses(),
        )

    async def _admit(self, token: str, role: JoinToken.Role.ValueType, context: Context) -> None:
        host = host_of_peer(context.peer())
        self._failed_tokens.check(host)
        try:
            await self._check(token, role)
        except Unauthenticated:
            self._failed_tokens.failed(host)
            raise
        self._issuance.join()

    def _addresses(self) -> list[ManagerAddress]:
        return [ManagerAddress(id=each.id, api_address=each.api_address) for _, each in sorted(self._managers.items())]

    async def _check(self, token: str, role: JoinToken.Role.ValueType) -> None:
        """Raises Unauthenticated: the token is invalid. Another manager may have created it a moment ago."""
        try:
            self._authority.tokens.check(token, role)
        except Unauthenticated:
            await asyncio.sleep(LAG_SECONDS)
            self._authority.tokens.check(token, role)

    async def Renew(self, request: RenewRequest, context: Context) -> RenewResponse:  # noqa: N802
        caller = caller_of(context)
        self._issuance.renewal(caller.subject.id)
        certificate = self._authority.renew(caller.subject, request.csr)
        return RenewResponse(certificate=certificate, ca_certificate=self._authority.cluster().ca_certificate)

    async def IssueServerCertificate(  # noqa: N802
        self, request: IssueServerCertificateRequest, context: Context
    ) -> IssueServerCertificateResponse:
        caller = caller_of(context)
        self._issuance.renewal(caller.subject.id)
        return IssueServerCertificateResponse(
            certificate=self._authority.issue_server(caller.subject, request.csr, request.names)
        )


def host_of_peer(peer: str) -> str:
    """The key under which invalid tokens are counted: an IPv4 address, or the /64 of an IPv6 address.

    Args:
        peer: in gRPC's form: "ipv4:192.0.2.1:4711", "ipv6:%5B2001:db8::1%5D:4711", "unix:…".
    """
    host = peer_address(peer)
    return str(ipaddress.IPv6Network((host, 64), strict=False)) if ":" in host else host or peer
