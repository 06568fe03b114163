"""Starting a task's container of all that was made ready for it."""

from agent.worker.disk_room import Stopped, refusal_is_final
from agent.worker.request import container_request
from agent.worker.sandbox import Sandbox
from agent.worker.seams import Image, Report, Running
from agent.worker.supplies import Supplies
from agent.worker.tools import Tools
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task


async def start(
    tools: Tools,
    task: Task,
    revision: ServiceRevision,
    made_ready: tuple[Image, Sandbox, Supplies],
    *,
    report: Report,
    stopped: Stopped,
) -> Running:
    """Once it is its turn, and when the disk has room for it.

    Args:
        report: told that it starts, and what it waits for.
        stopped: ends when the task is not wanted any more, and so waits for room no longer.
    Raises:
        As `container_request` and `Runtime.start` do.
    """
    image, sandbox, supplies = made_ready
    is_told = False

    async def attempt() -> Running:
        nonlocal is_told
        async with tools.starts:
            if not is_told:
                report("")
            is_told = True
            request = container_request(
                task,
                revision,
                node=tools.node,
                image=image,
                sandbox=sandbox,
                supplies=supplies,
                host_resolv_conf=tools.host_resolv_conf(),
            )
            return await tools.runtime.start(request)

    is_final = refusal_is_final(revision.spec.task.restart)
    return await tools.room.attempt(attempt, report, is_final=is_final, stopped=stopped)
