"""Parse exposed ports, as `docker run --expose` and images' configurations have them."""

from collections.abc import Iterable, Sequence

from shoal.api.v1.service_pb2 import PublishedPort
from shoal.errors import InvalidInput
from shoal.spec_parsers.port_parser import from_short


def parse_exposed(text: str) -> list[PublishedPort]:
    """Ports in "80", "80/udp" or "8000-8010/tcp", each with its target and protocol alone.

    Raises:
        InvalidInput: it has none of these forms.
    """
    if ":" in text:
        raise InvalidInput(f"{text!r} must be in the form PORT[-PORT][/PROTOCOL]")
    return from_short(text)


def publish_all(published: Sequence[PublishedPort], exposed: Iterable[PublishedPort]) -> list[PublishedPort]:
    """Ports to publish in addition, so that each exposed one is published; the cluster chooses their numbers."""
    known = {(port.protocol, port.target) for port in published}
    found: list[PublishedPort] = []
    for port in exposed:
        if (port.protocol, port.target) not in known:
            known.add((port.protocol, port.target))
            found.append(port)
    return found
