"""What `/healthz` and `/readyz` answer. Pure."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class HealthCheck:
    """One check of a daemon.

    Attributes:
        name: of a closed set: "etcd", "session".
        problem: one line without secrets; empty: the check has passed.
        is_vital: without it the process should be restarted; the others only say that it cannot serve at present.
    """

    name: str
    problem: str = ""
    is_vital: bool = False

    @property
    def passed(self) -> bool:
        return not self.problem


Checks = Callable[[], Awaitable[Sequence[HealthCheck]]]
"""All checks of a daemon, as of now; within a second or two."""


def is_healthy(checks: Sequence[HealthCheck]) -> bool:
    """Whether the process works; it may still have to wait for others."""
    return all(check.passed for check in checks if check.is_vital)


def is_ready(checks: Sequence[HealthCheck]) -> bool:
    """Whether it can do its work now."""
    return all(check.passed for check in checks)


def document(checks: Sequence[HealthCheck], *, passed: bool, details: bool) -> bytes:
    """The answer's body. Without `details` it is the status alone, which anybody may see."""
    status = {"status": "ok" if passed else "failed"}
    if not details:
        return json.dumps(status).encode() + b"\n"
    shown = [
        {"name": check.name, "status": "ok" if check.passed else "failed", "message": check.problem} for check in checks
    ]
    return json.dumps({**status, "checks": shown}, ensure_ascii=False).encode() + b"\n"
