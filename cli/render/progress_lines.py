"""Progress without a terminal: a line now and then, so that logs stay short."""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.api.v1.control_pb2 import ServiceProgress

LINE_SECONDS = 1.0
"""Between two lines on the same service."""
STUCK_SECONDS = 5.0
"""Time without a change after which a service's reason to wait is printed, once for each reason."""


@dataclass
class _ServiceLine:
    """The state of one service, and the line printed last."""

    line: str
    problem: str
    final: bool  # all tasks run: printed at once
    printed: str = ""
    printed_problem: str = ""
    printed_at: float = float("-inf")


class ProgressLines:
    """Decides what is due. Times are seconds, from any start. Pure."""

    def __init__(self) -> None:
        self._services: dict[str, _ServiceLine] = {}

    def update(self, progress: ServiceProgress, line: str) -> None:
        """The newest progress of a service, and its line."""
        problem = "" if progress.converged or not progress.problems else progress.problems[0]
        final = progress.converged or bool(progress.verify_remaining_ms)
        known = self._services.setdefault(progress.service_id, _ServiceLine(line, problem, final))
        known.line, known.problem, known.final = line, problem, final

    def due(self, now: float) -> Sequence[str]:
        """The lines to print now."""
        found = []
        for service in self._services.values():
            line, at = _next(service)
            if line and at <= now:
                service.printed, service.printed_at = line, now
                if line != service.line:
                    service.printed_problem = service.problem
                found.append(line)
        return found

    def next_at(self) -> float | None:
        """When the next line is due, if nothing changes until then; None when none is."""
        return min((at for line, at in map(_next, self._services.values()) if line), default=None)


def _next(service: _ServiceLine) -> tuple[str, float]:
    """The next line and when it is due; an empty one when there is none."""
    stuck = f"{service.line}, {service.problem}" if service.problem else ""
    is_new = service.problem != service.printed_problem and service.problem not in service.line
    if service.printed not in (service.line, stuck) or (service.final and service.printed != service.line):
        return service.line, float("-inf") if service.final else service.printed_at + LINE_SECONDS
    if stuck and is_new:
        return stuck, service.printed_at + STUCK_SECONDS
    return "", 0.0
