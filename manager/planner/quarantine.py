"""Quarantine: a service whose planning raises is left unchanged and reported, and all others are planned.

The cause is a bug of this program, or a record that another version wrote. If it ended the leader's term, it would stop
the whole cluster, since every next leader would fail as well.
"""

from collections.abc import Mapping

from manager.planner.draft import Draft
from shoal.api.v1.service_pb2 import ServiceStatus

Quarantined = Mapping[str, Exception]
"""Ids of services, and what their planning raised."""

RETRY_MS = 60_000
"""A quarantined service is planned again after so long, and at once when it changes."""

_MAX_LENGTH = 300


def write_quarantine(draft: Draft, quarantined: Quarantined) -> None:
    """Write into the services' statuses why they are left unchanged, and plan them again later."""
    for service_id, error in quarantined.items():
        draft.requeue_at(service_id, draft.now_ms + RETRY_MS)
        if service_id not in draft.view.services and service_id not in draft.view.containers:
            continue
        status = ServiceStatus(service_id=service_id)
        known = draft.view.service_status.get(service_id)
        if known is not None:
            status.CopyFrom(known)
        status.planning_error = describe(error)
        del status.problems[:]
        draft.write_status(status)


def describe(error: Exception) -> str:
    """One line for the user."""
    text = " ".join(str(error).split())[:_MAX_LENGTH]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"planning failed and the service was left unchanged ({what}); see the manager's log"
