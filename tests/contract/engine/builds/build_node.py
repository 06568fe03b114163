"""A node that builds nothing: what it puts out and how it ends is said by the Dockerfile. Behind BuildKit's API."""

import asyncio
import hashlib
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from shoal.api.v1.builds_pb2 import (
    BuildCacheRow,
    BuildFailure,
    BuildInput,
    BuildOutput,
    BuildPlace,
    BuildPlan,
    BuildResult,
    BuildStart,
    BuildWarning,
    ContextEntry,
    ContextRequest,
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
    SshReply,
    SshRequest,
    Vertex,
    VertexLog,
    VertexStatus,
)
from shoal.api.v1.control_pb2 import ListNodesRequest, ListNodesResponse
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.errors import Refused
from shoal.manager_calls.acting_user import acting_metadata
from shoal.manager_calls.managers import Managers

R = TypeVar("R")
IMAGE_ID = "sha256:" + "ce97028c0035" + "0" * 52
DIGEST = "sha256:" + "d" * 64
CONFIG = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
STEP_ERROR = 'process "/bin/sh -c false" did not complete successfully: exit code: 1'
_ARCHIVES = (BuildStart.FILES, BuildStart.DOCKER_ARCHIVE, BuildStart.OCI_ARCHIVE)


class BuildNode(Managers):
    """Managers with one node.

    Attributes:
        starts: of builds. contexts, lists: archives and lists by name, of the last build; the main one is empty.
        secrets: of it. received: paths whose contents have come for it. kept: contents by digest, of all builds.
        acting: what a call to a manager says of the user.
        replies: of SSH agents.
        ended: builds that are over, however they ended.
        result: the archive of a result that is files.
        has_triggers: base images have ONBUILD instructions.
    """

    def __init__(self) -> None:
        self.starts: list[BuildStart] = []
        self.contexts: dict[str, bytearray] = {}
        self.lists: dict[str, list[ContextEntry]] = {}
        self.kept: dict[bytes, bytes] = {}
        self.received: list[str] = []
        self.secrets: dict[str, bytes] = {}
        self.prunes: list[PruneBuildCacheRequest] = []
        self.replies: list[SshReply] = []
        self.ended = 0
        self.acting: tuple[tuple[str, str], ...] = ()
        self.result = b""
        self.has_triggers = False
        untyped: Any = self
        untyped.builds = SimpleNamespace(Build=self._build, ListBuildCache=self._list, PruneBuildCache=self._prune)
        untyped.control = SimpleNamespace(ListNodes=self._nodes)

    async def call(self, method: Callable[..., Awaitable[R]], request: object, *, seconds: float | None = None) -> R:
        return await method(request)

    async def stream(self, method: Callable[..., AsyncIterable[R]], request: object) -> AsyncGenerator[R]:
        async for answer in method(request):
            yield answer

    def files(self, name: str = "") -> dict[str, bytes]:
        """Regular files of a context by path, without hard links."""
        return {
            path: self.kept[entry.digest]
            for path, entry in self.entries(name).items()
            if stat.S_ISREG(entry.mode) and not entry.hard_link
        }

    def entries(self, name: str = "") -> dict[str, ContextEntry]:
        """What is in a context, by path."""
        return {each.path.decode(): each for each in self.lists[name]}

    async def _nodes(self, _: ListNodesRequest) -> ListNodesResponse:
        return ListNodesResponse()

    async def _list(self, _: ListBuildCacheRequest) -> ListBuildCacheResponse:
        row = BuildCacheRow(
            id="abc", node_id="n1", type="regular", description="RUN make", bytes=1_000_000, use_count=2
        )
        return ListBuildCacheResponse(rows=[row])

    async def _prune(self, request: PruneBuildCacheRequest) -> PruneBuildCacheResponse:
        self.prunes.append(request)
        return PruneBuildCacheResponse(ids=["a", "b"], reclaimed_bytes=1_500_000)

    async def _build(self, messages: AsyncIterator[BuildInput]) -> AsyncIterator[BuildOutput]:
        try:
            async for output in self._outputs(messages):
                yield output
        finally:
            self.ended += 1

    async def _outputs(self, messages: AsyncIterator[BuildInput]) -> AsyncIterator[BuildOutput]:
        start = (await anext(aiter(messages))).start
        self.starts.append(start)
        self.acting = acting_metadata()
        yield BuildOutput(place=BuildPlace(node_id="n1", node_hostname="host1"))
        if self.has_triggers and start.partial_context:
            yield BuildOutput(failure=BuildFailure(needs_whole_context=True))
            raise Refused("a base image has ONBUILD instructions")
        async for output in self._receive(aiter(messages)):
            yield output
        steps = start.dockerfile_text.decode().splitlines()
        yield BuildOutput(plan=_plan(len(self.starts), steps))
        yield BuildOutput(warning=BuildWarning(rule="FromAsCasing", text="casing differs", url="https://x/y", line=1))
        if start.check_only:
            yield BuildOutput(result=BuildResult())
            return
        for number, step in enumerate(steps, start=1):
            async for output in _step(_id(len(self.starts), number), number, step):
                yield output
                if output.HasField("ssh_request"):
                    self.replies.append((await anext(aiter(messages))).ssh_reply)
        if start.output in _ARCHIVES:
            yield BuildOutput(file_data=self.result)
        result = BuildResult(image_id=IMAGE_ID, digest=DIGEST, names=start.names)
        if start.output == BuildStart.IMAGE:
            result.image.CopyFrom(Image(digest=DIGEST, variants=[ImageVariant(config=CONFIG)]))
        yield BuildOutput(result=result)

    async def _receive(self, messages: AsyncIterator[BuildInput]) -> AsyncIterator[BuildOutput]:
        self.contexts, self.secrets, self.lists, self.received = {}, {}, {}, []
        async for message in messages:
            match message.WhichOneof("kind"):
                case "context":
                    self.contexts.setdefault("", bytearray()).extend(message.context)
                case "listing":
                    self.lists.setdefault(message.listing.name, []).extend(message.listing.entries)
                    if message.listing.complete:
                        async for output in self._fetch(message.listing.name, messages):
                            yield output
                case "secret":
                    self.secrets[message.secret.id] = message.secret.value
                case _:
                    return

    async def _fetch(self, name: str, messages: AsyncIterator[BuildInput]) -> AsyncIterator[BuildOutput]:
        """Digests of what the list does not say them of, though they are not known; then what is not kept."""
        entries = self.lists[name]
        files = [at for at, each in enumerate(entries) if stat.S_ISREG(each.mode) and not each.hard_link]
        lacking = [at for at in files if entries[at].digest not in self.kept]
        if lacking:
            yield BuildOutput(context_request=ContextRequest(name=name, digests=lacking))
            digests = (await anext(messages)).digests
            assert (list(digests.digests), digests.complete) == ([b""] * len(lacking), True)
        yield BuildOutput(context_request=ContextRequest(name=name, contents=lacking, final=True))
        pieces: dict[int, bytearray] = {each: bytearray() for each in lacking}
        complete: list[int] = []
        async for message in messages:
            for content in message.contents.contents:
                pieces[content.number] += content.data
                complete += [content.number] if content.complete else []
            if message.contents.complete:
                break
        assert complete == lacking
        for number, data in pieces.items():
            entries[number].digest = hashlib.sha256(data).digest()
            self.kept[entries[number].digest] = bytes(data)
            self.received.append(entries[number].path.decode())


