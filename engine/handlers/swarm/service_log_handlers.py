"""Logs of services and of single tasks."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from engine.handlers.containers.log_handlers import tail_of
from engine.handlers.containers.log_streams import LogOptions
from engine.handlers.containers.terminal_streams import content_type
from engine.handlers.swarm.service_handlers import ServiceHandlers
from engine.protocol.errors import bad_request, not_found
from engine.protocol.frames import Output, frame
from engine.protocol.parameters import nanoseconds
from engine.server.call import Call
from engine.server.routes import Route
from engine.translate.containers.log_frames import LogFrames
from shoal.api.v1.control_pb2 import ListTasksRequest, LogsRequest
from shoal.api.v1.task_pb2 import Task
from shoal.manager_calls.managers import Managers
from shoal.resumption.log_resumption import LogResumption

INCOMPLETE = "incomplete log stream. some logs could not be retrieved for the following reasons"
"""Docker's words, at the end of what there is."""


class ServiceLogHandlers:
    """The operations on logs of the swarm side."""

    def __init__(self, managers: Managers, services: ServiceHandlers) -> None:
        self._managers = managers
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/services/{id}/logs", self.of_service, "ServiceLogs"),
            Route("GET", "/tasks/{id}/logs", self.of_task, "TaskLogs"),
        ]

    async def of_service(self, call: Call) -> web.StreamResponse:
        view = await self._services.find(call.parameters["id"])
        return await self._answer(call, view.service.meta.id, terminal=view.service.spec.task.container.tty)

    async def of_task(self, call: Call) -> web.StreamResponse:
        tasks = await self._tasks()
        found = [each for identifier, each in tasks.items() if identifier.startswith(call.parameters["id"])]
        if len(found) != 1:
            raise not_found(f"task {call.parameters['id']} not found")
        view = await self._services.find(found[0].service_id)
        return await self._answer(call, found[0].id, terminal=view.service.spec.task.container.tty)

    async def _answer(self, call: Call, target: str, *, terminal: bool) -> web.StreamResponse:
        options = _options(call, terminal=terminal)
        request = LogsRequest(target=target, follow=options.follow, since_ns=options.since_ns)
        if options.tail is not None:
            request.tail = options.tail
        response = await call.stream(content_type(call.version, terminal=terminal))
        async with aclosing(self._lines(request, options, details=call.boolean("details"))) as pieces:
            async for data in pieces:
                await response.write(data)
        return response

    async def _lines(self, request: LogsRequest, options: LogOptions, *, details: bool) -> AsyncGenerator[bytes]:
        tasks = await self._tasks()
        formatters: dict[str, LogFrames] = {}
        warnings: list[str] = []
        resumption = LogResumption(request, started_ns=time.time_ns())
        async with aclosing(self._managers.resumed_stream(self._managers.control.Logs, resumption)) as responses:
            async for response in responses:
                if response.warning and not options.follow:  # who follows waits until the node is back
                    warnings.append(response.warning)
                for chunk in response.batch.chunks:
                    formatter = formatters.get(chunk.task_id)
                    if formatter is None:
                        if chunk.task_id not in tasks:
                            tasks = await self._tasks()
                        formatter = _formatter(options, tasks.get(chunk.task_id), details=details)
                        formatters[chunk.task_id] = formatter
                    if data := formatter.format(chunk.lines):
                        yield data
        for formatter in formatters.values():
            if held := formatter.finish():
                yield held
        if warnings and not options.terminal:
            yield frame(Output.SYSTEM_ERROR, f"{INCOMPLETE}: {', '.join(warnings)}".encode())

    async def _tasks(self) -> dict[str, Task]:
        request = ListTasksRequest(include_ended=True)
        listed = await self._managers.call(self._managers.control.ListTasks, request)
        return {each.task.id: each.task for each in listed.tasks}


def _options(call: Call, *, terminal: bool) -> LogOptions:
    outputs = [output for name, output in (("stdout", Output.STDOUT), ("stderr", Output.STDERR)) if call.boolean(name)]
    if not outputs:
        raise bad_request("Bad parameters: you must choose at least one stream")
    return LogOptions(
        terminal=terminal,
        outputs=outputs,
        follow=call.boolean("follow"),
        tail=tail_of(call.text("tail")),
        since_ns=nanoseconds("since", call.text("since")),
        timestamps=call.boolean("timestamps"),
    )


def _formatter(options: LogOptions, task: Task | None, *, details: bool) -> LogFrames:
    """Of one task; details say which, so that clients tell lines apart."""
    if not details or task is None:
        return options.frames()
    names = {"node": task.node_id, "service": task.service_id, "task": task.id}
    return options.frames(",".join(f"com.docker.swarm.{name}.id={value}" for name, value in names.items()))
