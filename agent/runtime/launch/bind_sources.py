"""Sources of a container's bind mounts, which have to exist on the host."""

from pathlib import Path

from agent.worker.container_runtime import ContainerRequest
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.errors import Fault, InvalidInput


def check_bind_sources(request: ContainerRequest, hostname: str) -> None:
    """Create those that are to be created. Raises InvalidInput if others do not exist on the host of this name."""
    for mount in request.spec.mounts:
        if mount.type == Mount.BIND and mount.create_source and not Path(mount.source).exists():
            Path(mount.source).mkdir(parents=True, exist_ok=True)
    faults = [
        Fault("", f"mount source {mount.source} does not exist on {hostname}")
        for mount in request.spec.mounts
        if mount.type == Mount.BIND and not Path(mount.source).exists()
    ]
    if faults:
        raise InvalidInput(faults)


def file_mounts(spec: ContainerSpec) -> frozenset[str]:
    """Sources of read-only mounts that are no directories."""
    binds = (mount.source for mount in spec.mounts if mount.read_only and mount.type == Mount.BIND)
    return frozenset(source for source in binds if not Path(source).is_dir())
