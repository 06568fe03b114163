"""A network namespace that is ready for a container: the result of attaching a task, and an input of its start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class SharedNamespace:
    """What goes with another container's network namespace: its host and domain name (empty if it has none of its own),
    and the content of its /etc/hosts, /etc/resolv.conf and /etc/hostname, by path."""

    hostname: str
    domainname: str
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class NetworkOptions:
    """How a task is attached, beside its addresses.

    Attributes:
        internal_only: no egress, whatever the networks; without networks, loopback only.
        resolvers: DNS servers for names outside of the cluster; none means the node's.
        node_pool: it has an address of the node's own pool beside those of its networks.
        mac: of the container's end of its link; empty: one is chosen.
        container_id: the container of one's own that it is a run of; empty: none.
        links: ids of containers on its networks, or in the node's pool, by lower-case names that it alone knows.
        aliases: names on its networks, by lower-case names that it alone knows.
    """

    internal_only: bool = False
    resolvers: Sequence[str] = ()
    node_pool: bool = False
    mac: str = ""
    container_id: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


ORDINARY = NetworkOptions()
"""Of most tasks."""
NO_OPTIONS: Mapping[str, NetworkOptions] = MappingProxyType({})


@dataclass(frozen=True)
class Sandbox:
    """A network namespace, ready for a container.

    Attributes:
        netns_fd: its file descriptor in this process; belongs to the caller of `attach`, who closes it after the
            container has started (the container's own processes keep the namespace alive).
        addresses: by network id, as in the task; one entry "" for the node's own bridge network, if used.
        resolver: address for /etc/resolv.conf; empty if the node's resolver does not serve this task.
        addresses6: as `addresses`, for IPv6, if the network and the node have it.
        shared: set if the namespace is another container's.
    """

    netns_fd: int
    addresses: Mapping[str, str]
    resolver: str
    addresses6: Mapping[str, str] = field(default_factory=dict)
    shared: SharedNamespace | None = None


NO_SANDBOX = Sandbox(-1, {}, "")
"""For a task on the node's own network, or without a network; there is nothing to close."""
