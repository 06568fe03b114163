"""What the model checks of placement that has changed since: at rest no task runs where it may not."""

from manager.planner.spec.constraints import parse
from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service
from shoal.api.v1.task_pb2 import Task
from shoal.networks.network_modes import network_provider
from tests.unit.planner.model.model_oracle import Oracle
from tests.unit.planner.model.model_volumes import homes


def check_placement(view: View, service: Service, tasks: list[Task]) -> None:
    """Each task is where its placement admits it, unless no node could have it, which is reported.

    Args:
        service: as it is in force; replicated.
        tasks: its tasks that run.
    """
    wrong = [task for task in tasks if _is_barred(view, service, task.node_id)]
    counts = {task.node_id: sum(other.node_id == task.node_id for other in tasks) for task in tasks}
    most = service.spec.task.placement.max_per_node
    wrong += [task for task in tasks if most and counts[task.node_id] > most]
    if not wrong:
        return
    wrong = [task for task in wrong if not any(homes(view, task, service.spec))]
    if not wrong:
        return  # their data keeps them, which is reported
    reported = " ".join(view.service_status[service.meta.id].problems)
    if network_provider(service.spec.task):  # it can be nowhere else
        assert reported, f"{[task.id for task in wrong]} are not told of"
        return
    oracle = Oracle(view, service)
    free = [node_id for node_id in view.nodes if not oracle.excludes(node_id)]
    assert not free, f"{[t.id for t in wrong]} could go to {free}: {reported}"
    assert reported, f"{[task.id for task in wrong]} are not told of"


def _is_barred(view: View, service: Service, node_id: str) -> bool:
    node, status = view.nodes[node_id], view.node_status[node_id]
    placement = service.spec.task.placement
    if not all(parse(text).matches(node, status) for text in placement.constraints):
        return True
    return bool(placement.platforms) and status.description.platform not in placement.platforms
