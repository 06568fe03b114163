"""Connects containers to networks and disconnects them, also while they run: a new revision that their task adopts."""

from manager.containers import container_records
from manager.containers.container_links import renew_network_links
from manager.containers.container_views import container_view
from manager.containers.service_tasks import find_own
from manager.containers.store_waits import wait_on
from manager.interfaces import NowMs
from manager.networks import network_references
from manager.records import name_records
from manager.records.container_facts import has_live_task, is_running, newest_task
from manager.records.object_lookup import find_network
from manager.store.record_store import RecordStore
from manager.store.tables import View
from manager.validation.standalone_rules import check_definition
from shoal.api.v1.engine_pb2 import ConnectContainerRequest, ContainerView, DisconnectContainerRequest
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.api.v1.standalone_pb2 import Container, ContainerDefinition
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.errors import Fault, InvalidInput, NotFound, Refused, ShoalError
from shoal.networks.network_modes import BRIDGE, NONE, has_node_pool, is_mode, mode_of
from shoal.rpc.caller import Caller
from shoal.task_states import should_run

ADOPT_SECONDS = 10.0
"""How long a change waits for the planner."""


class ContainerNetworkHandler:
    """The calls that change the networks of a container."""

    def __init__(self, *, store: RecordStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def connect(self, request: ConnectContainerRequest, caller: Caller) -> ContainerView:
        """Answered once the container has an address there, or was not running.

        One without a network joins it too; the node's own pool stays beside it.

        Raises:
            Refused: it is on no network that can be left or joined (host, another container's), or on this one already.
        """
        container = find_own(self._store.tables, request.container, "keeps its networks")
        mode = mode_of(container.definition.task)
        if mode not in ("", BRIDGE, NONE):
            raise Refused(f'container "{container.name}" uses network mode {mode}; it cannot be connected to networks')
        attachment = NetworkAttachment()
        attachment.CopyFrom(request.attachment)
        network = None if attachment.network == BRIDGE else self._resolve(container, attachment)
        if network is None and has_node_pool(container.definition.task):
            raise Refused(f'container "{container.name}" is already connected to network "{BRIDGE}"')
        definition = _without(container.definition, NONE)
        if mode == BRIDGE and not definition.task.networks:
            definition.task.networks.append(NetworkAttachment(network=BRIDGE))
        definition.task.networks.append(attachment)
        self._set_mac(container, definition, request.mac_address)
        return await self._change(container, definition, network)

    async def disconnect(self, request: DisconnectContainerRequest, caller: Caller) -> ContainerView:
        """One that has left its last network has none (`none`). Raises NotFound when it is not on the network."""
        view = self._store.tables
        container = find_own(view, request.container, "keeps its networks")
        identifier = request.network
        if not is_mode(identifier):
            identifier = find_network(view, request.network).meta.id
        networks = container.definition.task.networks
        implied = identifier == BRIDGE and not networks
        if not implied and not any(each.network == identifier for each in networks):
            raise NotFound(f'container "{container.name}" is not connected to network "{request.network}"')
        if is_mode(identifier) and identifier != BRIDGE:
            raise Refused(f'container "{container.name}" cannot be disconnected from network mode {identifier}')
        definition = _without(container.definition, identifier)
        if not definition.task.networks:
            definition.task.networks.append(NetworkAttachment(network=NONE))
        return await self._change(container, definition, None)

    def _set_mac(self, container: Container, definition: ContainerDefinition, mac: str) -> None:
        spec = definition.task.container
        if mac in ("", spec.mac_address):
            return
        if spec.mac_address or is_running(self._store.tables, container.meta.id):
            raise Refused(
                f'container "{container.name}" has one link with one MAC address on all its networks, which cannot be '
                f"changed to {mac} any more: give it when the container is created"
            )
        spec.mac_address = mac

    def _resolve(self, container: Container, attachment: NetworkAttachment) -> Network:
        """Put the network's id into the attachment, which is checked.

        Raises:
            InvalidInput: with all faults. Refused: it is on the network already.
        """
        view = self._store.tables
        if is_mode(attachment.network):
            raise InvalidInput([Fault("network", f'"{attachment.network}" is a mode, and no network')])
        if any(attachment.network in _names(view, each) for each in container.definition.task.networks):
            raise Refused(f'container "{container.name}" is already connected to network "{attachment.network}"')
        spec = container_records.spec_of(container)
        del spec.task.networks[:]
        spec.task.networks.append(attachment)
        faults = network_references.resolve(spec, view, {})
        if faults:
            raise InvalidInput([Fault(each.path.rpartition("].")[2], each.message) for each in faults])
        attachment.network = spec.task.networks[0].network
        return view.networks[attachment.network]

    async def _change(
        self, container: Container, definition: ContainerDefinition, joined: Network | None
    ) -> ContainerView:
        renew_network_links(definition)
        changed = container_records.redefined(container, definition, self._now_ms())
        if faults := list(check_definition(definition, container_records.spec_of(changed))):
            raise InvalidInput(faults)
        group = container_records.change(container, changed, self._now_ms())
        touched, present = name_records.touch_networks([joined] if joined is not None else ())
        with self._store.follow() as changes:
            await self._store.commit([*group.writes, *touched], expects=[*group.expects, *present])
            return await wait_on(
                changes,
                self._store.tables,
                lambda view: _adopted(view, changed),
                seconds=ADOPT_SECONDS,
                what=f'container "{container.name}" does not have its networks yet',
            )


def _without(definition: ContainerDefinition, network: str) -> ContainerDefinition:
    changed = ContainerDefinition()
    changed.CopyFrom(definition)
    del changed.task.networks[:]
    changed.task.networks.extend(each for each in definition.task.networks if each.network != network)
    return changed


def _names(view: View, attachment: NetworkAttachment) -> tuple[str, ...]:
    network = view.networks.get(attachment.network)
    return (attachment.network, network.spec.name) if network is not None else (attachment.network,)


def _is_applied(status: TaskStatus | None, revision: int) -> bool:
    """Whether its agent has applied a revision, or will start it with that one."""
    return status is None or status.state != TaskState.RUNNING or status.revision >= revision


def _adopted(view: View, changed: Container) -> ContainerView | None:
    """The container once it has the networks, or has none to change.

    Raises:
        ShoalError: it was removed, or there is no address.
    """
    container = view.containers.get(changed.meta.id)
    if container is None:
        raise NotFound(f'container "{changed.name}" was removed')
    task, status = newest_task(view, container.meta.id), view.service_status.get(container.meta.id)
    if task is None or not has_live_task(view, container.meta.id) or not should_run(task):
        return container_view(view, container)
    if task.revision >= changed.revision and _is_applied(view.task_status.get(task.id), changed.revision):
        return container_view(view, container)
    error: ShoalError | None = Refused("; ".join(status.problems)) if status is not None and status.problems else None
    if error is not None:
        raise error
    return None
