"""Requests to deploy a stack, as a client makes them of files: with the cluster's names."""

from collections.abc import Iterable, Sequence
from typing import Any

from shoal.api.v1.control_pb2 import DeployStackRequest, StackFile
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.networks.network_modes import SERVICE, cluster_networks


def stack_request(
    stack: str,
    services: Sequence[ServiceSpec] = (),
    networks: Sequence[NetworkSpec] = (),
    *,
    volumes: Sequence[VolumeSpec] = (),
    secrets: Sequence[StackFile] = (),
    configs: Sequence[StackFile] = (),
    **options: Any,
) -> DeployStackRequest:
    """The request with short names put in full; a spec that names its stack has the cluster's names already."""
    request = DeployStackRequest(
        stack=stack,
        services=services,
        networks=networks,
        volumes=volumes,
        secrets=secrets,
        configs=configs,
        **options,
    )
    return with_full_names(request)


def with_full_names(request: DeployStackRequest) -> DeployStackRequest:
    """The same request, changed."""
    files = [file.spec for file in (*request.secrets, *request.configs)]
    specs: list[NetworkSpec | VolumeSpec | FileSpec] = [*request.networks, *request.volumes, *files]
    for each in specs:
        each.name = each.name if each.stack else _full(request.stack, each.name)
        each.stack = request.stack
    own = {network.name for network in request.networks}
    names = {_full(request.stack, service.name) for service in request.services}
    for spec in request.services:
        _qualify(spec, request.stack, own, names)
    return request


def _qualify(spec: ServiceSpec, stack: str, networks: Iterable[str], services: Iterable[str]) -> None:
    has_full_names, spec.name, spec.stack = bool(spec.stack), _full(stack, spec.name), stack
    for attachment in cluster_networks(spec.task):
        full = _full(stack, attachment.network)
        if not has_full_names and attachment.network not in networks and full in networks:
            attachment.network = full
        if (short := spec.name.removeprefix(f"{stack}_")) not in attachment.aliases:
            attachment.aliases.append(short)
    for attachment in spec.task.networks:
        provider = _full(stack, attachment.network.removeprefix(SERVICE))
        if attachment.network.startswith(SERVICE) and provider in services:
            attachment.network = SERVICE + provider
    for affinity in spec.task.placement.affinities:
        if (full := _full(stack, affinity.service)) in services:
            affinity.service = full
    for dependency in spec.depends_on:
        dependency.service = _full(stack, dependency.service)


def _full(stack: str, name: str) -> str:
    return name if name.startswith(f"{stack}_") else f"{stack}_{name}"
