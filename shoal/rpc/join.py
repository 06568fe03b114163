"""How a new node gets its identity.

It knows a token and an address, and must not reveal the token's secret to anyone but the cluster that the token is of:

1. Fetch the certificate that the server presents, without trusting it.
2. Speak TLS with that certificate as the only root, and ask for the authority's certificate.
3. The token's hash says whether that is the right authority, and the authority whether the server is its own.
4. Speak TLS anew, with the authority as the root, and only there send the token.
"""

import asyncio
import ssl
from dataclasses import dataclass

import grpc

from shoal.api.v1.certificate_authority_pb2 import (
    FindManagersRequest,
    GetRootRequest,
    JoinRequest,
    JoinResponse,
)
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityStub
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.errors import InvalidInput, Timeout, Unauthenticated, Unavailable
from shoal.identity import certificates, join_token
from shoal.identity.identity import Identity
from shoal.identity.join_token import JoinToken
from shoal.rpc import host_port
from shoal.rpc.channel import connect_without_identity
from shoal.rpc.status_mapping import to_shoal_error

TIMEOUT_SECONDS = 15.0
"""For each of the steps. Joining writes to etcd, which a new cluster may still be starting."""


@dataclass(frozen=True)
class JoinedIdentity:
    """What a node has after joining.

    Attributes:
        managers: where each manager's API is.
    """

    identity: Identity
    node_id: str
    cluster_id: str
    managers: tuple[ManagerAddress, ...]


async def join(
    address: str, token: str, hostname: str, *, key: bytes = b"", timeout_seconds: float = TIMEOUT_SECONDS
) -> JoinedIdentity:
    """Become a node of the cluster that the token is of, with a key that never leaves this host.

    Args:
        address: `host:port` where a manager lets nodes join.
        token: `SHOAL-1-…`.
        hostname: as the node is to be called.
        key: PEM; a call that is repeated with the same key, since its answer was lost, makes one node at one use of the
            token. Empty: a new one.
    Raises:
        InvalidInput: the address or the token has not the right form.
        Unauthenticated: the server is of another cluster, or the token is wrong, expired or used up.
        AlreadyExists: another node has the name. Busy: too many hosts join.
        Unavailable, Timeout: nobody answers, or it is not a Shoal manager's join address.
    """
    parsed = join_token.parse(token)
    root = await verified_root(address, parsed, timeout_seconds=timeout_seconds)
    key = key or certificates.new_key()
    request = JoinRequest(token=str(parsed), csr=certificates.request(key), hostname=hostname)
    async with connect_without_identity(address, root) as channel:
        try:
            response = await CertificateAuthorityStub(channel).Join(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise to_shoal_error(error, address=address) from error
    return _joined(response, key, root)


async def find_managers(
    address: str, root: bytes, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> tuple[ManagerAddress, ...]:
    """The managers' addresses, from one that has the certificate of the authority `root` (PEM).

    Args:
        address: `host:port` where a manager lets nodes join.
    Raises:
        InvalidInput: the address has not the right form.
        Unavailable, Timeout: no response, or none from a server whose certificate the authority has signed.
    """
    async with connect_without_identity(address, root) as channel:
        try:
            response = await CertificateAuthorityStub(channel).FindManagers(
                FindManagersRequest(), timeout=timeout_seconds
            )
        except grpc.RpcError as error:
            raise to_shoal_error(error, address=address) from error
    return tuple(response.managers)


async def verified_root(address: str, token: JoinToken, *, timeout_seconds: float = TIMEOUT_SECONDS) -> bytes:
    """The authority's certificate (PEM), after it and the server have been checked against the token.

    Raises:
        Unauthenticated: the server is not of the token's cluster.
        Unavailable, Timeout: nobody answers, or it is not a Shoal manager's join address.
    """
    shown = await _presented_certificate(address, timeout_seconds)
    async with connect_without_identity(address, shown) as channel:
        try:
            response = await CertificateAuthorityStub(channel).GetRoot(GetRootRequest(), timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise Unavailable(
                f"{address} is not the join address of a Shoal cluster ({to_shoal_error(error, address=address)}); "
                "find it with `shoal cluster info`"
            ) from error
    root = response.ca_certificate
    if not _matches(token, root):
        raise Unauthenticated(
            f"{address} belongs to another cluster than the token; check the address, or get a new token"
        )
    if not certificates.is_signed_by(shown, root):
        raise Unauthenticated(f"{address} presented a certificate that its cluster's CA did not sign; do not trust it")
    return root


def _matches(token: JoinToken, root: bytes) -> bool:
    try:
        return token.matches_ca(root)
    except InvalidInput:
        return False


def _joined(response: JoinResponse, key: bytes, root: bytes) -> JoinedIdentity:
    if not certificates.is_signed_by(response.certificate, root):
        raise Unauthenticated("the manager returned a certificate that the cluster's CA did not sign")
    return JoinedIdentity(
        identity=Identity(certificate=response.certificate, key=key, ca=root),
        node_id=response.node_id,
        cluster_id=response.cluster_id,
        managers=tuple(response.managers),
    )


async def _presented_certificate(address: str, timeout_seconds: float) -> bytes:
    """The server's certificate (PEM), not trusted for anything.

    Raises:
        Unavailable, Timeout
    """
    where = host_port.parse(address)
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(where.host, where.port, ssl=_unverified_tls())
    except TimeoutError:
        raise Timeout(f"no response from {address}; check the address, the network and the firewall") from None
    except ssl.SSLError as error:
        raise Unavailable(
            f"{address} does not speak TLS; check that this is a manager's join address ({error.reason})"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"cannot reach {address}: {error.strerror or error}; check that the manager is running"
        ) from error
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return ssl.DER_cert_to_PEM_cert(der).encode()


def _unverified_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
