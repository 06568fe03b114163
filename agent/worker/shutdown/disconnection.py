"""Stops tasks with `stop_on_disconnect` after the node has been disconnected for that long.

Managers consider such a node lost and start replacements on other nodes. Most tasks may run beside those; some must not
(a single writer, a single external address). A task that was stopped this way is not started again: only a manager
assigns new tasks.
"""

from shoal.api.v1.service_pb2 import ServiceRevision

CHECK_SECONDS = 1.0


def must_stop(revision: ServiceRevision | None, seconds: float) -> bool:
    """Whether a task of this revision must stop after so many seconds. Pure."""
    allowed_ms = revision.spec.task.stop_on_disconnect_ms if revision is not None else 0
    return bool(allowed_ms) and seconds * 1000 >= allowed_ms


def stop_reason(revision: ServiceRevision | None) -> str:
    """Why a task of this revision was stopped, one line for the user."""
    allowed_ms = revision.spec.task.stop_on_disconnect_ms if revision is not None else 0
    return f"stopped: its node had no connection to a manager for {allowed_ms / 1000:g} s"
