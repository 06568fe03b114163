"""Checks and enables IPv6 forwarding for containers. Blocking."""

from pathlib import Path

from agent.network.host.underlay import MIN_MTU_IPV6

_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_ACCEPT_UNLESS_FORWARDING, _ACCEPT_ALWAYS = "1", "2"
"""Values of accept_ra (Documentation/networking/ip-sysctl.rst)."""


def unavailable_reason(overlay_mtu: int, settings: Path = _SETTINGS) -> str:
    """Why containers on this host cannot have IPv6, one line for the user; empty when they can."""
    if not settings.is_dir():
        return "the kernel has no IPv6 support (CONFIG_IPV6, or ipv6.disable=1 on its command line)"
    for scope in ("all", "default"):
        if _read(settings / scope / "disable_ipv6") != "0":
            return f"IPv6 is disabled (net.ipv6.conf.{scope}.disable_ipv6)"
    if overlay_mtu < MIN_MTU_IPV6:
        return f"the overlay MTU is {overlay_mtu}; IPv6 requires at least {MIN_MTU_IPV6}"
    return ""


def is_forwarding_enabled(settings: Path = _SETTINGS) -> bool:
    return _read(settings / "all" / "forwarding") == "1"


def enable_forwarding(settings: Path = _SETTINGS) -> None:
    """Enable IPv6 forwarding, which the kernel does for all interfaces or none.

    An interface that learns routes from router advertisements continues to do so; forwarding by itself would end that,
    and remove the host's default route.
    """
    if is_forwarding_enabled(settings):
        return
    for interface in settings.iterdir():
        advertisements = interface / "accept_ra"
        if interface.name not in ("all", "default") and _read(advertisements) == _ACCEPT_UNLESS_FORWARDING:
            _write(advertisements, _ACCEPT_ALWAYS)
    _write(settings / "all" / "forwarding", "1")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:  # the interface is gone
        return ""


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except FileNotFoundError:  # the interface is gone
        return
