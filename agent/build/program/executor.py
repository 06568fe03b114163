"""Executes a graph: each vertex once its inputs have results, as many at once as there are processors."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from agent.build.program.agent_connection import AgentConnection
from agent.build.program.build_plan import PlannedVertices
from agent.build.program.results import Result
from agent.build.program.running.run_step import StepFailed
from agent.build.program.vertex_work import Done, VertexWork
from shoal.api.v1.builds_pb2 import BuildFailure, BuildOutput, VertexStatus
from shoal.dockerfile.graph.build_graph import BuildGraph
from shoal.errors import InvalidInput, ShoalError
from shoal.task_group import TaskGroup


@dataclass(frozen=True)
class _Failed(Exception):
    """The first vertex that failed."""

    number: int
    error: ShoalError


class Executor:
    """Executes one graph. For one event loop."""

    def __init__(
        self,
        graph: BuildGraph,
        planned: PlannedVertices,
        work: VertexWork,
        connection: AgentConnection,
        *,
        parallel: int,
    ) -> None:
        self._graph = graph
        self._planned = planned
        self._work = work
        self._connection = connection
        self._slots = asyncio.Semaphore(parallel)
        self._last: VertexStatus | None = None

    async def run(self, file_name: str) -> Sequence[Result]:
        """The results of all vertices.

        Raises:
            StepFailed, or what else a vertex raises: the first one that fails ends all others.
        """
        tasks: list[asyncio.Task[Result]] = []
        try:
            async with TaskGroup() as group:
                for number in range(len(self._graph.vertices)):
                    inputs = [tasks[each] for each in self._graph.vertices[number].inputs]
                    tasks.append(group.create_task(self._vertex(number, inputs)))
        except BaseExceptionGroup as errors:
            failed = next((each for each in errors.exceptions if isinstance(each, _Failed)), None)
            if failed is None:
                raise errors.exceptions[0] from None
            await self._send_failure(failed)
            raise self._located(failed, file_name) from failed.error
        return [task.result() for task in tasks]

    async def complete(self, image_id: str) -> None:
        """The result has been exported: its vertex is done."""
        assert self._last is not None, "after run"
        self._last.completed_at_ms, self._last.image_id = _now_ms(), image_id
        await self._send(self._last)

    async def _vertex(self, number: int, inputs: "Sequence[asyncio.Task[Result]]") -> Result:
        for each in inputs:
            await asyncio.wait([each])
        results = [each.result() for each in inputs]
        needs_slot = self._work.is_heavy(self._graph.vertices[number])
        if not needs_slot:
            return await self._execute(number, results)
        async with self._slots:
            return await self._execute(number, results)

    async def _execute(self, number: int, results: Sequence[Result]) -> Result:
        status = VertexStatus(id=self._planned.ids[number], started_at_ms=_now_ms())
        await self._send(status)
        try:
            done = await self._work.execute(number, self._graph.vertices[number], results)
        except ShoalError as error:
            status.error, status.completed_at_ms = str(error), _now_ms()
            await self._send(status)
            raise _Failed(number, error) from error
        await self._send_done(number, status, done)
        return done.result

    async def _send_done(self, number: int, status: VertexStatus, done: Done) -> None:
        if number == self._graph.target:
            self._last = status
            return
        status.completed_at_ms, status.cached, status.image_id = _now_ms(), done.cached, done.image_id
        await self._send(status)
        for place, each in enumerate(self._planned.settings_after.get(number, ())):
            settings = VertexStatus(id=each, started_at_ms=status.completed_at_ms, cached=done.cached)
            settings.completed_at_ms = status.completed_at_ms
            settings.image_id = self._work.image_id(done.result, place + 1)
            await self._send(settings)

    async def _send(self, status: VertexStatus) -> None:
        await self._connection.output(BuildOutput(vertex=status))

    async def _send_failure(self, failed: _Failed) -> None:
        location = self._planned.locations.get(failed.number)
        code = failed.error.exit_code if isinstance(failed.error, StepFailed) else 0
        failure = BuildFailure(
            vertex_id=self._planned.ids[failed.number], exit_code=code, line=location.first if location else 0
        )
        await self._connection.output(BuildOutput(failure=failure))

    def _located(self, failed: _Failed, file_name: str) -> ShoalError:
        """A fault with its line, where it is one of an instruction."""
        location = self._planned.locations.get(failed.number)
        error = failed.error
        if location is None or not isinstance(error, InvalidInput):
            return error
        from shoal.errors import Fault

        path = f"{file_name}:{location.first}"
        return InvalidInput([Fault(path, ": ".join(filter(None, (each.path, each.message)))) for each in error.faults])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
