"""Commands in containers: `exec` create, start, inspect, resize."""

from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.cluster.container_lookup import ContainerLookup, reference_of
from engine.cluster.exec_table import ExecEntry, ExecTable
from engine.cluster.managers import Managers
from engine.cluster.program_session import ProgramSession
from engine.handlers.terminal_streams import (
    StreamOptions,
    Terminals,
    connect,
    content_type,
    detach_keys,
    terminal_size,
)
from engine.protocol.docker_texts import exec_failure, not_running
from engine.protocol.errors import bad_request, conflict
from engine.protocol.frames import Output
from engine.server.call import Call
from engine.server.hijack import HijackedResponse, RawStream
from engine.server.routes import Route
from engine.translate.container_facts import identifier
from engine.translate.fields import Fields
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.streams_pb2 import ExecEnd, ExecInput, ExecStart
from shoal.container_states import state_text
from shoal.errors import Refused, ShoalError


class ExecHandlers:
    """The operations on commands in containers."""

    def __init__(self, managers: Managers, lookup: ContainerLookup, execs: ExecTable) -> None:
        self._managers = managers
        self._lookup = lookup
        self._execs = execs
        self._terminals = Terminals()

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
        detach_keys(fields.text("DetachKeys"), terminal=fields.boolean("Tty"))
        whole_id = identifier(view)
        entry = self._execs.add(lambda key: _entry(key, whole_id, fields, reference_of(view)), whole_id)
        return call.json({"Id": entry.id}, HTTPStatus.CREATED)

    async def start(self, call: Call) -> web.StreamResponse:
        """Run it, connected to the client or detached."""
        entry = self._execs.find(call.parameters["id"])
        options = Fields(await call.json_object(optional=True))
        if entry.started:
            raise conflict(f"exec {entry.id} has already run" if not entry.running else f"exec {entry.id} is running")
        _check_running(await self._lookup.find(entry.container_id))
        if size := _console_size(options):
            entry.start.terminal.rows, entry.start.terminal.columns = size
        entry.started = entry.running = True
        if options.boolean("Detach"):
            return await self._start_detached(call, entry)
        return await self._start_attached(call, entry, raw_output=options.boolean("Tty"))

    async def inspect(self, call: Call) -> web.StreamResponse:
        """What it runs, and how it has ended."""
        entry = self._execs.find(call.parameters["id"])
        return call.json(_document(entry))

    async def resize(self, call: Call) -> web.StreamResponse:
        """The size of its terminal."""
        entry = self._execs.find(call.parameters["id"])
        size = terminal_size(call.integer("h", 0), call.integer("w", 0))
        if not entry.running:
            raise conflict(f"exec {entry.id} is not running")
        await self._terminals.resize(entry.id, size)
        return call.empty(HTTPStatus.OK)

    async def _start_detached(self, call: Call, entry: ExecEntry) -> web.StreamResponse:
        entry.start.detach = True
        entry.start.stdin = False
        async with ProgramSession(self._managers, self._managers.control.Exec, ExecInput(start=entry.start)) as session:
            try:
                first = await session.begin()
            except Refused as error:
                entry.end(None, self._execs.clock())
                raise conflict(str(error)) from error
        if first.HasField("end"):
            entry.end(first.end.exit_code, self._execs.clock())
            raise bad_request(exec_failure(entry.start.args[0], first.end.exit_code, first.end.error))
        entry.end(0, self._execs.clock())  # how it ends is not told to anyone
        return call.empty(HTTPStatus.OK)

    async def _start_attached(self, call: Call, entry: ExecEntry, *, raw_output: bool) -> web.StreamResponse:
        """
        Args:
            raw_output: without frames, as the request to start says, whatever that to create has said.
        """
        terminal = entry.start.HasField("terminal")
        raw = call.hijack(content_type(call.version, terminal=raw_output))
        options = StreamOptions(
            terminal=raw_output,
            stdin=entry.attach_stdin,
            outputs=_outputs(entry, terminal=terminal),
            detach_keys=detach_keys(entry.detach_keys, terminal=terminal),
        )
        end: ExecEnd | None = None
        try:
            async with ProgramSession(
                self._managers, self._managers.control.Exec, ExecInput(start=entry.start)
            ) as session:
                end = await self._run(session, raw, entry, options)
        finally:
            entry.end(end.exit_code if end is not None else None, self._execs.clock())
        return HijackedResponse()

    async def _run(
        self, session: ProgramSession, raw: RawStream, entry: ExecEntry, options: StreamOptions
    ) -> ExecEnd | None:
        try:
            first = await session.begin()
        except ShoalError as error:
            await raw.write(options.frame(Output.STDOUT, f"{error}\r\n".encode()))
            await raw.close()
            return None
        if first.HasField("end"):
            text = exec_failure(entry.start.args[0], first.end.exit_code, first.end.error)
            await raw.write(options.frame(Output.STDOUT, f"{text}\r\n".encode()))
            await raw.close()
            return first.end
        self._terminals.add(entry.id, session)
        try:
            return await connect(session, raw, options)
        finally:
            self._terminals.remove(entry.id, session)


def _entry(key: str, container_id: str, fields: Fields, target: str) -> ExecEntry:
    start = ExecStart(
        task=target,
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
    return ExecEntry(
        id=key,
        container_id=container_id,
        start=start,
        attach_stdin=fields.boolean("AttachStdin"),
        attach_stdout=fields.boolean("AttachStdout"),
        attach_stderr=fields.boolean("AttachStderr"),
        detach_keys=fields.text("DetachKeys"),
    )


def _console_size(fields: Fields) -> tuple[int, int] | None:
    """Rows and columns; None where they are not given."""
    given = fields.document.get("ConsoleSize")
    if not given:
        return None
    if not isinstance(given, list) or len(given) != 2 or not all(type(each) is int for each in given):
        raise fields.wrong_type("ConsoleSize", given, "[2]uint")
    size = terminal_size(given[0], given[1])
    return (size.rows, size.columns) if size.rows and size.columns else None


def _outputs(entry: ExecEntry, *, terminal: bool) -> list[Output]:
    if terminal:
        return [Output.STDOUT] if entry.attach_stdout or entry.attach_stderr else []
    return [
        output
        for output, attached in ((Output.STDOUT, entry.attach_stdout), (Output.STDERR, entry.attach_stderr))
        if attached
    ]


def _check_running(view: ContainerView) -> None:
    state = state_text(view)
    if state == "paused":
        raise conflict(f"container {identifier(view)} is paused, unpause the container before exec")
    if state != "running":
        raise not_running(identifier(view))


def _document(entry: ExecEntry) -> dict[str, Any]:
    start = entry.start
    process: dict[str, Any] = {
        "tty": start.HasField("terminal"),
        "entrypoint": start.args[0],
        "arguments": list(start.args[1:]),
        "privileged": start.privileged,
    }
    if start.user:
        process["user"] = start.user
    return {
        "ID": entry.id,
        "Running": entry.running,
        "ExitCode": entry.exit_code,
        "ProcessConfig": process,
        "OpenStdin": entry.attach_stdin,
        "OpenStderr": entry.attach_stderr,
        "OpenStdout": entry.attach_stdout,
        "CanRemove": False,
        "ContainerID": entry.container_id,
        "DetachKeys": entry.detach_keys,
        "Pid": 0,
    }
