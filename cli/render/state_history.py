"""The state history of a task, with times."""

from cli.render.task_rows import state_name, timestamp
from shoal.api.v1.control_pb2 import TaskView


def state_history(view: TaskView) -> list[dict[str, object]]:
    """Each step with its moment and the seconds since the task was made, the earliest first.

    What the agent saw is by the agent's clock, the rest by the manager's: between hosts whose clocks differ, steps may
    seem to go back in time.
    """
    task, status = view.task, view.status
    steps = [(task.created_at_ms, "created")]
    steps += [(step.at_ms, state_name(step.state)) for step in status.state_history]
    if task.stopped_at_ms:
        steps.append((task.stopped_at_ms, f"stop requested: {task.reason}" if task.reason else "stop requested"))
    return [
        {"at": timestamp(at_ms), "state": name, "after_seconds": round((at_ms - task.created_at_ms) / 1000, 3)}
        for at_ms, name in sorted(steps, key=lambda step: step[0])
    ]
