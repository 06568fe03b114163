"""What the devices of both drivers have in common."""

from agent.network.netlink import rtnetlink
from agent.network.netlink.rtnetlink_dump import Link
from agent.network.well_known import ENCRYPTED_GROUP
from shoal.errors import Unavailable

LINK_SETTINGS = {rtnetlink.DEVCONF_RP_FILTER: 0, rtnetlink.DEVCONF_SEND_REDIRECTS: 0}


def set_up(link: int, mtu: int = 0) -> rtnetlink.Message:
    """Set a device up, in the group that rules match, with this MTU where one is given."""
    return rtnetlink.set_link(link, up=True, mtu=mtu, group=ENCRYPTED_GROUP)


def usable_mtu(link: Link) -> int:
    """The MTU of a device that is as `set_up` left it; 0 of one that needs repair."""
    return link.mtu if link.up and link.group == ENCRYPTED_GROUP else 0


def creation_error(name: str, port: int, error: Exception) -> Unavailable:
    """The error of a device that could not be created."""
    return Unavailable(f"cannot create tunnel {name} on UDP port {port}: {error}")
