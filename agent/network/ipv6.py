"""Whether this host's containers can have IPv6, and what its own network needs for that. Blocking."""

from pathlib import Path

from agent.network.underlay import LEAST_OF_IPV6

_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_UNLESS_FORWARDING, _ALWAYS = "1", "2"
"""Values of accept_ra (Documentation/networking/ip-sysctl.rst)."""


def lacking(overlay_mtu: int, settings: Path = _SETTINGS) -> str:
    """Why containers of this host cannot have IPv6, one line for the user; empty when they can."""
    if not settings.is_dir():
        return "its kernel has no IPv6 (CONFIG_IPV6, or ipv6.disable=1 at boot)"
    for scope in ("all", "default"):
        if _read(settings / scope / "disable_ipv6") != "0":
            return f"IPv6 is turned off on it (net.ipv6.conf.{scope}.disable_ipv6)"
    if overlay_mtu < LEAST_OF_IPV6:
        return f"the overlay's MTU on it is {overlay_mtu}, and IPv6 needs {LEAST_OF_IPV6}"
    return ""


def is_forwarding(settings: Path = _SETTINGS) -> bool:
    return _read(settings / "all" / "forwarding") == "1"


def forward(settings: Path = _SETTINGS) -> None:
    """Have the kernel forward IPv6, which it does for all interfaces or none.

    An interface that learns routes from routers' advertisements goes on doing so; forwarding alone would end that, and
    take the host's default route.
    """
    if is_forwarding(settings):
        return
    for interface in settings.iterdir():
        advertisements = interface / "accept_ra"
        if interface.name not in ("all", "default") and _read(advertisements) == _UNLESS_FORWARDING:
            _write(advertisements, _ALWAYS)
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
