"""Name records: unique names across managers, and which networks a service uses. Pure but for `commit_new`."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from manager.records.object_lookup import find_service
from manager.records.write_groups import WriteGroup
from manager.store.changes import ABSENT, Expect, Write, delete, expect, put
from manager.store.kinds import NAME, NETWORK
from manager.store.record_store import RecordStore
from manager.store.tables import View
from shoal.api.v1.meta_pb2 import Meta, Name
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import AlreadyExists, Conflict, NotFound
from shoal.networks.published_ports import MESH_NETWORK, mesh_ports


def claim(object_type: str, name: str, identifier: str) -> tuple[Write, Expect]:
    """Claim a name; the commit fails with Conflict when it is taken."""
    key = f"{object_type}/{name}"
    return put(NAME, key, Name(meta=Meta(id=identifier))), expect(NAME, key, ABSENT)


async def commit_new(store: RecordStore, group: WriteGroup, taken: str) -> int:
    """Commit a group that creates an object with its name (see `claim`); its revision.

    Args:
        taken: the message if the name has been given to another object meanwhile.
    Raises:
        AlreadyExists: the name is taken. Conflict: another condition of the group does not hold.
    """
    names = {each.key for each in group.expects if each.kind.name == NAME.name and each.version == ABSENT}
    try:
        return await store.commit(group.writes, expects=group.expects)
    except Conflict as conflict:
        if conflict.key in names:
            raise AlreadyExists(taken) from conflict
        raise


def release(object_type: str, name: str) -> Write:
    """Release a name."""
    return delete(NAME, f"{object_type}/{name}")


def touch_networks(networks: Iterable[Network]) -> tuple[list[Write], list[Expect]]:
    """Touch the name records of networks that a service starts using.

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


def known_services(view: View, references: Iterable[str]) -> Iterator[str]:
    """Names of the referenced services that exist."""
    for reference in references:
        with suppress(NotFound):
            yield find_service(view, reference).spec.name


def key_of_network(network: Network) -> str:
    """The identifier of the network's name record."""
    return f"network/{network.spec.name}"
