"""What is said of services that converge where there is no terminal: a line now and then, so that a log stays short."""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal.api.v1.control_pb2 import ServiceProgress

LINE_SECONDS = 1.0
"""Between two lines on the same service."""
STUCK_SECONDS = 5.0
"""Without a change, after which it is said what a service waits for, once for each thing that it is."""


@dataclass
class _Service:
    """What is known of one, and what was said of it last."""

    line: str
    problem: str
    final: bool  # all run: said at once
    said: str = ""
    said_problem: str = ""
    said_at: float = float("-inf")


class Lines:
    """Decides what is due. Times are seconds, from any start. Pure."""

    def __init__(self) -> None:
        self._services: dict[str, _Service] = {}

    def take(self, progress: ServiceProgress, line: str) -> None:
        """The newest progress of a service, and how it is said."""
        problem = "" if progress.converged or not progress.problems else progress.problems[0]
        final = progress.converged or bool(progress.verify_left_ms)
        known = self._services.setdefault(progress.service_id, _Service(line, problem, final))
        known.line, known.problem, known.final = line, problem, final

    def due(self, now: float) -> Sequence[str]:
        """The lines to be said now."""
        found = []
        for service in self._services.values():
            line, at = _next(service)
            if line and at <= now:
                service.said, service.said_at = line, now
                if line != service.line:
                    service.said_problem = service.problem
                found.append(line)
        return found

    def next_at(self) -> float | None:
        """When the next line is due, if nothing changes until then; None when none is."""
        return min((at for line, at in map(_next, self._services.values()) if line), default=None)


def _next(service: _Service) -> tuple[str, float]:
    """The next line and when it is due; an empty one when there is none."""
    stuck = f"{service.line}, {service.problem}" if service.problem else ""
    is_news = service.problem != service.said_problem and service.problem not in service.line
    if service.said not in (service.line, stuck) or (service.final and service.said != service.line):
        return service.line, float("-inf") if service.final else service.said_at + LINE_SECONDS
    if stuck and is_news:
        return stuck, service.said_at + STUCK_SECONDS
    return "", 0.0
