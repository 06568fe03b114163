"""Services and tasks as Docker's clients see them while they change."""

import pytest

from engine.translate.swarm.services import service_document, task_document
from shoal.api.v1.control_pb2 import ServiceView, TaskView
from shoal.api.v1.service_pb2 import JobRun, UpdateStatus

IMAGE = "docker.io/library/web:2@sha256:" + "a" * 64


def view_of_service() -> ServiceView:
    view = ServiceView()
    view.service.meta.id = "s1"
    view.service.spec.name = "web"
    view.service.spec.task.container.image = IMAGE
    return view


@pytest.mark.parametrize(
    ("state", "reverting", "text"),
    [
        (UpdateStatus.UPDATING, False, "updating"),
        (UpdateStatus.UPDATING, True, "rollback_started"),
        (UpdateStatus.COMPLETED, True, "rollback_completed"),
        (UpdateStatus.PAUSED, True, "rollback_paused"),
        (UpdateStatus.ROLLED_BACK, False, "rollback_completed"),
    ],
)
def test_a_rollback_that_was_asked_for_is_one(state: UpdateStatus.State.ValueType, reverting: bool, text: str) -> None:
    view = view_of_service()
    view.status.update.state, view.status.update.reverting = state, reverting
    assert service_document(view, {}, defaults=False)["UpdateStatus"]["State"] == text


def test_a_task_has_the_image_of_its_own_revision() -> None:
    old = TaskView(service_name="web", image="web:1")
    new = TaskView(service_name="web", image="web:2")
    images = [task_document(each, view_of_service(), {})["Spec"]["ContainerSpec"]["Image"] for each in (old, new)]
    assert images == ["web:1", IMAGE.removeprefix("docker.io/library/")]


def test_tasks_of_a_job_count_from_nought_in_its_run() -> None:
    view = view_of_service()
    view.service.spec.replicated_job.total_completions = 2
    view.status.runs.append(JobRun(number=3))
    assert service_document(view, {}, defaults=False)["JobStatus"]["JobIteration"] == {"Index": 3}
    task = TaskView(service_name="web")
    task.task.slot, task.task.job_run = 2, 3
    document = task_document(task, view, {})
    assert (document["Slot"], document["JobIteration"]) == (1, {"Index": 3})
    task.task.slot = 1
    assert "Slot" not in task_document(task, view, {})
