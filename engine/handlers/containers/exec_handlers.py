"""Commands in containers: `exec` create, start, inspect, resize. The node of the container keeps them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup, reference_of
from engine.cluster.own_events import OwnEvents
from engine.cluster.program_session import ProgramSession
from engine.handlers.containers.exec_ends import ExecEnds
from engine.handlers.containers.lost_execs import LostExecs
from engine.handlers.containers.terminal_streams import StreamOptions, connect, content_type, detach_keys, terminal_size
from engine.handlers.restrictions import Restrictions
from engine.protocol.docker_texts import exec_failure, not_running
from engine.protocol.errors import bad_request, conflict, not_found
from engine.protocol.frames import Output
from engine.server.call import Call
from engine.server.hijack import HijackedResponse, RawStream
from engine.server.routes import Route
from engine.translate.containers.container_facts import identifier
from engine.translate.fields import Fields
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateExecRequest,
    ExecSession,
    GetExecRequest,
    ResizeExecRequest,
)
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecStart, StartCreatedExec
from shoal.container_ids import container_id
from shoal.container_states import state_text
from shoal.errors import NotFound, Refused, ShoalError
from shoal.manager_calls.managers import Managers


@dataclass(frozen=True)
class _Attached:
    """What the client has asked for that the node does not need to know; kept there as `engine_request`."""

    stdout: bool
    stderr: bool
    detach_keys: str

    def to_bytes(self) -> bytes:
        return json.dumps([self.stdout, self.stderr, self.detach_keys]).encode()

    @classmethod
    def of(cls, session: ExecSession) -> "_Attached":
        """Everything, of one that no engine has created."""
        return cls(*json.loads(session.engine_request)) if session.engine_request else cls(True, True, "")


class ExecHandlers:
    """The operations on commands in containers."""

    def __init__(
        self, managers: Managers, lookup: ContainerLookup, events: OwnEvents, *, restrictions: Restrictions
    ) -> None:
        self._managers = managers
        self._lookup = lookup
        self._events = events
        self._ends = ExecEnds(managers, events)
        self._lost = LostExecs(managers)
        self._restrictions = restrictions

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/containers/{id}/exec", self.create, "ContainerExec"),
            Route("POST", "/exec/{id}/start", self.start, "ExecStart", hijacks=True),
            Route("POST", "/exec/{id}/resize", self.resize, "ExecResize"),
            Route("GET", "/exec/{id}/json", self.inspect, "ExecInspect"),
        ]

    async def create(self, call: Call) -> web.StreamResponse:
        """Nothing is run yet."""
        fields = Fields(await call.json_object())
        if not fields.texts("Cmd"):
            raise bad_request("No exec command specified")
        view = await self._lookup.find(call.parameters["id"])
        _check_running(view)
        keys = fields.text("DetachKeys")
        detach_keys(keys, terminal=fields.boolean("Tty"))
        attached = _Attached(fields.boolean("AttachStdout"), fields.boolean("AttachStderr"), keys)
        request = CreateExecRequest(
            container=reference_of(view), start=_start(fields), engine_request=attached.to_bytes()
        )
        self._restrictions.check_exec(call.caller, request.start)
        await self._restrictions.check_use(call.caller, view)
        created = await self._managers.call(self._managers.containers.CreateExec, request)
        self._events.report(view, f"exec_create: {' '.join(request.start.args)}", execID=created.id)
        return call.json({"Id": created.id}, HTTPStatus.CREATED)

    async def start(self, call: Call) -> web.StreamResponse:
        """Run it, connected to the client or detached."""
        session = await self._find(call)
        options = Fields(await call.json_object(optional=True))
        if session.running:
            raise conflict(f"exec {session.id} is running")
        if session.HasField("exit_code"):
            raise conflict(f"exec {session.id} has already run")
        view = await self._lookup.find(_container_of(session))
        _check_running(view)
        request = StartCreatedExec(id=session.id, detach=options.boolean("Detach"))
        if size := _console_size(options):
            request.terminal.rows, request.terminal.columns = size
        self._events.report(view, f"exec_start: {' '.join(session.start.args)}", execID=session.id)
        if request.detach:
            response = await self._start_detached(call, session, request)
            self._ends.watch(view, session.id)
            return response
        response, end = await self._start_attached(
            call, session, request, raw_output=options.boolean("Tty"), on_detached=lambda: self._detached(view, session)
        )
        if end is not None:
            self._events.report(view, "exec_die", execID=session.id, exitCode=str(end.exit_code))
        return response

    def _detached(self, view: ContainerView, session: ExecSession) -> None:
        self._events.report(view, "exec_detach", execID=session.id)
        self._ends.watch(view, session.id)

    async def inspect(self, call: Call) -> web.StreamResponse:
        """What it runs, and how it has ended."""
        return call.json(_document(self._lost.seen(await self._find(call))))

    async def resize(self, call: Call) -> web.StreamResponse:
        """The size of its terminal."""
        size = terminal_size(call.integer("h", 0), call.integer("w", 0))
        request = ResizeExecRequest(id=call.parameters["id"], size=size)
        try:
            await self._managers.call(self._managers.containers.ResizeExec, request)
        except NotFound:
            raise _no_such_exec(request.id) from None
        except Refused as error:
            raise conflict(str(error)) from error
        return call.empty(HTTPStatus.OK)

    async def _find(self, call: Call) -> ExecSession:
        request = GetExecRequest(id=call.parameters["id"])
        try:
            return await self._managers.call(self._managers.containers.GetExec, request)
        except NotFound:
            raise _no_such_exec(request.id) from None

    async def _start_detached(self, call: Call, session: ExecSession, request: StartCreatedExec) -> web.StreamResponse:
        async with self._program(request) as program:
            try:
                first = await program.begin()
            except Refused as error:
                raise conflict(str(error)) from error
        if first.HasField("end"):
            raise bad_request(exec_failure(session.start.args[0], first.end.exit_code, first.end.error))
        return call.empty(HTTPStatus.OK)

    async def _start_attached(
        self,
        call: Call,
        session: ExecSession,
        request: StartCreatedExec,
        *,
        raw_output: bool,
        on_detached: Callable[[], None],
    ) -> tuple[web.StreamResponse, ExecEnd | None]:
        """Run it, and how it has ended, if the client has stayed for that.

        Args:
            on_detached: called when the client has typed the keys for that.
            raw_output: without frames, as the request to start says, whatever that to create has said.
        """
        terminal, attached = session.start.HasField("terminal"), _Attached.of(session)
        raw = call.hijack(content_type(call.version, terminal=raw_output))
        options = StreamOptions(
            terminal=raw_output,
            stdin=session.start.stdin,
            outputs=_outputs(attached, terminal=terminal),
            detach_keys=detach_keys(attached.detach_keys, terminal=terminal),
            on_lost=partial(self._lost.wait_for_end, session.id),
        )
        async with self._program(request) as program:
            end = await self._run(program, raw, session.start.args[0], options)
        if options.was_detached:
            on_detached()
        return HijackedResponse(), end

    def _program(self, request: StartCreatedExec) -> ProgramSession:
        return ProgramSession(self._managers, self._managers.containers.StartExec, ExecInput(start_created=request))

    async def _run(
        self, session: ProgramSession, raw: RawStream, program: str, options: StreamOptions
    ) -> ExecEnd | None:
        try:
            first = await session.begin()
        except ShoalError as error:
            await raw.write(options.frame(Output.STDOUT, f"{error}\r\n".encode()))
            await raw.close()
            return None
        if first.HasField("end"):
            text = exec_failure(program, first.end.exit_code, first.end.error)
            await raw.write(options.frame(Output.STDOUT, f"{text}\r\n".encode()))
            await raw.close()
            return first.end
        return await connect(session, raw, options)


def _start(fields: Fields) -> ExecStart:
    start = ExecStart(
        args=fields.texts("Cmd"),
        env=fields.texts("Env"),
        user=fields.text("User"),
        working_dir=fields.text("WorkingDir"),
        privileged=fields.boolean("Privileged"),
        stdin=fields.boolean("AttachStdin"),
    )
    if fields.boolean("Tty"):
        start.terminal.SetInParent()
        if size := _console_size(fields):
            start.terminal.rows, start.terminal.columns = size
    return start


def _console_size(fields: Fields) -> tuple[int, int] | None:
    """Rows and columns; None where they are not given."""
    given = fields.value("ConsoleSize")
    if not given:
        return None
    if not isinstance(given, list) or len(given) != 2 or not all(type(each) is int for each in given):
        raise fields.wrong_type("ConsoleSize", given, "[2]uint")
    size = terminal_size(given[0], given[1])
    return (size.rows, size.columns) if size.rows and size.columns else None


def _outputs(attached: _Attached, *, terminal: bool) -> list[Output]:
    if terminal:
        return [Output.STDOUT] if attached.stdout or attached.stderr else []
    pairs = ((Output.STDOUT, attached.stdout), (Output.STDERR, attached.stderr))
    return [output for output, is_attached in pairs if is_attached]


def _check_running(view: ContainerView) -> None:
    state = state_text(view)
    if state == "paused":
        raise conflict(f"container {identifier(view)} is paused, unpause the container before exec")
    if state != "running":
        raise not_running(identifier(view))


def _container_of(session: ExecSession) -> str:
    """The id that clients know."""
    return container_id(session.container or session.task_id)


def _no_such_exec(exec_id: str) -> ShoalError:
    return not_found(f"No such exec instance: {exec_id}")


def _document(session: ExecSession) -> dict[str, Any]:
    start, attached = session.start, _Attached.of(session)
    process: dict[str, Any] = {
        "tty": start.HasField("terminal"),
        "entrypoint": start.args[0],
        "arguments": list(start.args[1:]),
        "privileged": start.privileged,
    }
    if start.user:
        process["user"] = start.user
    return {
        "ID": session.id,
        "Running": session.running,
        "ExitCode": session.exit_code if session.HasField("exit_code") else None,
        "ProcessConfig": process,
        "OpenStdin": start.stdin,
        "OpenStderr": attached.stderr,
        "OpenStdout": attached.stdout,
        "CanRemove": False,
        "ContainerID": _container_of(session),
        "DetachKeys": attached.detach_keys,
        "Pid": session.pid,
    }
