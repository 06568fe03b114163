"""Docker's variables of links: where the other container is, and what it has been given. Pure."""

from collections.abc import Callable, Iterable, Iterator

from shoal.api.v1.container_pb2 import ContainerLink


def link_variables(name: str, links: Iterable[ContainerLink], address_of: Callable[[str], str]) -> Iterator[str]:
    """`NAME=VALUE` of each link to a container that runs in the node's own pool.

    Args:
        name: of the container that has the links.
        address_of: the IPv4 address of a container there; empty where it has none.
    """
    for link in links:
        address = address_of(link.container_id) if link.container_id else ""
        if not (address and link.names):
            continue
        prefix = link.names[0].upper().replace("-", "_")
        ports = sorted({_port(each) for each in link.ports})
        if ports:
            number, protocol = ports[0]
            yield f"{prefix}_PORT={protocol}://{address}:{number}"
        for number, protocol in ports:
            yield from _of_port(f"{prefix}_PORT_{number}_{protocol.upper()}", address, number, protocol)
        yield f"{prefix}_NAME=/{name}/{link.names[0]}"
        yield from (f"{prefix}_ENV_{each}" for each in link.env)


def _of_port(prefix: str, address: str, number: int, protocol: str) -> Iterator[str]:
    yield f"{prefix}={protocol}://{address}:{number}"
    yield f"{prefix}_ADDR={address}"
    yield f"{prefix}_PORT={number}"
    yield f"{prefix}_PROTO={protocol}"


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number) if number.isdigit() else 0, protocol or "tcp"
