"""What we call things on the host. Whatever carries these names is ours, to be found and removed by them."""

from ipaddress import IPv4Address

TABLE = "shoal"
FAMILY = "inet"
VXLAN_DEVICE = "shoal-vx"
GATEWAY = IPv4Address("169.254.1.1")
"""Next hop and resolver of every container (RFC 3927: link-local, so it can be the same everywhere). It is on the VXLAN
device, of link scope: never a source for anything but answers."""
GATEWAY_MAC = "02:53:68:6f:61:6c"
"""Of the host's end of every container's link: "Shoal". A container needs to know only one, and never asks."""

CONTAINER_DEVICE = "eth0"
LINK_PREFIX = "sh-"
SPARE_PREFIX = "shp-"
LIVE_GROUP = 0x53680001
ENDED_GROUP = 0x53680002
SPARE_GROUP = 0x53680003
"""Link groups (IFLA_GROUP): those of ended tasks are swept away together."""


def link_name(task_id: str) -> str:
    """The host's end of a task's link: 15 characters at most (IFNAMSIZ); the whole id is in the link's alias."""
    return LINK_PREFIX + task_id[-12:]


def is_ours(name: str) -> bool:
    """Whether a link of this name is a container's, in use or spare."""
    return name.startswith((LINK_PREFIX, SPARE_PREFIX))
