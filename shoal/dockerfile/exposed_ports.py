"""Ports of EXPOSE. Pure. Dockerfile reference, "EXPOSE"; docker/go-connections has the same notation.

An address and a port of the host may stand before a port and mean nothing: BuildKit warns of them.
"""

import ipaddress
import re

from shoal.errors import InvalidInput

PROTOCOLS = ("tcp", "udp", "sctp")

_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_MAX_PORT = 65535


def parse_ports(text: str) -> tuple[str, ...]:
    """`80/tcp` for each port of `80`, `80-81/udp`, `127.0.0.1:8080:80`.

    Raises:
        InvalidInput: not a port, or of a protocol that does not exist.
    """
    address, protocol = _split_protocol(text)
    prefix, _, ports = address.rpartition(":")
    if not ports:
        raise InvalidInput(f'invalid port: "{text[:80]}": no port specified')
    if protocol not in PROTOCOLS:
        raise InvalidInput(f"invalid proto: {protocol[:40]}; use one of {', '.join(PROTOCOLS)}")
    if prefix:
        _check_host(prefix)
    first, last = _range(ports)
    return tuple(f"{port}/{protocol}" for port in range(first, last + 1))


def has_host(text: str) -> bool:
    """Whether a port has an address or a port of the host, which mean nothing to an image."""
    return ":" in _split_protocol(text)[0]


def _split_protocol(text: str) -> tuple[str, str]:
    address, slash, protocol = text.partition("/")
    return address, protocol.lower() if slash else PROTOCOLS[0]


def _check_host(prefix: str) -> None:
    address, _, ports = prefix.rpartition(":")
    if ports:
        _range(ports)
    if not address:
        return
    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]") if address.startswith("[") else address)
    except ValueError as error:
        raise InvalidInput(f"invalid IP address: {address[:80]}") from error


def _range(text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 < first <= last <= _MAX_PORT:
        raise InvalidInput(f"invalid port {text[:40]!r}: must be a port from 1 to {_MAX_PORT}, or a range of ports")
    return first, last
