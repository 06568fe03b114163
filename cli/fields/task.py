"""A task as `docker inspect` has it, over all that Shoal says of it."""

from cli.fields.whole import whole
from cli.go_template.values import Record
from cli.render.task_path import path_of
from cli.render.tasks import state_name, timestamp
from shoal.api.v1.control_pb2 import TaskView
from shoal.task_states import observed, task_name


def task_fields(view: TaskView) -> Record:
    """The fields of a task."""
    task, status = view.task, view.status
    state = state_name(observed(task, status))
    container = {"PID": status.pid, "ExitCode": status.exit_code, "ContainerID": task.id}
    about = {
        "State": state,
        "Timestamp": timestamp(status.at_ms),
        "Err": status.message if state in ("failed", "rejected", "orphaned") else "",
        "ContainerStatus": Record(container),
    }
    attached = [
        Record({"Network": Record({"ID": each.network_id}), "Addresses": [each.address]}) for each in task.addresses
    ]
    return Record(
        whole(view)
        | whole(task)
        | {
            "Name": task_name(view.service_name, task),
            "ServiceName": view.service_name,
            "NodeHostname": view.node_hostname,
            "DesiredState": state_name(task.desired_state),
            "Status": Record(whole(status) | about),
            "NetworksAttachments": attached,
            "Spec": Record({"ContainerSpec": Record({"Image": view.image})}),
            "Path": [Record({"At": each["at"], "State": each["state"]}) for each in path_of(view)],
        }
    )
