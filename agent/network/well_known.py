"""Well-known names, addresses and link groups. Whatever carries them on a host belongs to Shoal."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

TABLE = "shoal"
FAMILY = "inet"
VXLAN_DEVICE = "shoal-vx"
WIREGUARD_PREFIX = "shoal-wg"
ESP_PREFIX = "shoal-es"
"""Name prefixes of the devices of encrypted networks, one device for each key generation."""
GATEWAY = IPv4Address("169.254.1.1")
"""Next hop and resolver of every container (RFC 3927: link-local, so it can be the same everywhere). It is on the VXLAN
device with link scope: never a source address of anything but replies."""
GATEWAY6 = IPv6Address("fd53:686f:616c::1")
"""Next hop of every container with IPv6; on the VXLAN device like `GATEWAY`. The prefix (RFC 4193) spells "Shoal" and
is the same everywhere: none of its addresses is ever seen outside a node and its tunnels."""
LOOPBACK6 = IPv6Address("fd53:686f:616c::2")
"""On the VXLAN device too: ports published on ::1 are published here, for `LoopbackRelay`."""
NODE_PREFIX6 = IPv6Network("fd53:686f:616c:1::/64")
"""Each node's own address in the overlay: next hop of packets to its containers."""
NODE_POOL6 = IPv6Network("fd53:686f:616c:2::/96")
"""IPv6 counterpart of the node-local pool: the last 32 bits are the container's IPv4 address there."""
GATEWAY_MAC = "02:53:68:6f:61:6c"
"""Of the host's end of every container's link; spells "Shoal". A container needs only this one, and never sends ARP."""

CONTAINER_DEVICE = "eth0"
LINK_PREFIX = "sh-"
DEVICE_PREFIX = "shoal-"
"""Of all devices that lead to other nodes."""
SPARE_PREFIX = "shp-"
ATTACHED_GROUP = 0x53680001
ENDED_GROUP = 0x53680002
SPARE_GROUP = 0x53680003
"""Link groups (IFLA_GROUP): the links of stopped tasks are deleted together."""
LINK_GROUPS, LINK_GROUPS_MASK = 0x53680000, 0xFFFF0000
"""What the groups of containers' links have in common."""
OVERLAY_GROUP = 0x53690001
ENCRYPTED_GROUP = 0x53690002
"""Of the VXLAN device, and of the devices of encrypted networks. Rules know links by these numbers: a name costs a copy
and a comparison of 16 bytes each time a rule asks for it."""
OUR_GROUPS, OUR_GROUPS_MASK = 0x53680000, 0xFFFE0000
"""What the groups of all our links have in common."""


def link_name(task_id: str) -> str:
    """The host's end of a task's link: 15 characters at most (IFNAMSIZ); the whole id is in the link's alias."""
    return LINK_PREFIX + task_id[-12:]


def is_container_link(name: str) -> bool:
    """Whether a link of this name is a container's, in use or spare."""
    return name.startswith((LINK_PREFIX, SPARE_PREFIX))
