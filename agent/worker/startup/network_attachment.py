"""Attaches a task to its network."""

import os

from agent.worker.sandbox import NO_SANDBOX, Sandbox
from agent.worker.shared.runner_dependencies import RunnerDependencies
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.errors import NotFound, Refused, Unavailable
from shoal.networks.network_modes import HOST, NONE, mode_of


class SharedNetworkGone(Unavailable):
    """The task whose network was to be shared has stopped; not a failure of this task."""


async def attach_network(deps: RunnerDependencies, task: Task, template: TaskTemplate) -> Sandbox:
    """The task's sandbox; `NO_SANDBOX` for a task on the node's own network, or without a network.

    Raises:
        SharedNetworkGone: the task whose network it shares is not running any more.
        Refused: a network of the task was removed; also as `Networks.attach` and `Runtime.join_network`.
    """
    if task.network_task_id:
        try:
            return await deps.runtime.join_network(task.network_task_id)
        except NotFound as error:
            raise SharedNetworkGone(f"stopped before it started: {error} (it shares that task's network)") from error
    if mode_of(template) in (HOST, NONE):
        return NO_SANDBOX
    return await deps.networks.attach(task, _internal_only(deps, task), template.container.dns.nameservers)


def close_sandbox(sandbox: Sandbox | None) -> None:
    """Close a sandbox; the container's own processes keep its namespace alive."""
    if sandbox is not None and sandbox is not NO_SANDBOX:
        os.close(sandbox.netns_fd)


def _internal_only(deps: RunnerDependencies, task: Task) -> bool:
    """Whether all networks of the task are internal; the routing mesh's network gives no route out either."""
    networks = [deps.assigned.networks.get(address.network_id) for address in task.addresses]
    if None in networks:
        raise Refused("a network of this task was removed")
    own = [network for network in networks if network is not None and not network.mesh]
    return bool(own) and all(network.internal for network in own)
