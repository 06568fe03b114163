"""What a node says of a build, as it is shown."""

from cli.render.build_progress.display import BuildDisplay
from shoal.api.v1.builds_pb2 import (
    BuildFailure,
    BuildOutput,
    BuildPlace,
    BuildPlan,
    BuildResult,
    BuildWarning,
    VertexStatus,
)

CONTEXT_NAME = "[internal] load build context"


class OutputFeed:
    """Gives a display what it draws, and keeps what is needed at the end.

    Attributes:
        place, failure, result: what came of them.
        warnings: all, in their order.
    """

    def __init__(self, display: BuildDisplay) -> None:
        self._display = display
        self._shown: set[str] = set()
        self.place = BuildPlace()
        self.failure: BuildFailure | None = None
        self.result: BuildResult | None = None
        self.warnings: list[BuildWarning] = []

    def receive(self, output: BuildOutput) -> None:
        """One message, other than files of the result."""
        kind = output.WhichOneof("kind")
        if kind in ("plan", "vertex", "log", "progress"):
            self._display.note("")
        match kind:
            case "plan":
                self._plan(output.plan)
            case "vertex":
                self._status(output.vertex)
            case "log" if output.log.id in self._shown:
                self._display.output(output.log.id, output.log.stream, output.log.data)
            case "progress" if output.progress.id in self._shown:
                progress = output.progress
                self._display.status(
                    progress.id, progress.name, progress.current, progress.total, done=progress.complete
                )
            case "warning":
                self.warnings.append(output.warning)
            case "waiting":
                self._display.note(
                    f"waiting for {output.waiting.ahead} other builds on node {self.place.node_hostname}"
                )
            case "place":
                self.place = output.place
            case "failure":
                self.failure = output.failure
            case "result":
                self.result = output.result

    def _plan(self, plan: BuildPlan) -> None:
        """Without steps that have no work, and so no name, and without the context, which is sent here."""
        for vertex in plan.vertices:
            if vertex.name not in ("", CONTEXT_NAME):
                self._shown.add(vertex.id)
                self._display.announce(vertex.id, vertex.name, vertex.inputs)

    def _status(self, status: VertexStatus) -> None:
        if status.id not in self._shown:
            return
        if status.completed_at_ms:
            begun = status.started_at_ms or status.completed_at_ms
            seconds = (status.completed_at_ms - begun) / 1000
            self._display.complete(status.id, seconds, cached=status.cached, error=status.error)
        elif status.started_at_ms:
            self._display.start(status.id)