def _plan(build: int, steps: list[str]) -> BuildPlan:
    return BuildPlan(
        vertices=[
            Vertex(
                id=_id(build, number),
                name=f"[{number}/{len(steps)}] {step}",
                step=number,
                steps=len(steps),
                instruction=step,
                line=number,
            )
            for number, step in enumerate(steps, start=1)
        ]
    )


def _id(build: int, number: int) -> str:
    return f"sha256:{build:032x}{number:032x}"


async def _step(identifier: str, number: int, step: str) -> AsyncIterator[BuildOutput]:
    yield BuildOutput(vertex=VertexStatus(id=identifier, started_at_ms=1_000))
    if step.startswith("RUN --mount=type=ssh"):
        yield BuildOutput(ssh_request=SshRequest(number=3, id="default", message=b"\x0b"))
    if step.startswith("RUN echo"):
        yield BuildOutput(log=VertexLog(id=identifier, stream=1, data=step[9:].encode() + b"\n"))
    if step == "RUN sleep":
        await asyncio.Event().wait()
    if step == "RUN false":
        yield BuildOutput(vertex=VertexStatus(id=identifier, started_at_ms=1, completed_at_ms=2, error=STEP_ERROR))
        yield BuildOutput(failure=BuildFailure(vertex_id=identifier, exit_code=1, line=number))
        raise Refused(STEP_ERROR)
    yield BuildOutput(vertex=VertexStatus(id=identifier, started_at_ms=1_000, completed_at_ms=1_200))
