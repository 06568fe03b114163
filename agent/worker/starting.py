"""Starting a task's container of all that was made ready for it."""

from agent.worker.request import container_request
from agent.worker.seams import Image, Running, Sandbox
from agent.worker.supplies import Supplies
from agent.worker.tools import Tools
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task


async def start(
    tools: Tools, task: Task, revision: ServiceRevision, image: Image, sandbox: Sandbox, supplies: Supplies
) -> Running:
    """Raises as `container_request` and `Runtime.start` do."""
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
