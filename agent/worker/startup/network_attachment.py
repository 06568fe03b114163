"""Attaches a task to its network."""

import os
from collections.abc import Mapping

from agent.worker.sandbox import NO_SANDBOX, NetworkOptions, Sandbox
from agent.worker.shared.runner_dependencies import RunnerDependencies
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.errors import NotFound, Refused, Unavailable
from shoal.networks.network_modes import BRIDGE, HOST, NONE, mode_of


class SharedNetworkGone(Unavailable):
    """The task whose network was to be shared has stopped; not a failure of this task."""


async def attach_network(deps: RunnerDependencies, task: Task, template: TaskTemplate) -> Sandbox:
    """The task's sandbox; `NO_SANDBOX` for a task on the node's own network, or without a network.

    Raises:
        SharedNetworkGone: the task whose network it shares is not running any more.
        Refused: a network of the task was removed, or a container's run is to join one that does not run; also as
            `Networks.attach` and `Runtime.join_network`.
    """
    if task.network_task_id:
        try:
            return await deps.runtime.join_network(task.network_task_id)
        except NotFound as error:
            if task.container_id:
                raise Refused(f"cannot join network of a non running container: {error}") from error
            raise SharedNetworkGone(f"stopped before it started: {error} (it shares that task's network)") from error
    if mode_of(template) in (HOST, NONE):
        return NO_SANDBOX
    return await deps.networks.attach(task, network_options(task, template, deps.assigned.networks))


async def change_network(deps: RunnerDependencies, task: Task, template: TaskTemplate) -> None:
    """Give a running container the addresses that its task has now, in its network and in its /etc/hosts.

    Raises:
        NotFound: it is not running. Refused: a network was removed. Unavailable: the kernel refused.
    """
    if task.network_task_id or mode_of(template) == HOST:
        return
    await deps.datapath.wait_applied()
    namespace = await deps.runtime.open_network(task.id)
    try:
        options = network_options(task, template, deps.assigned.networks)
        addresses = await deps.networks.change(task, options, namespace)
    finally:
        os.close(namespace)
    await deps.runtime.set_addresses(task.id, addresses)


def close_sandbox(sandbox: Sandbox | None) -> None:
    """Close a sandbox; the container's own processes keep its namespace alive."""
    if sandbox is not None and sandbox is not NO_SANDBOX:
        os.close(sandbox.netns_fd)


def network_options(task: Task, template: TaskTemplate, networks: Mapping[str, NetworkAssignment]) -> NetworkOptions:
    """How a task is attached. The routing mesh's network is none of its own, and gives no route out.

    Args:
        template: as it is assigned: of its networks it has the modes alone.
        networks: those of the cluster that are assigned to this node.
    Raises:
        Refused: a network of the task was removed.
    """
    found = [networks.get(address.network_id) for address in task.addresses]
    if None in found:
        raise Refused("a network of this task was removed")
    own = [network for network in found if network is not None and not network.mesh]
    if not task.container_id:
        is_internal = bool(own) and all(network.internal for network in own)
        return NetworkOptions(internal_only=is_internal, resolvers=template.container.dns.nameservers)
    modes = {attachment.network for attachment in template.networks}
    node_pool = BRIDGE in modes or not (own or NONE in modes)
    return NetworkOptions(
        internal_only=not node_pool and all(network.internal for network in own),
        resolvers=template.container.dns.nameservers,
        node_pool=node_pool,
        mac=template.container.mac_address,
        container_id=task.container_id,
        links=links_of(template),
        aliases={name: link.target for link in template.container.links if link.target for name in link.names},
    )


def links_of(template: TaskTemplate) -> dict[str, str]:
    """Ids of containers by the names by which this one knows them."""
    return {name: link.container_id for link in template.container.links if link.container_id for name in link.names}
