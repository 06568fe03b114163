"""Who makes a call: the identity that mutual TLS has verified, and the address it comes from."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from grpc import aio

from shoal.errors import Unauthenticated
from shoal.identity.certificates import subject_of
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.host_port import peer_address

# Of any request and response. Quoted: generic for type checkers only.
Context: TypeAlias = "aio.ServicerContext[Any, Any]"


@dataclass(frozen=True)
class Caller:
    """Who makes a call.

    Attributes:
        name: user name, node ID or manager ID; the certificate's CN.
        role: the certificate's OU.
        cluster: cluster ID; the certificate's O.
        address: IP address of the other side of the connection; empty for a Unix socket. For logs, not for decisions:
            it may be that of a proxy.
    """

    name: str
    role: Role
    cluster: str
    address: str

    @property
    def subject(self) -> CertificateSubject:
        """The same identity as certificates name it."""
        return CertificateSubject(self.name, self.role, self.cluster)

    def __str__(self) -> str:
        return f"{self.role} {self.name} at {self.address}" if self.address else f"{self.role} {self.name}"


def caller_of(context: Context) -> Caller:
    """The caller of a call in progress.

    Raises:
        Unauthenticated: there is no client certificate, or it was not issued by a Shoal cluster.
    """
    certificates = list(context.auth_context().get("x509_pem_cert", ()))
    if not certificates:
        raise Unauthenticated("a client certificate of the cluster is required")
    subject = subject_of(certificates[0])
    return Caller(subject.id, subject.role, subject.cluster, peer_address(context.peer()))
