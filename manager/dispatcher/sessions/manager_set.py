"""The managers that agents are told about, and which sessions belong on another manager. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from manager.store.tables import View
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.api.v1.dispatcher_pb2 import ManagerSet
from shoal.rendezvous import ranked_servers


def manager_addresses(view: View) -> dict[str, str]:
    """`host:port` of the API of each registered manager by id, running or not."""
    addresses = {each.id: each.api_address for each in view.registered_managers.values()}
    addresses.update((each.id, each.api_address) for each in view.managers.values())
    return dict(sorted(addresses.items()))


def manager_set(view: View) -> ManagerSet:
    """What agents are told."""
    return ManagerSet(managers=as_messages(manager_addresses(view)), removed=sorted(view.removed_managers))


def as_messages(addresses: Mapping[str, str]) -> list[ManagerAddress]:
    """The addresses as messages."""
    return [ManagerAddress(id=identifier, api_address=address) for identifier, address in addresses.items()]


def sessions_to_move(node_ids: Iterable[str], own_id: str, alive: Collection[str]) -> Iterator[tuple[str, str]]:
    """Nodes of this manager that prefer another live manager, each with that manager's id."""
    if len(alive) < 2:
        return
    for node_id in node_ids:
        preferred = ranked_servers(node_id, alive)[0]
        if preferred != own_id:
            yield node_id, preferred
