"""The network of one task: which kind it has, and the sandbox for it."""

import os

from agent.worker.seams import WITHOUT_NAMESPACE, Sandbox
from agent.worker.tools import Tools
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Refused
from shoal.network_modes import HOST, NONE, mode_of


async def attach(tools: Tools, task: Task, template: TaskTemplate) -> Sandbox:
    """The sandbox, or the mark of a task without a network namespace that the node would make.

    Raises:
        Refused: a network of the task was removed; else as `Networks.attach`.
    """
    if mode_of(template) in (HOST, NONE):
        return WITHOUT_NAMESPACE
    return await tools.networks.attach(task, _internal_only(tools, task), template.container.dns.nameservers)


def close(sandbox: Sandbox | None) -> None:
    """Let go of a sandbox; the container's own processes keep its namespace alive."""
    if sandbox is not None and sandbox is not WITHOUT_NAMESPACE:
        os.close(sandbox.netns_fd)


def _internal_only(tools: Tools, task: Task) -> bool:
    """Whether every network of the task is without a route out; that of the routing mesh gives none to the others."""
    networks = [tools.network(address.network_id) for address in task.addresses]
    if None in networks:
        raise Refused("a network of this task was removed")
    own = [network for network in networks if network is not None and not network.mesh]
    return bool(own) and all(network.internal for network in own)
