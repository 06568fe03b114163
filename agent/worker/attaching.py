"""The network of one task: which kind it has, and the sandbox for it."""

import os

from agent.worker.sandbox import WITHOUT_NAMESPACE, Sandbox
from agent.worker.tools import Tools
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.errors import NotFound, Refused, Unavailable
from shoal.network_modes import HOST, NONE, mode_of


class NetworkEnded(Unavailable):
    """There is no network for the task to share: that is no fault of its own, and its successor gets another one."""


async def attach(tools: Tools, task: Task, template: TaskTemplate) -> Sandbox:
    """The sandbox, or the mark of a task without a network namespace that the node would make.

    Raises:
        NetworkEnded: the task whose network it shares does not run any more.
        Refused: a network of the task was removed; else as `Networks.attach` and `Runtime.join`.
    """
    if task.network_of:
        try:
            return await tools.runtime.join(task.network_of)
        except NotFound as error:
            raise NetworkEnded(f"stopped before it had started: {error}, whose network it shares") from error
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
