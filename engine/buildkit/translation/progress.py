"""The progress of a build as BuildKit's clients draw it. Pure but for the clock that is given.

What the engine itself does has vertices of its own: reading the Dockerfile, sending the contexts.
"""

import hashlib
from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp

from engine.buildkit.translation.source_excerpt import line_range, source_info
from engine.buildkit.v1.control_pb2 import StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning
from shoal.api.v1.builds_pb2 import BuildFailure, BuildOutput, BuildPlan, BuildResult, BuildWarning
from shoal.api.v1.builds_pb2 import VertexProgress as NodeProgress
from shoal.api.v1.builds_pb2 import VertexStatus as NodeStatus

_CONTEXT = "[internal] load build context"
_LEVEL = 1
"""Of warnings: shown."""


class BuildProgress:
    """Translates one build.

    Args:
        build: its `ref`, so that the vertices of two builds differ.
        now_ns: the clock, nanoseconds since 1970.
    Attributes:
        failure, result: what came of them. warnings: all of them, in their order.
    """

    def __init__(self, build: str, now_ns: Callable[[], int]) -> None:
        self._build = build
        self._now_ns = now_ns
        self._shown: dict[str, Vertex] = {}
        self._file_name, self._text = "Dockerfile", b""
        self._first = ""
        self._place = ""
        self._waiting = ""
        self.failure: BuildFailure | None = None
        self.result: BuildResult | None = None
        self.warnings: list[BuildWarning] = []

    def set_dockerfile(self, name: str, text: bytes) -> None:
        """What is shown of lines of it."""
        self._file_name, self._text = name, text

    def begin(self, name: str) -> tuple[str, StatusResponse]:
        """Something that the engine does: the id of its vertex, and what is told of it."""
        vertex = Vertex(digest=self._digest(name), name=name, started=self._now())
        self._shown[vertex.digest] = vertex
        self._first = self._first or vertex.digest
        return vertex.digest, StatusResponse(vertexes=[vertex])

    def end(self, vertex: str, error: str = "") -> StatusResponse:
        """It is done."""
        shown = self._shown[vertex]
        shown.completed.CopyFrom(self._now())
        shown.error = error
        return StatusResponse(vertexes=[shown])

    def transferred(self, vertex: str, what: str, size: int, *, is_complete: bool) -> StatusResponse:
        """So many bytes of it have gone over."""
        now = self._now()
        status = VertexStatus(
            id=what, vertex=vertex, name=what, current=size, timestamp=now, started=self._shown[vertex].started
        )
        if is_complete:
            status.completed.CopyFrom(now)
        return StatusResponse(statuses=[status])

    def translate(self, output: BuildOutput) -> StatusResponse | None:
        """What a node's output adds; None: nothing."""
        match output.WhichOneof("kind"):
            case "plan":
                return self._plan(output.plan)
            case "vertex" if output.vertex.id in self._shown:
                return self._status(output.vertex)
            case "log" if output.log.id in self._shown:
                log = VertexLog(
                    vertex=output.log.id, stream=output.log.stream, msg=output.log.data, timestamp=self._now()
                )
                return StatusResponse(logs=[log])
            case "progress" if output.progress.id in self._shown:
                return self._progress(output.progress)
            case "warning":
                return self._warning(output.warning)
            case "place":
                self._place = output.place.node_hostname
            case "waiting":
                return self._wait(output.waiting.ahead)
            case "failure":
                self.failure = output.failure
            case "result":
                self.result = output.result
        return None

    def open_vertices(self, error: str) -> StatusResponse:
        """What has begun and not ended has failed, with the build."""
        return StatusResponse(
            vertexes=[
                self.end(digest, error).vertexes[0]
                for digest, each in list(self._shown.items())
                if each.HasField("started") and not each.HasField("completed")
            ]
        )

    def _wait(self, ahead: int) -> StatusResponse:
        self._waiting, response = self.begin(f"[internal] waiting for {ahead} other builds on node {self._place}")
        return response

    def _plan(self, plan: BuildPlan) -> StatusResponse:
        """Without steps that have no work, and so no name, and without contexts, which are sent here."""
        vertices = list(self.end(self._waiting).vertexes) if self._waiting else []
        self._waiting = ""
        for each in plan.vertices:
            if each.name and not each.name.startswith(_CONTEXT) and each.id not in self._shown:
                self._shown[each.id] = Vertex(digest=each.id, name=each.name, inputs=each.inputs)
                vertices.append(self._shown[each.id])
        return StatusResponse(vertexes=vertices)

    def _status(self, status: NodeStatus) -> StatusResponse:
        vertex = self._shown[status.id]
        vertex.cached = vertex.cached or status.cached
        vertex.error = status.error or vertex.error
        if status.completed_at_ms:
            vertex.started.CopyFrom(_time(status.started_at_ms or status.completed_at_ms))
            vertex.completed.CopyFrom(_time(status.completed_at_ms))
        elif status.started_at_ms:
            vertex.started.CopyFrom(_time(status.started_at_ms))
        return StatusResponse(vertexes=[vertex])

    def _progress(self, progress: NodeProgress) -> StatusResponse:
        now = self._now()
        status = VertexStatus(
            id=progress.name,
            vertex=progress.id,
            name=progress.name,
            current=progress.current,
            total=progress.total,
            timestamp=now,
            started=self._shown[progress.id].started,
        )
        if progress.complete:
            status.completed.CopyFrom(now)
        return StatusResponse(statuses=[status])

    def _warning(self, warning: BuildWarning) -> StatusResponse:
        self.warnings.append(warning)
        short = f"{warning.rule}: {warning.text}" if warning.rule else warning.text
        if warning.line:
            short += f" (line {warning.line})"
        found = VertexWarning(
            vertex=self._first,
            level=_LEVEL,
            short=short.encode(),
            detail=[warning.description.encode()] if warning.description else [],
            url=warning.url,
        )
        if warning.line and self._text:
            found.info.CopyFrom(source_info(self._file_name, self._text))
            found.ranges.append(line_range(warning.line))
        return StatusResponse(warnings=[found])

    def _digest(self, name: str) -> str:
        return f"sha256:{hashlib.sha256(f'{self._build} {name}'.encode()).hexdigest()}"

    def _now(self) -> Timestamp:
        now = Timestamp()
        now.FromNanoseconds(self._now_ns())
        return now


def _time(milliseconds: int) -> Timestamp:
    found = Timestamp()
    found.FromMilliseconds(milliseconds)
    return found
