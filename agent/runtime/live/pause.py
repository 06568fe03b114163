"""Pauses a container's processes by the freezer, and lets them continue."""

from pathlib import Path

from agent.runtime.kernel.cgroups import Cgroups
from shoal.errors import Refused, Unavailable

_MARK = "paused-by-agent"
"""A file in the bundle of a container that only this process of the agent pauses: the next one lets it continue."""


def set_paused(cgroups: Cgroups, bundle: Path, paused: bool, *, briefly: bool) -> None:
    """As `Runtime.set_paused`, of the container with this bundle; blocks until all processes are frozen."""
    task_id = bundle.name
    if cgroups.is_frozen(task_id) == paused:
        raise Refused(f"task {task_id} is {'already' if paused else 'not'} paused")
    if paused:
        _freeze(cgroups, bundle, briefly=briefly)
    else:
        cgroups.thaw(task_id)
        bundle.joinpath(_MARK).unlink(missing_ok=True)


def resume_briefly_paused(cgroups: Cgroups, bundle: Path) -> None:
    """At the start of the agent: let a container continue that its former process had paused for itself."""
    if bundle.joinpath(_MARK).exists():
        cgroups.thaw(bundle.name)
        bundle.joinpath(_MARK).unlink()


def _freeze(cgroups: Cgroups, bundle: Path, *, briefly: bool) -> None:
    task_id = bundle.name
    try:
        if briefly:
            bundle.joinpath(_MARK).touch()
        if not cgroups.freeze(task_id):
            raise Unavailable(f"task {task_id} could not be paused: a process is in a call that cannot be interrupted")
    except OSError as error:
        raise Unavailable(f"task {task_id} could not be paused: {error.strerror}") from error
