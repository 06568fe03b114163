"""For the tests of `shoal build`: a manager that keeps what it is sent, and says what a test wants it to say."""

# ruff: noqa: N802  # the methods are named by the protocol

import os
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from shoal.api.v1.builds_pb2 import (
    BuildCacheRow,
    BuildInput,
    BuildOutput,
    BuildPlan,
    BuildResult,
    BuildStart,
    ContextEntry,
    ContextRequest,
    ListBuildCacheRequest,
    ListBuildCacheResponse,
    NameIndexRequest,
    PruneBuildCacheRequest,
    PruneBuildCacheResponse,
    Vertex,
    VertexLog,
    VertexStatus,
)
from shoal.api.v1.builds_pb2_grpc import BuildsServicer, add_BuildsServicer_to_server
from shoal.contexts.context_store import ContextStore
from shoal.errors import ShoalError
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from shoal.rpc.status_mapping import code_of, details_of, trailer_of
from tests.unit.cli.exec.exec_rig import Rig

ID = "sha256:" + "ce97028c0035" + "0" * 52
DIGEST = "sha256:" + "d" * 64


def simple(start: BuildStart) -> Iterator[BuildOutput]:
    """One step, and an image."""
    yield BuildOutput(plan=BuildPlan(vertices=[Vertex(id="v1", name="[1/1] RUN make", step=1, steps=1)]))
    yield BuildOutput(vertex=VertexStatus(id="v1", started_at_ms=1000))
    yield BuildOutput(log=VertexLog(id="v1", stream=1, data=b"made\n"))
    yield BuildOutput(vertex=VertexStatus(id="v1", started_at_ms=1000, completed_at_ms=1300))
    yield BuildOutput(result=BuildResult(image_id=ID, digest=DIGEST, names=start.names))


@dataclass
class Builder(BuildsServicer):
    """Reads a whole build, then answers as `answers` says."""

    answers: Callable[[BuildStart], Iterator[BuildOutput]] = simple
    refused: ShoalError | None = None
    starts: list[BuildStart] = field(default_factory=list)
    contexts: list[bytes] = field(default_factory=list)
    trees: list[dict[str, dict[str, bytes]]] = field(default_factory=list)
    """Of each build the files of the contexts that came as lists, by the name of the context."""
    secrets: dict[str, bytes] = field(default_factory=dict)
    indexes: list[NameIndexRequest] = field(default_factory=list)
    prunes: list[PruneBuildCacheRequest] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    running: threading.Event = field(default_factory=threading.Event)

    def Build(self, request_iterator: Iterator[BuildInput], context: Any) -> Iterator[BuildOutput]:
        context.add_callback(self.cancelled.set)
        self.starts.append(next(request_iterator).start)
        content, trees, listed = bytearray(), dict[str, dict[str, bytes]](), dict[str, list[ContextEntry]]()
        self.trees.append(trees)
        for message in request_iterator:
            match message.WhichOneof("kind"):
                case "context":
                    content += message.context
                case "listing":
                    name = message.listing.name
                    listed.setdefault(name, []).extend(message.listing.entries)
                    if message.listing.complete:
                        trees[name] = {os.fsdecode(each.path): b"" for each in listed[name]}
                        requested = [number for number, each in enumerate(listed[name]) if stat.S_ISREG(each.mode)]
                        request = ContextRequest(name=name, contents=requested, final=True)
                        yield BuildOutput(context_request=request)
                case "contents":
                    name = message.contents.name
                    for each in message.contents.contents:
                        trees[name][os.fsdecode(listed[name][each.number].path)] += each.data
                case "secret":
                    self.secrets[message.secret.id] = message.secret.value
                case "end_context":
                    break
        self.contexts.append(bytes(content))
        yield from self.answers(self.starts[-1])
        if self.refused is not None:
            context.set_trailing_metadata(trailer_of(self.refused))
            context.abort(code_of(self.refused), details_of(self.refused))

    def NameIndex(self, request: NameIndexRequest, context: Any) -> BuildResult:
        self.indexes.append(request)
        return BuildResult(image_id=DIGEST, digest=DIGEST, names=request.names)

    def ListBuildCache(self, request: ListBuildCacheRequest, context: Any) -> ListBuildCacheResponse:
        rows = [
            BuildCacheRow(
                id="sha256:" + "a" * 64, node_id="n1", type="regular", description="RUN make", bytes=5_000_000
            ),
            BuildCacheRow(id="cache", node_id="n1", type="exec.cachemount", bytes=1000, in_use=True),
        ]
        return ListBuildCacheResponse(rows=rows, warnings=["node h2 did not respond"])

    def PruneBuildCache(self, request: PruneBuildCacheRequest, context: Any) -> PruneBuildCacheResponse:
        self.prunes.append(request)
        return PruneBuildCacheResponse(ids=["a"], reclaimed_bytes=5_000_000)


@contextmanager
def builds_rig(directory: Path) -> Generator[tuple[Rig, Builder]]:
    """The manager, and the command in processes of its own; `directory` gets the context."""
    now = datetime.now(UTC)
    authority = Authority.create("c", now)
    shown = authority.issue(CertificateSubject("m1", Role.MANAGER, "c"), now)
    builder = Builder()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads)
        add_BuildsServicer_to_server(builder, server)
        credentials = grpc.ssl_server_credentials([(shown.key, shown.certificate)], shown.ca, require_client_auth=True)
        address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
        identity = authority.issue(CertificateSubject("me", Role.ADMIN, "c"), now)
        ContextStore(directory).create("here", identity, [address])
        server.start()
        kept = {name: value for name, value in os.environ.items() if name not in ("SHOAL_CONTEXT", "NO_COLOR")}
        made = {
            **kept,
            "SHOAL_CONFIG": str(directory),
            "DOCKER_CONFIG": str(directory / "docker"),
            "XDG_CACHE_HOME": str(directory / "cache"),
            "PYTHONPATH": str(Path(__file__).parents[4]),
        }
        try:
            yield Rig(builder, server, address, made), builder  # type: ignore[arg-type]  # another manager
        finally:
            builder.running.set()
            server.stop(None).wait()
