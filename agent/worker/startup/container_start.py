"""Starts a task's container from its prepared inputs."""

from agent.worker.container_runtime import Running
from agent.worker.interfaces import Image, Report
from agent.worker.sandbox import Sandbox
from agent.worker.shared.disk_space_waiter import WaitCancelled, rejection_is_final
from agent.worker.shared.runner_dependencies import RunnerDependencies
from agent.worker.startup.container_request import container_request
from agent.worker.startup.task_inputs import TaskInputs
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task


async def start_container(
    deps: RunnerDependencies,
    task: Task,
    revision: ServiceRevision,
    prepared: tuple[Image, Sandbox, TaskInputs],
    *,
    report: Report,
    cancelled: WaitCancelled,
) -> Running:
    """Start the container, once a start slot is free and the disk has space.

    Args:
        report: takes the start, and what it waits for.
        cancelled: returns when the task is not needed any more; then disk space is not waited for.
    Raises:
        As `container_request` and `Runtime.start` do.
    """
    image, sandbox, inputs = prepared
    reported = False

    async def attempt() -> Running:
        nonlocal reported
        async with deps.start_slots:
            if not reported:
                report("")
            reported = True
            request = container_request(
                task,
                revision,
                node=deps.node,
                image=image,
                sandbox=sandbox,
                inputs=inputs,
                host_resolv_conf=deps.host_resolv_conf(),
                pool_address=deps.networks.pool_address,
            )
            return await deps.runtime.start(request)

    is_final = rejection_is_final(revision.spec.task.restart)
    return await deps.disk_waiter.run(attempt, report, is_final=is_final, cancelled=cancelled)
