"""The address that this manager advertises."""

import socket

from shoal.errors import InvalidInput
from shoal.rpc.host_port import HostPort

_UNSPECIFIED = ("", "::", "0.0.0.0")  # noqa: S104  # compared with, not listened on
_FAMILIES = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # RFC 5737, RFC 3849


def advertised_host(advertise: str, listen: str) -> str:
    """The host that others are given: the configured one, else the one listened on, else that of the default route.

    Raises:
        InvalidInput: it listens on all addresses, and there is no default route.
    """
    if advertise:
        return advertise.removeprefix("[").removesuffix("]")
    host = listen.rpartition(":")[0].strip("[]")
    if host not in _UNSPECIFIED:
        return host
    for family, documentation in _FAMILIES:
        found = _source_address(family, documentation)
        if found:
            return found
    raise InvalidInput("no default route found to detect the advertised address from; set --advertise-address")


def ip_of(host: str) -> str:
    """The host's IP address when it is one, else what the name resolves to, one address; empty when it does not."""
    try:
        found = sorted(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except OSError:
        return ""
    return str(found[0][4][0]).partition("%")[0] if found else ""


def with_port(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return str(HostPort(host, port))


def _source_address(family: socket.AddressFamily, destination: str) -> str:
    """The address that packets to there would leave from. A datagram socket sends nothing by connecting."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((destination, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
