"""Build cache calls: list, prune; of one node or of all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from manager.agents.agent_address import AgentAddress
from manager.agents.node_requests import query_nodes
from manager.records.object_lookup import find_node, hostname_of
from manager.store.record_store import RecordReader
from shoal.api.v1.builds_pb2 import (
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
)
from shoal.rpc.caller import Caller

Request = TypeVar("Request")
Response = TypeVar("Response")
Nodes = tuple[Mapping[str, Response], Sequence[str]]


class BuildCaches(Protocol):
    """The agents, as of `manager.agents.build_channels.BuildChannels`."""

    async def list_build_cache(self, agent: AgentAddress, request: ListBuildCacheRequest) -> ListBuildCacheResponse: ...

    async def prune_build_cache(
        self, agent: AgentAddress, request: PruneBuildCacheRequest
    ) -> PruneBuildCacheResponse: ...


class BuildCacheHandler:
    """The calls. Nodes that do not respond are named in the warnings."""

    def __init__(self, *, store: RecordReader, agents: BuildCaches) -> None:
        self._store = store
        self._agents = agents

    async def list(self, request: ListBuildCacheRequest, caller: Caller) -> ListBuildCacheResponse:
        """What nodes keep of builds. Raises NotFound: there is no such node."""
        sent = ListBuildCacheRequest(filters=request.filters)
        found, warnings = await self._query(request.node, sent, self._agents.list_build_cache)
        answer = ListBuildCacheResponse(warnings=warnings)
        for node_id, each in found.items():
            for row in each.rows:
                row.node_id, row.node_hostname = node_id, hostname_of(self._store.tables, node_id)
            answer.rows.extend(each.rows)
        return answer

    async def prune(self, request: PruneBuildCacheRequest, caller: Caller) -> PruneBuildCacheResponse:
        """Delete what is not used. Raises NotFound: there is no such node."""
        sent = PruneBuildCacheRequest(all=request.all, filters=request.filters, keep_bytes=request.keep_bytes)
        found, warnings = await self._query(request.node, sent, self._agents.prune_build_cache)
        answer = PruneBuildCacheResponse(warnings=warnings)
        for each in found.values():
            answer.ids.extend(each.ids)
            answer.reclaimed_bytes += each.reclaimed_bytes
        return answer

    async def _query(
        self, node: str, request: Request, call: Callable[[AgentAddress, Request], Awaitable[Response]]
    ) -> Nodes[Response]:
        view = self._store.tables
        nodes = [find_node(view, node).meta.id] if node else sorted(view.nodes)
        return await query_nodes(view, dict.fromkeys(nodes, request), call)
