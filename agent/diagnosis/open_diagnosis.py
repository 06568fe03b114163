"""Puts the checks of this host together."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agent.diagnosis.host_diagnosis import HostDiagnosis
from agent.host import inspection
from agent.network.well_known import VXLAN_DEVICE
from agent.runtime.host_requirements import overlay_error
from agent.settings import AgentSettings
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.identity.identity import Identity

_NO_IMAGE = "sha256:" + 64 * "0"


def host_diagnosis(
    settings: AgentSettings, describe: Callable[[], NodeDescription], identity: Callable[[], Identity]
) -> HostDiagnosis:
    """Of the host that these settings are for."""
    return HostDiagnosis(
        describe=describe,
        disks={"state": settings.state_directory, "run": settings.run_directory},
        identity=identity,
        resolv_conf=inspection.resolv_conf,
        overlay_error=overlay_error,
        has_tunnel=_has_tunnel,
        check_registry=partial(_check_registry, settings.registries_file),
    )


def _has_tunnel() -> bool:
    """In this process' network namespace, which the files in /sys need not be of."""
    try:
        return socket.if_nametoindex(VXLAN_DEVICE) > 0
    except OSError:
        return False


async def _check_registry(settings_file: Path, repository: str) -> None:
    """Raises ShoalError: the repository's registry does not let this node read."""
    from shoal.distribution.registries import read_registries
    from shoal.distribution.registry_client import Distribution  # loads httpx
    from shoal.images.image_repository import ImageRepository

    async with Distribution(read_registries(settings_file)) as distribution:
        await ImageRepository(distribution, repository).has(_NO_IMAGE)
