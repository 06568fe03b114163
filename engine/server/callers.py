"""Who makes a request: by the client's certificate over TCP; on a Unix socket whoever may open it."""

import ssl
from dataclasses import dataclass

from aiohttp import web

from shoal.errors import PermissionDenied, Unauthenticated
from shoal.identity.certificates import subject_of
from shoal.identity.roles import Role


@dataclass(frozen=True)
class ApiCaller:
    """Who makes a request.

    Attributes:
        name: user name, the certificate's CN; empty on a Unix socket.
        role: the certificate's OU; on a Unix socket that of the engine's own context.
        is_local: on the Unix socket: the engine acts for whoever may open that.
    """

    name: str
    role: Role
    is_local: bool

    @property
    def is_admin(self) -> bool:
        """Whether nothing is forbidden to it."""
        return self.role is Role.ADMIN

    def __str__(self) -> str:
        return "local user" if self.is_local else f"{self.role} {self.name}"


def local_caller(role: Role) -> ApiCaller:
    """Whoever may open the Unix socket of an engine whose own context has this role."""
    return ApiCaller("", role, is_local=True)


LOCAL = local_caller(Role.ADMIN)


def caller_of(request: web.BaseRequest, cluster: str, local: ApiCaller = LOCAL) -> ApiCaller:
    """The caller of a request.

    Args:
        cluster: id of the cluster whose certificates are good; empty: not checked, the authority is checked by TLS.
        local: the caller on a Unix socket.
    Raises:
        Unauthenticated: there is no certificate of the cluster; PermissionDenied: its role may not use this API.
    """
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is None:
        return local
    certificate = tls.getpeercert(binary_form=True)
    if not certificate:
        raise Unauthenticated("a client certificate of the cluster is required")
    subject = subject_of(ssl.DER_cert_to_PEM_cert(certificate).encode())
    if cluster and subject.cluster != cluster:
        raise Unauthenticated("the client certificate is of another cluster")
    if subject.role is not Role.ADMIN:
        raise PermissionDenied(f"role {subject.role} may not use this API; role admin is required")
    return ApiCaller(subject.id, subject.role, is_local=False)
