"""The check of a sender's reverse path (rp_filter, ip-sysctl), which the routing mesh needs to be loose. Blocking."""

from pathlib import Path

from agent.network.well_known import VXLAN_DEVICE

_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_STRICT, _LOOSE = 1, 2
"""Values of rp_filter (ip-sysctl): drop senders whose replies would leave by another interface; or only those without
any route."""


def relax_rp_filter() -> bool:
    """Accept clients that another node forwards here, on a host that checks the reverse path of every sender strictly.

    The kernel uses the greater of a link's value and the host's, so the check cannot be disabled for our device, only
    made loose: replies to such clients go through that node, not by the link that routes to them.

    Returns:
        Whether anything was changed.
    """
    host, device = (_SETTINGS / name / "rp_filter" for name in ("all", VXLAN_DEVICE))
    try:
        if int(host.read_text()) != _STRICT or int(device.read_text()) == _LOOSE:
            return False
        device.write_text(str(_LOOSE))
    except FileNotFoundError:  # the device was deleted, and will be recreated
        return False
    return True
