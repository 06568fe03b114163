"""The managers that agents are told about, and which sessions belong on another manager. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from manager.store.tables import View
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.rendezvous import ranked_servers


def manager_addresses(view: View) -> dict[str, str]:
    """`host:port` of the API of each manager by id, those that are away too."""
    addresses = {each.id: each.api_address for each in view.registered_managers.values()}
    addresses.update((each.id, each.api_address) for each in view.managers.values())
    return dict(sorted(addresses.items()))


def as_messages(addresses: Mapping[str, str]) -> list[ManagerAddress]:
    """The same for agents."""
    return [ManagerAddress(id=identifier, api_address=address) for identifier, address in addresses.items()]


def sessions_to_move(node_ids: Iterable[str], own_id: str, alive: Collection[str]) -> Iterator[tuple[str, str]]:
    """Nodes of this manager that prefer another one that lives, each with the one that it prefers."""
    if len(alive) < 2:
        return
    for node_id in node_ids:
        preferred = ranked_servers(node_id, alive)[0]
        if preferred != own_id:
            yield node_id, preferred
