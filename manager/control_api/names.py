"""The name records: they make names unique whichever managers create at once, and tell who uses a network. Pure."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from manager.control_api.lookup import find_service
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import NAME, NETWORK
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import NotFound
from shoal.published_ports import MESH_NETWORK, mesh_ports


def take(noun: str, name: str, identifier: str) -> tuple[Write, Expect]:
    """Takes a name that must be free; the commit fails with Conflict when it is not."""
    key = f"{noun}/{name}"
    return put(NAME, key, Name(meta=Meta(id=identifier))), expect(NAME, key, ABSENT)


def give_up(noun: str, name: str) -> Write:
    """Frees the name."""
    return delete(NAME, f"{noun}/{name}")


def use_networks(networks: Iterable[Network]) -> tuple[list[Write], list[Expect]]:
    """Touches the names of networks that a service comes to use.

    That raises their versions, so that a removal that has not seen the service fails; and it fails itself when the
    network is gone. Several services may do so at once.
    """
    writes, expects = [], []
    for network in networks:
        writes.append(put(NAME, key_of_network(network), Name(meta=Meta(id=network.meta.id))))
        expects.append(expect(NETWORK, network.meta.id, network.meta.version))
    return writes, expects


def networks_of(view: View, spec: ServiceSpec) -> list[Network]:
    """The networks of a spec whose attachments are ids, each once."""
    identifiers = dict.fromkeys(attachment.network for attachment in spec.task.networks)
    if mesh_ports(spec):
        identifiers[MESH_NETWORK] = None
    return [view.networks[identifier] for identifier in identifiers if identifier in view.networks]


def of_services(view: View, references: Iterable[str]) -> Iterator[str]:
    """Names of those services, of all that are named, that there are."""
    for reference in references:
        with suppress(NotFound):
            yield find_service(view, reference).spec.name


def key_of_network(network: Network) -> str:
    """The identifier of the network's name record."""
    return f"network/{network.spec.name}"
