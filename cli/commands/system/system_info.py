"""`shoal system info`, `shoal info`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from cli.client import Client
from cli.commands.common.common_options import examples, inspect_format_option, pass_client
from cli.commands.container.container_calls import containers
from cli.render.documents import print_documents
from shoal.api.v1.control_pb2 import (
    ClusterView,
    GetClusterRequest,
    ListManagersRequest,
    ListNodesRequest,
    ManagerView,
    NodeView,
)
from shoal.api.v1.engine_pb2 import ContainerView, ListContainersRequest, ListImagesRequest
from shoal.api.v1.engine_pb2_grpc import ImagesStub
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.container_states import state_text


@click.command("info", epilog=examples("shoal info", "shoal info --format '{{.ContainersRunning}} of {{.Containers}}'"))
@inspect_format_option
@pass_client
def info(client: Client, *, form: str) -> None:
    """Display cluster-wide information: containers, images, nodes and managers."""
    request = ListContainersRequest(all=True, include_tasks=True)
    found = client.call(containers(client).ListContainers, request).containers
    images = client.call(ImagesStub(client.channel).ListImages, ListImagesRequest()).images
    nodes = client.call(client.control.ListNodes, ListNodesRequest()).nodes
    managers = client.call(client.control.ListManagers, ListManagersRequest()).managers
    cluster = client.call(client.control.GetCluster, GetClusterRequest())
    about = {**_of_cluster(cluster), **of_containers(found), "images": len(images), **of_hosts(nodes, managers)}
    if form in ("table", "json"):
        print_documents([about], form=form)
        return
    from cli.go_template.template_values import FieldRecord
    from cli.render.format_template import document_record, print_template

    dockers = {
        "NCPU": about["nano_cpus"] // 10**9,
        "MemTotal": about["memory_bytes"],
        "ServerVersion": about["manager_version"],
        "Name": about["id"],
    }
    print_template(form, [FieldRecord(document_record(about) | dockers)])


def of_containers(found: Sequence[ContainerView]) -> dict[str, Any]:
    """How many do what."""
    states = Counter(map(state_text, found))
    running, paused = states["running"] + states["restarting"], states["paused"]
    return {
        "containers": len(found),
        "containers_running": running,
        "containers_paused": paused,
        "containers_stopped": len(found) - running - paused,
    }


def of_hosts(nodes: Sequence[NodeView], managers: Sequence[ManagerView]) -> dict[str, Any]:
    """Nodes and managers, and what the nodes that are ready have."""
    ready = [each for each in nodes if each.status.state == NodeStatus.READY]
    resources = [each.status.description.resources for each in ready]
    return {
        "nodes": len(nodes),
        "nodes_ready": len(ready),
        "managers": len(managers),
        "managers_ready": sum(each.alive for each in managers),
        "nano_cpus": sum(each.nano_cpus for each in resources),
        "memory_bytes": sum(each.memory_bytes for each in resources),
        "warnings": [f"{each.status.description.hostname}: {text}" for each in nodes for text in each.warnings],
    }


def _of_cluster(view: ClusterView) -> dict[str, Any]:
    return {
        "id": view.id,
        "manager_version": view.manager_version,
        "image_repository": view.image_repository,
    }
