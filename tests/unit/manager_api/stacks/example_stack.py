"""A stack of two services, and what a deployment says that it did."""

from collections.abc import Sequence

from shoal.api.v1.control_pb2 import (
    DeployStackRequest,
    DeployStackResponse,
)
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from tests.unit.manager_api.stack_requests import stack_request


def shop(
    *services: ServiceSpec, networks: Sequence[str] = ("front",), prune: bool = False, dry_run: bool = False
) -> DeployStackRequest:
    for service in services:
        for network in networks:
            service.task.networks.add(network=network)
    specs = [NetworkSpec(name=name) for name in networks]
    return stack_request("shop", services=services, networks=specs, prune=prune, dry_run=dry_run)


def actions(answer: DeployStackResponse) -> list[str]:
    return [f"{change.action} {change.kind} {change.name}" for change in answer.changes]
