"""The call that removes what a node keeps of containers without a record."""

import logging
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.containers.container_views import down_since_ms
from manager.containers.orphaned_containers import find_orphan
from manager.records.object_lookup import find_node, hostname_of
from manager.store.record_store import RecordStore
from shoal.api.v1.engine_pb2 import ListChangesRequest, RemoveContainersResponse, RemoveOrphanedContainersRequest
from shoal.errors import Refused, Unavailable
from shoal.rpc.caller import Caller
from shoal.utc_text import utc_text

_log = logging.getLogger(__name__)


class OrphanControl(Protocol):
    """The agents, as of `manager.agents.container_channels.ContainerChannels`."""

    async def remove_orphan(self, agent: AgentAddress, request: ListChangesRequest) -> None: ...


class OrphanRemoval:
    """Only a user's word removes them."""

    def __init__(self, *, store: RecordStore, agents: OrphanControl) -> None:
        self._store = store
        self._agents = agents

    async def remove(self, request: RemoveOrphanedContainersRequest, caller: Caller) -> RemoveContainersResponse:
        """Those that are named, or all that the node has reported.

        Raises:
            NotFound: the node has not reported one of them; nothing was removed. InvalidInput: a name is ambiguous.
            Unavailable: the node is down. Refused: it has never been connected.
        """
        view = self._store.tables
        node_id = find_node(view, request.node).meta.id
        status, name = view.node_status.get(node_id), hostname_of(view, node_id)
        if status is None:
            raise Refused(f"node {name} has never been connected")
        if since := down_since_ms(view, node_id):
            raise Unavailable(f"node {name} has been down since {utc_text(since)}")
        reported = [each.id for each in status.orphaned_containers if each.id not in view.containers]
        found = [find_orphan(view, each, [node_id])[1].id for each in request.containers] or reported
        agent = AgentAddress.of(node_id, status.description)
        for identifier in dict.fromkeys(found):
            _log.info("removing orphaned container %s of node %s for %s", identifier, name, caller)
            await self._agents.remove_orphan(agent, ListChangesRequest(container=identifier))
        return RemoveContainersResponse(ids=dict.fromkeys(found))
