"""A task as `docker inspect` has it, over all that Shoal says of it."""

from cli.fields.message_fields import all_fields
from cli.go_template.template_values import FieldRecord
from cli.render.state_history import state_history
from cli.render.task_rows import state_name, timestamp
from shoal.api.v1.control_pb2 import TaskView
from shoal.task_states import observed_state, task_name


def task_fields(view: TaskView) -> FieldRecord:
    """The fields of a task."""
    task, status = view.task, view.status
    state = state_name(observed_state(task, status))
    container = {"PID": status.pid, "ExitCode": status.exit_code, "ContainerID": task.id}
    about = {
        "State": state,
        "Timestamp": timestamp(status.at_ms),
        "Err": status.message if state in ("failed", "rejected", "orphaned") else "",
        "ContainerStatus": FieldRecord(container),
    }
    attached = [
        FieldRecord({"Network": FieldRecord({"ID": each.network_id}), "Addresses": [each.address]})
        for each in task.addresses
    ]
    return FieldRecord(
        all_fields(view)
        | all_fields(task)
        | {
            "Name": task_name(view.service_name, task),
            "ServiceName": view.service_name,
            "NodeHostname": view.node_hostname,
            "DesiredState": state_name(task.desired_state),
            "Status": FieldRecord(all_fields(status) | about),
            "NetworksAttachments": attached,
            "Spec": FieldRecord({"ContainerSpec": FieldRecord({"Image": view.image})}),
            "Path": [FieldRecord({"At": each["at"], "State": each["state"]}) for each in state_history(view)],
        }
    )
