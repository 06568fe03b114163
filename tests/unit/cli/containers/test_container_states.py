"""Docker's texts for what a container does, of every state."""

import pytest

from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.service_pb2 import ServiceStatus
from shoal.api.v1.standalone_pb2 import Container, ContainerRestart
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.container_states import state_text, status_text

NOW = 10_000_000


def seen(state: int, *, desired: int = Container.RUNNING, code: int | None = None, **about: object) -> ContainerView:
    """A container whose first run is in a state."""
    view = ContainerView(container=Container(name="db", run=1, desired=Container.Desired.ValueType(desired)))
    view.task.CopyFrom(Task(id="t", job_run=1, desired_state=TaskState.RUNNING, state=TaskState.ASSIGNED))
    view.task_status.CopyFrom(
        TaskStatus(state=TaskState.ValueType(state), at_ms=NOW - 7_200_000, running_at_ms=NOW - 180_000, exit_code=code)
    )
    for name, value in about.items():
        setattr(view.task_status, name, value)
    return view


def with_policy(view: ContainerView) -> ContainerView:
    """The same with a restart policy."""
    view.container.definition.restart.condition = ContainerRestart.ALWAYS
    return view


@pytest.mark.parametrize(
    ("view", "word", "text"),
    [
        (seen(TaskState.RUNNING), "running", "Up 3 minutes"),
        (seen(TaskState.RUNNING, health=TaskStatus.HEALTHY), "running", "Up 3 minutes (healthy)"),
        (seen(TaskState.RUNNING, health=TaskStatus.STARTING), "running", "Up 3 minutes (health: starting)"),
        (seen(TaskState.RUNNING, health=TaskStatus.UNHEALTHY), "running", "Up 3 minutes (unhealthy)"),
        (seen(TaskState.RUNNING, paused=True), "paused", "Up 3 minutes (Paused)"),
        (seen(TaskState.COMPLETE, desired=Container.STOPPED, code=0), "exited", "Exited (0) 2 hours ago"),
        (seen(TaskState.FAILED, desired=Container.STOPPED, code=137), "exited", "Exited (137) 2 hours ago"),
        (with_policy(seen(TaskState.FAILED, code=1)), "restarting", "Restarting (1) 2 hours ago"),
        (seen(TaskState.FAILED, code=1), "exited", "Exited (1) 2 hours ago"),
    ],
)
def test_a_run(view: ContainerView, word: str, text: str) -> None:
    assert (state_text(view), status_text(view, NOW)) == (word, text)


def test_one_that_never_ran() -> None:
    view = ContainerView(container=Container(name="db", desired=Container.CREATED))
    assert status_text(view, NOW) == "Created"
    view.task.CopyFrom(Task(desired_state=TaskState.READY))
    view.task_status.state = TaskState.READY
    assert (state_text(view), status_text(view, NOW)) == ("created", "Created")


def test_one_that_goes() -> None:
    view = seen(TaskState.RUNNING)
    view.container.removing = True
    assert (state_text(view), status_text(view, NOW)) == ("removing", "Removal In Progress")


def test_one_that_has_ended_for_good_is_not_restarting() -> None:
    view = seen(TaskState.COMPLETE, code=0)
    view.status.CopyFrom(ServiceStatus(finished_run=1))
    assert state_text(view) == "exited"


def test_a_node_that_is_away_is_named_and_health_is_not_known() -> None:
    view = seen(TaskState.RUNNING, health=TaskStatus.HEALTHY)
    view.node_hostname, view.node_down_since_ms = "h2", NOW - 1000
    assert status_text(view, NOW) == "Up 3 minutes (node h2 is down)"
    view.container.removing = True
    assert status_text(view, NOW) == "Dead (node h2 is down)"
