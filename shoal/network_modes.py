"""Words that stand in the place of a network's name, and mean no network of the cluster.

Shared, since the control API admits them, the planner gives them no address, and the agent does what they say.
"""

from shoal.api.v1.service_pb2 import NetworkAttachment, TaskTemplate

HOST = "host"
"""The node's own network: no namespace, no addresses, the node's resolver."""
NONE = "none"
"""Loopback only."""
BRIDGE = "bridge"
"""The node's own pool behind address translation, without neighbours: what a task without networks gets anyway."""
MODES = frozenset({HOST, NONE, BRIDGE})

NODE_POOL = "172.30.0.0/16"
"""The same on every node, for tasks on no network; no network of the cluster may overlap it."""


def mode_of(template: TaskTemplate) -> str:
    """One of the words, or BRIDGE where there is neither such a word nor a network; empty for networks."""
    if not template.networks:
        return BRIDGE
    first = template.networks[0].network
    return first if first in MODES else ""


def cluster_networks(template: TaskTemplate) -> list[NetworkAttachment]:
    """The attachments to networks of the cluster."""
    return [attachment for attachment in template.networks if attachment.network not in MODES]
