"""Addresses as users write them, and the targets that gRPC makes of them. Pure but for `resolve`."""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from shoal.errors import InvalidInput, Unavailable

_MAX_PORT = 65_535


@dataclass(frozen=True)
class HostPort:
    """A host, as a name or a literal without brackets, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host when it is a literal address, else None."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse(text: str) -> HostPort:
    """Read `host:port`, `1.2.3.4:port` or `[::1]:port`.

    Raises:
        InvalidInput: it is of another form; the text says which is right.
    """
    host, _, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not host or (":" in host) != bracketed or any(sign in host for sign in " /,@"):
        raise InvalidInput(f"{text!r} is not a valid address; use HOST:PORT, or [ADDRESS]:PORT for IPv6")
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) <= _MAX_PORT:
        raise InvalidInput(f"{text!r} has no valid port; use HOST:PORT with a port from 1 to {_MAX_PORT}")
    return HostPort(host, int(port))


def check_listening(text: str) -> None:
    """Check an address to listen on: as `parse`, but port 0 takes a free one. Raises InvalidInput as that does."""
    host, _, port = text.rpartition(":")
    parse(f"{host}:1" if port == "0" else text)


def peer_address(peer: str) -> str:
    """The IP address of the other side of a call, an IPv4 one also where it came by a socket of IPv6; empty for none.

    Args:
        peer: as gRPC names it: "ipv4:192.0.2.1:4711", "ipv6:%5B2001:db8::1%5D:4711", "unix:…".
    """
    family, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    if family != "ipv6":
        return host if family == "ipv4" else ""
    address = ipaddress.IPv6Address(host)
    return str(address.ipv4_mapped or address)


def target(addresses: Sequence[str]) -> str:
    """The gRPC target that reaches any of these addresses (`host:port`, or one `unix:/path`).

    One name is left to gRPC, which resolves it again when connections break. Several are resolved here and now.

    Raises:
        InvalidInput: none, or one that is of no valid form.
        Unavailable: of several, none resolves.
    """
    if not addresses:
        raise InvalidInput("no address is specified")
    if addresses[0].startswith("unix:"):
        return addresses[0]
    parsed = [parse(address) for address in addresses]
    if len(parsed) == 1 and parsed[0].ip is None:
        return f"dns:///{parsed[0]}"
    return _literal_target(parsed if all(each.ip for each in parsed) else resolve(parsed))


def resolve(names: Sequence[HostPort]) -> list[HostPort]:
    """Literal addresses of all that resolve, in order.

    Raises:
        Unavailable: none of them does.
    """
    found: list[HostPort] = []
    for name in names:
        try:
            infos = socket.getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
        except OSError:
            continue
        found += [HostPort(str(info[4][0]), name.port) for info in infos]
    if not found:
        raise Unavailable(f"cannot resolve {', '.join(map(str, names))}; check the address")
    return list(dict.fromkeys(found))


def _literal_target(literals: Sequence[HostPort]) -> str:
    """gRPC takes a list of one family only: with both, IPv4 ones are written as IPv6 (RFC 4291 section 2.5.5.2)."""
    if all(each.ip and each.ip.version == 4 for each in literals):
        return "ipv4:" + ",".join(map(str, literals))
    return "ipv6:" + ",".join(str(HostPort(_as_ipv6(each), each.port)) for each in literals)


def _as_ipv6(literal: HostPort) -> str:
    return f"::ffff:{literal.host}" if literal.ip and literal.ip.version == 4 else literal.host
