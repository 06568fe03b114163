"""What a test that failed halfway did to the hosts, their daemons and their nodes is undone."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from cli.client import Client
from cli.playground import daemons, virtual_network
from cli.playground.layout import REGISTRY_PORT, PlaygroundHost
from cli.playground.lifecycle import Playground
from shoal.api.v1.control_pb2 import (
    GetClusterRequest,
    ListNodesRequest,
    NodeView,
    UpdateClusterRequest,
    UpdateNodeRequest,
)
from shoal.api.v1.node_pb2 import NodeSpec
from tests.integration.cluster.harness import Cluster


def connect_hosts(cluster: Cluster) -> None:
    """Every host is on the network, and every daemon runs."""
    for host in cluster.layout.all_hosts():
        virtual_network.set_link_state(cluster.layout, host, connected=True)
    playground, started = cluster.playground, set[str]()
    opened = {host: connections(host) for host in cluster.layout.all_hosts()}
    for name, start in _daemons(playground):
        pid = playground.pid(name)
        if pid and daemons.is_running(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        else:
            started.add(name)
            start()
    for host, before in opened.items():
        if started & {"manager", host.name}:  # until it is DOWN, a node looks as if it were connected
            cluster.until(partial(_connected_since, host, before), f"{host.name} to connect")


def restore_nodes(cluster: Cluster, client: Client) -> None:
    """All nodes are ready, take tasks, and have the names and labels with which the playground started; so do the
    cluster's settings.

    Raises:
        Timeout: a node does not come back.
    """
    hosts = {str(host.address): host for host in cluster.layout.all_hosts()}
    cluster.playground.wait_for_nodes(len(hosts))
    for view in client.call(client.control.ListNodes, ListNodesRequest()).nodes:
        desired = _initial_spec(view, hosts[view.node.spec.identity.address])
        if desired != view.node.spec:
            node = view.node.meta
            client.call(client.control.UpdateNode, UpdateNodeRequest(node=node.id, version=node.version, spec=desired))
    settings = client.call(client.control.GetCluster, GetClusterRequest())
    repository = f"registry:{REGISTRY_PORT}"
    if settings.swarm_hidden or settings.image_repository != repository:
        initial = UpdateClusterRequest(swarm_hidden=False, image_repository=repository)
        client.call(client.control.UpdateCluster, initial)


def _initial_spec(view: NodeView, host: PlaygroundHost) -> NodeSpec:
    spec = NodeSpec(availability=NodeSpec.ACTIVE, identity=view.node.spec.identity)
    spec.identity.hostname = host.name
    spec.identity.ClearField("engine_labels")
    return spec


def _connected_since(host: PlaygroundHost, before: int) -> bool:
    return connections(host) > before


def connections(host: PlaygroundHost) -> int:
    """How many sessions with managers its agents have opened, by their log."""
    return host.log.read_text(errors="replace").count("connected to manager ")


def _daemons(playground: Playground) -> Iterator[tuple[str, Callable[[], None]]]:
    """Names of the daemons that every playground has, in the order in which they start."""
    yield "registry", playground.start_registry
    yield "manager", playground.start_manager
    for host in playground.layout.all_hosts():
        yield host.name, partial(playground.start_agent, host)
