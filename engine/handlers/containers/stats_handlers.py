"""`stats`: usage of one container, a line of JSON a second."""

import time
from contextlib import aclosing

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.containers.container_facts import identifier
from engine.translate.containers.stats import StatsLines
from shoal.api.v1.control_pb2 import GetNodeRequest, StatsRequest, StatsResponse
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_states import state_text
from shoal.manager_calls.managers import Managers
from shoal.resumption.repeated_request import RepeatedRequest

INTERVAL_MS = 1000


class StatsHandlers:
    """The operation on usage."""

    def __init__(self, managers: Managers, lookup: ContainerLookup) -> None:
        self._managers = managers
        self._lookup = lookup

    def routes(self) -> list[Route]:
        return [Route("GET", "/containers/{id}/stats", self.stats, "ContainerStats")]

    async def stats(self, call: Call) -> web.StreamResponse:
        """With `stream=0` one line, of the last second."""
        view = await self._lookup.find(call.parameters["id"])
        is_stream = call.boolean("stream", default=True)
        lines = await self._lines(view)
        lines.has_first_rate = is_stream or not call.boolean("one-shot")
        if state_text(view) != "running":
            return call.json(lines.line(None, time.time_ns(), 0))
        request = StatsRequest(targets=[view.task.id], interval_ms=INTERVAL_MS, counters=True)
        resumption: RepeatedRequest[StatsRequest, StatsResponse] = RepeatedRequest(request)
        async with aclosing(self._managers.resumed_stream(self._managers.control.Stats, resumption)) as answers:
            if not is_stream:
                return call.json(_next(lines, await anext(answers), view))
            response = await call.stream()
            async for answer in answers:
                body = call.json(_next(lines, answer, view)).body
                assert isinstance(body, bytes)
                await response.write(body)
        return response

    async def _lines(self, view: ContainerView) -> StatsLines:
        cpus, memory = 1, 0
        if view.node_id and not view.node_down_since_ms:
            node = await self._managers.call(self._managers.control.GetNode, GetNodeRequest(node=view.node_id))
            resources = node.status.description.resources
            cpus, memory = max(resources.nano_cpus // 10**9, 1), resources.memory_bytes
        return StatsLines(view.container.name, identifier(view), cpus, memory)


def _next(lines: StatsLines, answer: StatsResponse, view: ContainerView) -> dict[str, object]:
    mine = next((each for each in answer.tasks if each.task_id == view.task.id), None)
    return lines.line(mine, time.time_ns(), INTERVAL_MS * 1_000_000)
