"""Services whose planning raises: they are left as they are and say so, while all others are planned.

It is a fault of this program, or of a record that another version wrote. Ending the term over it would stop the whole
cluster, and so would every leader after this one.
"""

from collections.abc import Mapping

from manager.planner.draft import Draft
from shoal.api.v1.service_pb2 import ServiceStatus

Aside = Mapping[str, Exception]
"""Ids of services, and what their planning raised."""

RETRY_MS = 60_000
"""Planned again after so long, and at once when the service itself changes."""

_LONGEST = 300


def tell(draft: Draft, aside: Aside) -> None:
    """Write into the services' statuses why they are left as they are, and look at them again in a while."""
    for service_id, error in aside.items():
        draft.wake(service_id, draft.now_ms + RETRY_MS)
        if service_id not in draft.view.services:
            continue
        status = ServiceStatus(service_id=service_id)
        known = draft.view.service_status.get(service_id)
        if known is not None:
            status.CopyFrom(known)
        status.fault = described(error)
        del status.problems[:]
        draft.tell(status)


def described(error: Exception) -> str:
    """One line for the user."""
    text = " ".join(str(error).split())[:_LONGEST]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"the planner fails at this service and leaves it as it is ({what}); the manager's log has more"
