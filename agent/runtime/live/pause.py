"""Pauses a container's processes by the freezer, and lets them continue."""

from agent.runtime.kernel.cgroups import Cgroups
from shoal.errors import Refused, Unavailable


def set_paused(cgroups: Cgroups, task_id: str, paused: bool) -> None:
    """As `Runtime.set_paused`; blocks until all are frozen."""
    if cgroups.is_frozen(task_id) == paused:
        raise Refused(f"task {task_id} is {'already' if paused else 'not'} paused")
    if not paused:
        cgroups.thaw(task_id)
        return
    try:
        if not cgroups.freeze(task_id):
            raise Unavailable(f"task {task_id} could not be paused: a process is in a call that cannot be interrupted")
    except OSError as error:
        raise Unavailable(f"task {task_id} could not be paused: {error.strerror}") from error
