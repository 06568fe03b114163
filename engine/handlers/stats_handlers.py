"""`stats`: usage of one container, a line of JSON a second."""

import time
from contextlib import aclosing

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup
from engine.cluster.managers import Managers
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.container_facts import identifier
from engine.translate.stats import UsageCounters
from shoal.api.v1.control_pb2 import GetNodeRequest, StatsRequest, StatsResponse
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_states import state_text

INTERVAL_MS = 1000


class StatsHandlers:
    """The operation on usage."""

    def __init__(self, managers: Managers, lookup: ContainerLookup) -> None:
        self._managers = managers
        self._lookup = lookup

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/containers/{id}/stats",
                self.stats,
                "ContainerStats",
                remark="CPU, memory and processes; neither network nor block devices",
            )
        ]

    async def stats(self, call: Call) -> web.StreamResponse:
        """With `stream=0` one line, of the last second."""
        view = await self._lookup.find(call.parameters["id"])
        counters = await self._counters(view)
        if state_text(view) != "running":
            document = counters.document(None, time.time_ns(), 0)
            return call.json(document)
        request = StatsRequest(targets=[view.task.id], interval_ms=INTERVAL_MS)
        async with aclosing(self._managers.stream(self._managers.control.Stats, request)) as answers:
            if not call.boolean("stream", default=True):
                answer = await anext(answers)
                counters.document(None, time.time_ns() - INTERVAL_MS * 1_000_000, 0)
                return call.json(_next(counters, answer, view))
            response = await call.stream()
            async for answer in answers:
                body = call.json(_next(counters, answer, view)).body
                assert isinstance(body, bytes)
                await response.write(body)
        return response

    async def _counters(self, view: ContainerView) -> UsageCounters:
        cpus, memory = 1, 0
        if view.node_id and not view.node_down_since_ms:
            node = await self._managers.call(self._managers.control.GetNode, GetNodeRequest(node=view.node_id))
            resources = node.status.description.resources
            cpus, memory = max(resources.nano_cpus // 10**9, 1), resources.memory_bytes
        return UsageCounters(view.container.name, identifier(view), cpus, memory)


def _next(counters: UsageCounters, answer: StatsResponse, view: ContainerView) -> dict[str, object]:
    mine = next((each for each in answer.tasks if each.task_id == view.task.id), None)
    return counters.document(mine, time.time_ns(), INTERVAL_MS * 1_000_000)
