"""The way of a task through its states, with times."""

from cli.render.tasks import state_name, timestamp
from shoal.api.v1.control_pb2 import TaskView


def path_of(view: TaskView) -> list[dict[str, object]]:
    """Each step with its moment and the seconds since the task was made, the earliest first.

    What the agent saw is by the agent's clock, the rest by the manager's: between hosts whose clocks differ, steps may
    seem to go back in time.
    """
    task, status = view.task, view.status
    steps = [(task.created_at_ms, "created")]
    steps += [(step.at_ms, state_name(step.state)) for step in status.path]
    if task.stopped_at_ms:
        steps.append((task.stopped_at_ms, f"told to stop: {task.reason}" if task.reason else "told to stop"))
    return [
        {"at": timestamp(at_ms), "state": name, "after_seconds": round((at_ms - task.created_at_ms) / 1000, 3)}
        for at_ms, name in sorted(steps, key=lambda step: step[0])
    ]
