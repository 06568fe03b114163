"""The input of a build: secrets, and contexts that are unpacked while they come.

A context is a tar archive, plain or compressed. It is unpacked beneath a directory of its own, where the kernel
resolves every path; owners are root's, as COPY has them, and devices are refused. Or it is a list (`listed_context`).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.archives.known_content import KnownContent
from agent.archives.tar_extract import ExtractOptions, extract
from agent.build.program.results import Tree
from agent.build.program.sources.listed_context import ListedContext
from agent.build.program.workspace import Workspace
from shoal.api.v1.builds_pb2 import (
    BuildInput,
    ContextContents,
    ContextDigests,
    ContextListing,
    ContextRequest,
    SshReply,
)
from shoal.errors import Exhausted, InvalidInput, NotFound
from shoal.images.spool import pieces
from shoal.tar.piece_reader import PieceReader
from shoal.threaded_call import in_thread

MAX_CONTEXT_BYTES = 64 << 30
MAX_SECRET_BYTES = 500 << 10
MAX_SECRETS, MAX_CONTEXTS = 100, 50
_PIECE = 1 << 20


def _ignore(_: SshReply) -> None:
    return None


@dataclass
class _Unpacking:
    """One context that is being received."""

    directory: Path
    writer: asyncio.StreamWriter
    work: "asyncio.Task[None]"
    known: dict[int, KnownContent]
    received: int = 0


@dataclass
class ContextInput:
    """Receives contexts and secrets. For one event loop.

    Attributes:
        kept: where contexts of earlier builds are.
        ask: sends what is needed of a list.
        secrets: by id, once `complete` has returned.
        on_ssh_reply: called with those that come between the contexts.
    """

    workspace: Workspace
    kept: Path
    ask: Callable[[ContextRequest], Awaitable[None]]
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    on_ssh_reply: Callable[[SshReply], None] = _ignore
    _contexts: dict[str, _Unpacking] = field(default_factory=dict)
    _listed: dict[str, ListedContext] = field(default_factory=dict)
    _trees: dict[str, Tree] = field(default_factory=dict)
    _provided: dict[str, Path] = field(default_factory=dict)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, messages: AsyncIterator[BuildInput]) -> None:
        """Take all input up to the end of the contexts.

        Raises:
            InvalidInput: it ends before, or a context is no archive. Exhausted: a bound, or the disk.
        """
        async for message in messages:
            match message.WhichOneof("kind"):
                case "context":
                    await self._write("", message.context)
                case "named_context":
                    await self._write(message.named_context.name, message.named_context.data)
                case "listing":
                    await self._list(message.listing)
                case "digests":
                    await self._add_digests(message.digests)
                case "contents":
                    await self._add_contents(message.contents)
                case "secret":
                    self._add_secret(message.secret.id, message.secret.value)
                case "ssh_reply":
                    self.on_ssh_reply(message.ssh_reply)
                case "end_context":
                    await self._finish()
                    self._done.set()
                    return
        raise InvalidInput("the context ended before it was complete")

    def provide(self, name: str, directory: Path) -> None:
        """A context that does not come as input."""
        self._provided[name] = directory

    async def tree(self, name: str) -> Tree:
        """A context, once all are complete. Raises NotFound: there is none of this name."""
        if name in self._provided:
            return Tree(self._provided[name])
        await self._done.wait()
        if name in self._trees:
            return self._trees[name]
        found = self._contexts.get(name)
        if found is None:
            raise NotFound(f"no context named {name!r} was sent" if name else "no build context was sent")
        return Tree(found.directory, found.known)

    def is_listed(self, name: str) -> bool:
        """Whether a context came as a list, once all are complete: its sender has left out what is ignored."""
        return name in self._trees

    async def complete(self) -> None:
        """Wait for the end of the input."""
        await self._done.wait()

    async def _write(self, name: str, data: bytes) -> None:
        found = self._contexts.get(name) or await self._open(name)
        found.received += len(data)
        if found.received > MAX_CONTEXT_BYTES:
            raise Exhausted(f"the context is larger than {MAX_CONTEXT_BYTES >> 30} GiB")
        if found.work.done():
            await found.work  # raises, or what follows the archive's end is dropped
            return
        try:
            found.writer.write(data)
            await found.writer.drain()
        except ConnectionError:
            await found.work

    def _check_new(self, name: str) -> None:
        if name in self._contexts or name in self._listed:
            raise InvalidInput(f"context {name[:80]!r} comes twice")
        if len(self._contexts) + len(self._listed) >= MAX_CONTEXTS:
            raise Exhausted(f"too many contexts; the maximum is {MAX_CONTEXTS}")

    async def _list(self, part: ContextListing) -> None:
        found = self._listed.get(part.name)
        if found is None:
            self._check_new(part.name)
            found = await in_thread(
                lambda: ListedContext(part.name, part.key, self.kept, self.workspace, max_bytes=MAX_CONTEXT_BYTES)
            )
            self._listed[part.name] = found
        await in_thread(lambda: found.add(part.entries))
        if part.complete:
            await self.ask(await in_thread(found.compare))

    async def _add_digests(self, part: ContextDigests) -> None:
        found = self._require(part.name)
        found.add_digests(part.digests)
        if part.complete:
            await self.ask(await in_thread(found.compare_again))

    async def _add_contents(self, part: ContextContents) -> None:
        found = self._require(part.name)
        await in_thread(lambda: found.write(part.contents))
        if part.complete:
            self._trees[part.name] = await in_thread(found.finish)

    def _require(self, name: str) -> ListedContext:
        found = self._listed.get(name)
        if found is None or name in self._trees:
            raise InvalidInput(f"context {name[:80]!r} was not listed, or is complete")
        return found

    async def _open(self, name: str) -> _Unpacking:
        self._check_new(name)
        directory = self.workspace.new("context")
        directory.chmod(0o755)
        read_end, write_end = os.pipe()
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(write_end, "wb")
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        known: dict[int, KnownContent] = {}
        work = asyncio.create_task(in_thread(lambda: self._unpack(directory, read_end, known)), name=f"context {name}")
        found = self._contexts[name] = _Unpacking(directory, writer, work, known)
        return found

    def _unpack(self, directory: Path, read_end: int, known: dict[int, KnownContent]) -> None:
        options = ExtractOptions(owner=(0, 0), known=known)
        root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.fdopen(read_end, "rb", buffering=_PIECE) as source:
                stream = PieceReader(pieces(source, "the context"))
                extract(root, "/", stream.read, options, self.workspace.budget())
                while stream.read(_PIECE):  # what follows the archive's end
                    continue
        finally:
            os.close(root)

    async def _finish(self) -> None:
        if missing := [name for name in self._listed if name not in self._trees]:
            raise InvalidInput(f"context {missing[0][:80]!r} ended before it was complete")
        for each in self._contexts.values():
            each.writer.close()
        for each in self._contexts.values():
            await each.work

    def _add_secret(self, secret_id: str, value: bytes) -> None:
        if len(value) > MAX_SECRET_BYTES:
            raise Exhausted(f"secret {secret_id[:80]} is larger than {MAX_SECRET_BYTES >> 10} KiB")
        if len(self.secrets) >= MAX_SECRETS:
            raise Exhausted(f"too many secrets; the maximum is {MAX_SECRETS}")
        self.secrets[secret_id] = value
