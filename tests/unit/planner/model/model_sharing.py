"""What the model checks of tasks in other tasks' network namespaces: they are where those are, and bound to them."""

from collections.abc import Mapping

from manager.store.tables import View
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.api.v1.task_pb2 import Task, TaskState
from shoal.networks.network_modes import network_provider
from shoal.task_states import is_live, observed_state, should_run
from tests.unit.planner.model.model_counts import COUNTED


def share_network(spec: ServiceSpec, provider: str) -> None:
    """Make the service share the provider's networks; without what the control API refuses then."""
    spec.ClearField("endpoint")
    del spec.task.networks[:]
    spec.task.networks.append(NetworkAttachment(network=f"service:{provider}"))
    for field in ("spread", "preferences", "affinities", "max_per_node"):
        spec.task.placement.ClearField(field)


def check_shared(view: View, before: Mapping[str, Task]) -> None:
    """A task that lives is on the node of the task whose network it shares, in the same slot. A new one shares that of
    a task that runs, if its template says so, and only then; one that is to run is so with a task that was to run.

    Args:
        before: tasks before the pass.
    """
    for task in view.tasks.values():
        severed = task.network_task_id and task.reason.endswith(", whose network it shared, has stopped")
        COUNTED["tasks stopped with their network"] += bool(severed and before[task.id].reason != task.reason)
        if not task.node_id or not is_live(task, view.task_status.get(task.id)):
            continue
        record = view.revision_of(task.service_id, task.revision)
        assert record is not None
        assert bool(task.network_task_id) == bool(network_provider(record.spec.task)), (
            f"{task.id} has the wrong kind of network"
        )
        provider = view.tasks.get(task.network_task_id) or before.get(task.network_task_id)
        if not task.network_task_id or provider is None:
            assert not (task.network_task_id and should_run(task)), (
                f"{task.id} is to run without the task of its network"
            )
            continue
        assert provider.node_id == task.node_id, f"{task.id} is away from {provider.id}"
        assert provider.slot == task.slot, f"{task.id} shares the network of another slot"
        if task.id not in before or not before[task.id].node_id:
            COUNTED["shared networks"] += 1
            assert observed_state(provider, view.task_status.get(provider.id)) == TaskState.RUNNING, (
                f"{task.id} came first"
            )


def check_bound(view: View, before: Mapping[str, Task]) -> None:
    """After a whole pass, what is to run shares the network of a task that is to run and has not ended; one that this
    very pass has stopped may come to it in the next."""
    for task in filter(should_run, view.tasks.values()):
        if not task.network_task_id or not is_live(task, view.task_status.get(task.id)):
            continue
        was = before.get(task.network_task_id)
        assert was is not None and should_run(was), f"{task.id} is to run, and {task.network_task_id} is not"
        assert is_live(was, view.task_status.get(was.id)), f"{task.id} is to run, and {was.id} has ended"


def running_provider(view: View, service: ServiceSpec, key: int | str) -> Task | None:
    """The task that runs in the provider's slot, once everything is at rest."""
    other = view.service_named(network_provider(service.task))
    tasks = view.tasks_of(other.meta.id).values() if other is not None else ()
    running = [task for task in tasks if should_run(task) and (task.slot or task.node_id) == key]
    running = [task for task in running if observed_state(task, view.task_status.get(task.id)) == TaskState.RUNNING]
    assert len(running) <= 1
    return next(iter(running), None)
