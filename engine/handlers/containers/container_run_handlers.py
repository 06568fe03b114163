"""Runs of containers: start, stop, restart, kill, pause, unpause, wait."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from signal import SIGKILL

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup, no_such_container
from engine.handlers.containers.container_handlers import LONG_CALL_SECONDS
from engine.protocol.docker_texts import start_failure, start_failure_code
from engine.protocol.errors import ApiError, NotModified, bad_request, conflict
from engine.protocol.versions import STOP_SIGNAL, WAIT_CONDITIONS
from engine.server.call import Call, json_line
from engine.server.output_delivery import OutputDelivery
from engine.server.routes import Route
from engine.translate.containers.container_facts import identifier
from engine.translate.object_ids import reference
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    GetContainerRequest,
    KillContainerRequest,
    PauseContainerRequest,
    StartContainerRequest,
    StopContainerRequest,
    WaitContainerRequest,
    WaitContainerResponse,
)
from shoal.api.v1.standalone_pb2 import ContainerRestart, ContainerStop
from shoal.container_states import state_text
from shoal.errors import InvalidInput, NotFound, Refused, ShoalError
from shoal.manager_calls.managers import Managers
from shoal.resumption.wait_resumption import WaitResumption
from shoal.signal_names import signal_number

CONDITIONS = {
    "": WaitContainerRequest.NOT_RUNNING,
    "not-running": WaitContainerRequest.NOT_RUNNING,
    "next-exit": WaitContainerRequest.NEXT_EXIT,
    "removed": WaitContainerRequest.REMOVED,
}
_ACTIVE = ("running", "paused", "restarting")
_NEVER_KILL_MS = -1
_LONGEST_GRACE_MS = 366 * 24 * 3600 * 1000
KILL_SECONDS = 10.0
"""How long a kill waits for the end."""


class ContainerRunHandlers:
    """The operations that start and end runs."""

    def __init__(self, managers: Managers, lookup: ContainerLookup, delivery: OutputDelivery) -> None:
        self._managers = managers
        self._containers = managers.containers
        self._delivery = delivery
        self._lookup = lookup

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/containers/{id}/start", self.start, "ContainerStart"),
            Route("POST", "/containers/{id}/stop", self.stop, "ContainerStop"),
            Route("POST", "/containers/{id}/restart", self.restart, "ContainerRestart"),
            Route("POST", "/containers/{id}/kill", self.kill, "ContainerKill"),
            Route("POST", "/containers/{id}/pause", self.pause, "ContainerPause"),
            Route("POST", "/containers/{id}/unpause", self.unpause, "ContainerUnpause"),
            Route("POST", "/containers/{id}/wait", self.wait, "ContainerWait"),
        ]

    async def start(self, call: Call) -> web.StreamResponse:
        """Answered when it runs, or has ended again; 304 if it runs already."""
        request = StartContainerRequest(container=reference(call.parameters["id"]), only_stopped=True)
        try:
            await self._managers.call(self._containers.StartContainer, request, seconds=LONG_CALL_SECONDS)
        except (NotFound, InvalidInput, Refused) as error:
            await self._check_startable(call.parameters["id"], error)
            raise start_failure(error) from error
        return call.empty()

    async def stop(self, call: Call) -> web.StreamResponse:
        """Answered when it has ended; 304 if it does not run."""
        view = await self._lookup.own(call.parameters["id"])
        if state_text(view) not in _ACTIVE:
            raise NotModified
        await self._managers.call(
            self._containers.StopContainer, _stop(call, view.container.meta.id), seconds=LONG_CALL_SECONDS
        )
        return call.empty()

    async def restart(self, call: Call) -> web.StreamResponse:
        """A stop and a start in one; of one that does not run a start."""
        view = await self._lookup.own(call.parameters["id"])
        try:
            await self._managers.call(
                self._containers.RestartContainer, _stop(call, view.container.meta.id), seconds=LONG_CALL_SECONDS
            )
        except Refused as error:
            raise start_failure(error) from error
        return call.empty()

    async def kill(self, call: Call) -> web.StreamResponse:
        """A signal to its first process."""
        view, signal = await self._lookup.own(call.parameters["id"]), call.text("signal")
        _check_signal(signal)
        if state_text(view) not in _ACTIVE:
            raise conflict(
                f"cannot kill container: {call.parameters['id']}: container {identifier(view)} is not running"
            )
        request = KillContainerRequest(container=view.container.meta.id, signal=signal)
        await self._managers.call(self._containers.KillContainer, request)
        if not signal or signal_number(signal) == SIGKILL:
            await self._wait_for_end(view.container.meta.id)
        return call.empty()

    async def pause(self, call: Call) -> web.StreamResponse:
        """Freeze its processes."""
        return await self._pause(call, unpause=False)

    async def unpause(self, call: Call) -> web.StreamResponse:
        """Let its processes continue."""
        return await self._pause(call, unpause=True)

    async def wait(self, call: Call) -> web.StreamResponse:
        """The head goes out when no end can be missed any more, the code when it has ended."""
        condition = call.text("condition")
        if condition not in CONDITIONS:
            raise bad_request(f'invalid condition: "{condition}"')
        view = await self._lookup.own(call.parameters["id"])
        request = WaitContainerRequest(container=view.container.meta.id, condition=CONDITIONS[condition])
        restarts = view.container.definition.restart.condition > ContainerRestart.NO and state_text(view) in _ACTIVE
        runs = request.condition == WaitContainerRequest.NOT_RUNNING and restarts
        if runs:  # an end that is followed by a restart is one too
            request.condition = WaitContainerRequest.NEXT_EXIT
        waiting = self._managers.resumed_stream(self._containers.WaitContainer, WaitResumption(request))
        async with aclosing(waiting) as responses:
            try:
                await anext(responses)
                code = await self._code_before(request.container) if runs else None
            except NotFound as error:
                raise no_such_container(call.parameters["id"]) from error
            if call.version < WAIT_CONDITIONS:
                return call.json({"StatusCode": await self._code(responses, view) if code is None else code})
            response = await call.stream()
            code = await self._code(responses, view) if code is None else code
            await response.write(json_line({"StatusCode": code}))
        return response

    async def _code(self, responses: AsyncGenerator[WaitContainerResponse], view: ContainerView) -> int:
        """The exit code, once there is one, and clients that are attached have the output.

        A run that could not be started has no code of its own; whoever started it gets the reason.
        """
        ended = await anext(responses)
        async for _ in responses:  # None follows; with the end comes the revision that later calls ask for.
            pass
        await self._delivery.wait(identifier(view))
        return start_failure_code(ended.error) if ended.error else ended.exit_code

    async def _check_startable(self, name: str, error: ShoalError) -> None:
        """What clients are answered where no start is due. Looked at after an error: most starts are none."""
        try:
            state = state_text(await self._lookup.own(name))
        except ApiError:
            if isinstance(error, Refused):  # it is removed after its run, so it is gone once that was refused
                return
            raise
        if state == "paused":
            raise conflict("cannot start a paused container, try unpause instead")
        if state == "running":
            raise NotModified

    async def _code_before(self, container: str) -> int | None:
        """The exit code of a run that has ended before it was waited for, though it ran when it was looked up."""
        found = await self._managers.call(self._containers.GetContainer, GetContainerRequest(container=container))
        return found.task_status.exit_code if state_text(found) == "exited" else None

    async def _wait_for_end(self, container: str) -> None:
        """Until a container that was killed does not run any more, so that it can be removed; for a while."""
        request = WaitContainerRequest(container=container, condition=WaitContainerRequest.NOT_RUNNING)
        with suppress(TimeoutError, NotFound):
            async with asyncio.timeout(KILL_SECONDS):
                async with aclosing(self._managers.stream(self._containers.WaitContainer, request)) as responses:
                    async for _ in responses:
                        pass

    async def _pause(self, call: Call, *, unpause: bool) -> web.StreamResponse:
        view = await self._lookup.own(call.parameters["id"])
        state, whole_id = state_text(view), identifier(view)
        if unpause and state != "paused":
            raise conflict(f"Container {whole_id} is not paused")
        if not unpause and state == "paused":
            raise conflict(f"Container {whole_id} is already paused")
        if not unpause and state != "running":
            raise conflict(f"Container {whole_id} is not running")
        request = PauseContainerRequest(container=view.container.meta.id, unpause=unpause)
        await self._managers.call(self._containers.PauseContainer, request)
        return call.empty()


def _stop(call: Call, container: str) -> StopContainerRequest:
    request = StopContainerRequest(container=container, stop=ContainerStop())
    if call.version >= STOP_SIGNAL and (signal := call.text("signal")):
        _check_signal(signal)
        request.stop.signal = signal
    if call.text("t"):
        request.stop.grace_ms = grace_ms(call.integer("t", 0))
    return request


def grace_ms(seconds: int) -> int:
    """Milliseconds between the signal and SIGKILL, of a request's seconds; below 0 there is none."""
    return _NEVER_KILL_MS if seconds < 0 else min(seconds * 1000, _LONGEST_GRACE_MS)


def _check_signal(signal: str) -> None:
    if signal and signal_number(signal) is None:
        raise bad_request(f"Invalid signal: {signal}")
