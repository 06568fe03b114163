"""Roles, and the server names that certificates of each role are good for."""

from dataclasses import dataclass
from enum import StrEnum

MANAGER_SERVER_NAME = "manager.shoal"
AGENT_SERVER_NAME = "agent.shoal"
ETCD_SERVER_NAME = "etcd.shoal"
"""In the certificates of managers' etcds, and in no other."""
ETCD_UNIT = "etcd"
"""The OU of these certificates. It is no role: nobody calls Shoal with them."""


class Role(StrEnum):
    """What a certificate lets its holder do; the certificate's OU."""

    MANAGER = "manager"
    AGENT = "agent"
    ADMIN = "admin"
    ENGINE = "engine"
    CONSOLE = "console"


@dataclass(frozen=True)
class CertificateSubject:
    """Whom a certificate names.

    Attributes:
        id: node id, manager id or user name; the certificate's CN.
        cluster: cluster id; the certificate's O.
    """

    id: str
    role: Role
    cluster: str


def agent_server_name(node_id: str) -> str:
    """The name that a manager demands of this one agent's certificate when it calls it."""
    return f"{node_id}.{AGENT_SERVER_NAME}"


def server_names(caller: CertificateSubject) -> tuple[str, ...]:
    """The names that this party may serve under. Admins serve nothing, engines and consoles none of the cluster's."""
    match caller.role:
        case Role.MANAGER:
            return (MANAGER_SERVER_NAME,)
        case Role.AGENT:
            return (AGENT_SERVER_NAME, agent_server_name(caller.id))
        case Role.ADMIN | Role.ENGINE | Role.CONSOLE:
            return ()
