"""Calls of the control API that make and change services."""

from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    UpdateServiceRequest,
)
from shoal.api.v1.service_pb2 import Service, ServiceSpec
from tests.unit.manager_api.control_rig import ADMIN, Api


async def create(api: Api, spec: ServiceSpec) -> Service:
    return (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service


async def update(api: Api, service: Service, spec: ServiceSpec) -> Service:
    request = UpdateServiceRequest(service=service.meta.id, version=service.meta.version, spec=spec)
    return (await api.services.update(request, ADMIN)).service


def changed(service: Service) -> ServiceSpec:
    spec = ServiceSpec()
    spec.CopyFrom(service.spec)
    return spec
