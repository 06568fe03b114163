"""Network modes: values in place of a network's name that refer to no network of the cluster.

Shared, since the control API admits them, the planner gives them no address, and the agent applies them.
"""

from ipaddress import IPv4Network

from shoal.api.v1.service_pb2 import NetworkAttachment, TaskTemplate

HOST = "host"
"""The node's own network: no namespace, no addresses, the node's resolver."""
NONE = "none"
"""Loopback only."""
BRIDGE = "bridge"
"""The node's own pool behind address translation, without neighbours: what a task without networks gets anyway."""
MODES = frozenset({HOST, NONE, BRIDGE})
SERVICE = "service:"
"""Before a service's name: the network namespace of that service's task in the same slot."""
CONTAINER = "container:"
"""Before the name of a container, in records its id: the network namespace of that container."""

NODE_POOL = "172.30.0.0/16"
"""For tasks on no network, on every node that has no reason to take another one; no network of the cluster may overlap
it, or another one that a node has taken."""

_NO_POOL = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
"""What hosts cannot have (RFC 6890)."""


def pool_error(pool: str) -> str:
    """Why this cannot be a node's own pool, one line; empty when it can."""
    try:
        network = IPv4Network(pool)
    except ValueError as error:
        return f"'{pool[:80]}' is not a valid IPv4 subnet such as {NODE_POOL}: {error}"
    if not 8 <= network.prefixlen <= 28:
        return f"{network} must have a prefix length from 8 to 28"
    return f"{network} contains reserved addresses" if any(map(network.overlaps, _NO_POOL)) else ""


def is_mode(name: str) -> bool:
    """Whether it means no network of the cluster."""
    return name in MODES or name.startswith((SERVICE, CONTAINER))


def mode_of(template: TaskTemplate) -> str:
    """One of the words, or BRIDGE where there is neither such a word nor a network; empty for networks."""
    if not template.networks:
        return BRIDGE
    first = template.networks[0].network
    return first if is_mode(first) else ""


def network_provider(template: TaskTemplate) -> str:
    """Name of the service whose tasks' network namespaces the tasks share; empty when they have their own."""
    if not template.networks:
        return ""
    first = template.networks[0].network
    return first.removeprefix(SERVICE) if first.startswith(SERVICE) else ""


def joined_container(template: TaskTemplate) -> str:
    """Name or id of the container whose network namespace it shares; empty when it shares none."""
    first = template.networks[0].network if template.networks else ""
    return first.removeprefix(CONTAINER) if first.startswith(CONTAINER) else ""


def has_node_pool(template: TaskTemplate) -> bool:
    """Whether it has an address of the node's own pool: without networks, and by BRIDGE beside them."""
    return not template.networks or any(attachment.network == BRIDGE for attachment in template.networks)


def cluster_networks(template: TaskTemplate) -> list[NetworkAttachment]:
    """The attachments to networks of the cluster."""
    return [attachment for attachment in template.networks if not is_mode(attachment.network)]
