"""Networks: create, show, remove."""

from collections import Counter

from manager.control_api import names
from manager.control_api.lookup import find_network
from manager.control_api.seams import NowMs, Records
from manager.control_api.validate_network import check_network, overlap
from manager.store.changes import Expect, Write, delete, expect, put
from manager.store.kinds import ALLOCATION, NAME, NETWORK
from manager.store.tables import View
from shoal.api.v1.control_pb2 import (
    CreateNetworkRequest,
    CreateNetworkResponse,
    GetNetworkRequest,
    ListNetworksRequest,
    ListNetworksResponse,
    NetworkView,
    RemoveNetworkRequest,
    RemoveNetworkResponse,
)
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.errors import AlreadyExists, Conflict, Fault, InvalidInput, Refused
from shoal.ids import NewId
from shoal.task_states import is_live

_NAMED = 5


class Networks:
    """The networks' calls."""

    def __init__(self, *, store: Records, now_ms: NowMs, new_id: NewId) -> None:
        self._store = store
        self._now_ms = now_ms
        self._new_id = new_id

    async def create(self, request: CreateNetworkRequest) -> CreateNetworkResponse:
        """Raises InvalidInput with all faults, AlreadyExists when the name is taken."""
        view = self._store.tables
        faults = network_faults(view, request.spec)
        if faults:
            raise InvalidInput(faults)
        taken = f'a network "{request.spec.name}" exists already; choose another name'
        if view.network_named(request.spec.name) is not None:
            raise AlreadyExists(taken)
        network = made(self._new_id(), request.spec, self._now_ms())
        writes, expects = creation(network)
        try:
            network.meta.version = await self._store.commit(writes, expects=expects)
        except Conflict as conflict:  # another manager was faster
            raise AlreadyExists(taken) from conflict
        return CreateNetworkResponse(network=network)

    async def get(self, request: GetNetworkRequest) -> NetworkView:
        view = self._store.tables
        return network_view(view, find_network(view, request.network), addresses_in_use(view))

    async def list(self, _: ListNetworksRequest) -> ListNetworksResponse:
        view = self._store.tables
        ordered = sorted(view.networks.values(), key=lambda network: network.spec.name)
        used = addresses_in_use(view)
        return ListNetworksResponse(networks=[network_view(view, network, used) for network in ordered])

    async def remove(self, request: RemoveNetworkRequest) -> RemoveNetworkResponse:
        """Raises Refused while a service uses it. With tasks still stopping on it, it goes when they are gone."""
        view = self._store.tables
        network = find_network(view, request.network)
        users = services_on(view, network.meta.id)
        if users:
            more = ", …" if len(users) > _NAMED else ""
            named = ", ".join(users[:_NAMED])
            raise Refused(f'network "{network.spec.name}" is in use by {named}{more}; remove or change them first')
        writes, expects = removal(self._store, network)
        await self._store.commit(writes, expects=expects)
        return RemoveNetworkResponse(id=network.meta.id)


def network_faults(view: View, spec: NetworkSpec) -> list[Fault]:
    """Everything wrong with a new network but its name being taken."""
    faults = list(check_network(spec))
    if spec.subnet and not any(fault.path == "subnet" for fault in faults):
        faults += overlap("subnet", spec.subnet, view.networks, view.allocations)
    return faults


def made(identifier: str, spec: NetworkSpec, now_ms: int) -> Network:
    """A new network."""
    network = Network(spec=spec)
    network.spec.driver = spec.driver or "overlay"
    network.meta.id = identifier
    network.meta.created_at_ms = network.meta.updated_at_ms = now_ms
    return network


def creation(network: Network) -> tuple[list[Write], list[Expect]]:
    """Writes and conditions of a new network."""
    name, free = names.take("network", network.spec.name, network.meta.id)
    return [put(NETWORK, network.meta.id, network), name], [free]


def removal(store: Records, network: Network) -> tuple[list[Write], list[Expect]]:
    """Deletes the network, or marks it while tasks are on it; both only if no service came to use it meanwhile."""
    name = names.key_of_network(network)
    expects = [
        expect(NAME, name, store.version_of(NAME, name)),
        expect(NETWORK, network.meta.id, network.meta.version),
    ]
    if not has_live_tasks(store.tables, network.meta.id):
        identifier = network.meta.id
        return [delete(NETWORK, identifier), delete(ALLOCATION, identifier), delete(NAME, name)], expects
    marked = Network()
    marked.CopyFrom(network)
    marked.removing = True
    return [put(NETWORK, network.meta.id, marked)], expects


def has_live_tasks(view: View, network_id: str) -> bool:
    """Whether a task that has not ended has an address on the network."""
    return any(
        any(address.network_id == network_id for address in task.addresses)
        and is_live(task, view.task_status.get(task.id))
        for task in view.tasks.values()
    )


def services_on(view: View, network_id: str) -> list[str]:
    """Names of the services that attach to the network."""
    return sorted(
        service.spec.name
        for service in view.services.values()
        if any(attachment.network == network_id for attachment in service.spec.task.networks)
    )


def addresses_in_use(view: View) -> Counter[str]:
    """How many addresses tasks that have not ended hold, by network. One pass over all tasks."""
    return Counter(
        address.network_id
        for task in view.tasks.values()
        if task.addresses and is_live(task, view.task_status.get(task.id))
        for address in task.addresses
    )


def network_view(view: View, network: Network, addresses: Counter[str]) -> NetworkView:
    """A network with its users and the number of its addresses in use."""
    identifier = network.meta.id
    return NetworkView(
        network=network,
        allocation=view.allocations.get(identifier),
        services=services_on(view, identifier),
        addresses=addresses[identifier],
    )
