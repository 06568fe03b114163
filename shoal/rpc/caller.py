"""Who makes a call: the identity that mutual TLS has verified, and the address it comes from."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from grpc import aio

from shoal.errors import PermissionDenied, Unauthenticated
from shoal.identity.certificates import subject_of
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.host_port import peer_address
from shoal.rpc.on_behalf import GATEWAYS, user_of

# Of any request and response. Quoted: generic for type checkers only.
Context: TypeAlias = "aio.ServicerContext[Any, Any]"


@dataclass(frozen=True)
class Caller:
    """Who makes a call.

    Attributes:
        name: user name, node ID, manager ID, name of an engine or a console; the certificate's CN, or the user that a
            gateway names.
        role: the certificate's OU, or that user's.
        cluster: cluster ID; the certificate's O.
        address: IP address of the other side of the connection; empty for a Unix socket. For logs, not for decisions:
            it may be that of a proxy.
        gateway: whom the certificate names, an engine or a console that calls on behalf of this user; None: the caller
            calls for itself.
    """

    name: str
    role: Role
    cluster: str
    address: str
    gateway: CertificateSubject | None = None

    @property
    def subject(self) -> CertificateSubject:
        """Whom the certificate names: the engine or the console, where it calls on behalf of a user."""
        return self.gateway or CertificateSubject(self.name, self.role, self.cluster)

    def __str__(self) -> str:
        through = f" through {self.gateway.role} {self.gateway.id}" if self.gateway else ""
        at = f" at {self.address}" if self.address else ""
        return f"{self.role} {self.name}{through}{at}"


def caller_of(context: Context) -> Caller:
    """The caller of a call in progress.

    Raises:
        Unauthenticated: there is no client certificate, or it was not issued by a Shoal cluster.
        PermissionDenied: it names a user to call for, and is neither engine nor console. InvalidInput: what it names is
            no user.
    """
    certificates = list(context.auth_context().get("x509_pem_cert", ()))
    if not certificates:
        raise Unauthenticated("a client certificate of the cluster is required")
    subject = subject_of(certificates[0])
    address = peer_address(context.peer())
    user = user_of(context.invocation_metadata() or ())
    if user is None:
        return Caller(subject.id, subject.role, subject.cluster, address)
    if subject.role not in GATEWAYS:
        required = " or ".join(sorted(GATEWAYS, reverse=True))
        raise PermissionDenied(
            f"{subject.role} {subject.id} cannot call on behalf of others; required role: {required}"
        )
    return Caller(user.name, user.role, subject.cluster, address, gateway=subject)
