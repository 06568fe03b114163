"""Rules for requests to deploy a stack, before any record is read."""

from collections import Counter
from collections.abc import Sequence

from manager.validation import bounds
from manager.validation.text_rules import check_name
from shoal.api.v1.control_pb2 import DeployStackRequest
from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.errors import Fault

Specs = Sequence[ServiceSpec] | Sequence[NetworkSpec] | Sequence[VolumeSpec] | Sequence[FileSpec]


def stack_request_faults(request: DeployStackRequest) -> list[Fault]:
    """A valid name, at least one object, each of this stack, and no name twice. Names are taken as they are sent."""
    faults = list(check_name("stack", request.stack))
    sections: dict[str, Specs] = {
        "services": request.services,
        "networks": request.networks,
        "secrets": [each.spec for each in request.secrets],
        "configs": [each.spec for each in request.configs],
        "volumes": request.volumes,
    }
    if not any(sections.values()):
        faults.append(
            Fault("services", "the stack is empty: define at least one service, network, volume, secret or config")
        )
    for section, specs in sections.items():
        faults += _section_faults(section, specs, request.stack)
    return faults


def _section_faults(section: str, specs: Specs, stack: str) -> list[Fault]:
    faults = []
    if section in ("services", "networks") and len(specs) > bounds.SERVICES_IN_STACK:
        faults.append(Fault(section, f"has {len(specs)} entries; the maximum is {bounds.SERVICES_IN_STACK}"))
    counted = Counter(each.name for each in specs)
    faults += [Fault(f"{section}.{name}", "is listed twice") for name, number in counted.items() if number > 1]
    return faults + [
        Fault(f"{section}.{each.name}.stack", f'must be "{stack}"') for each in specs if each.stack != stack
    ]
