"""A network namespace that is ready for a container: what attaching a task makes, and its start takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SharedNamespace:
    """Of a container whose network namespace is shared: its names, empty where it has none of its own, and content of
    its /etc/hosts, /etc/resolv.conf and /etc/hostname, by path."""

    hostname: str
    domainname: str
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Sandbox:
    """A network namespace, ready for a container.

    Attributes:
        netns_fd: its file descriptor in this process; belongs to the caller of `attach`, who closes it after the
            container has started (the container's own processes keep the namespace alive).
        addresses: by network id, the same as in the task; one entry "" for the node's own bridge network, if used.
        resolver: address for /etc/resolv.conf, empty where the node's resolver does not serve this task.
        addresses6: as `addresses`, of IPv6, where the network and the node have it.
        shared: of another container's namespace: what goes with it.
    """

    netns_fd: int
    addresses: Mapping[str, str]
    resolver: str
    addresses6: Mapping[str, str] = field(default_factory=dict)
    shared: SharedNamespace | None = None


NO_SANDBOX = Sandbox(-1, {}, "")
"""Of a task on the node's own network, or with none at all; nobody made it, and there is nothing to close."""
