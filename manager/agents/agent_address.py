"""Addresses of agents' servers."""

from dataclasses import dataclass

from shoal.api.v1.node_pb2 import NodeDescription
from shoal.rpc.host_port import HostPort


@dataclass(frozen=True)
class AgentAddress:
    """The address of an agent's own server.

    Attributes:
        address: host and port, as gRPC takes them.
    """

    node_id: str
    address: str

    @classmethod
    def of(cls, node_id: str, about: NodeDescription) -> "AgentAddress":
        """The address that the node reports."""
        return cls(node_id, str(HostPort(about.address, about.stream_port)))
