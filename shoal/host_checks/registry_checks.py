"""Whether the registry of the cluster's image repository responds to this host."""

import asyncio
from collections.abc import Awaitable, Callable

from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.errors import ShoalError
from shoal.host_checks.findings import failed, passed

REGISTRY_SECONDS = 4.0

CheckRegistry = Callable[[str], Awaitable[None]]
"""Whether the registry of a repository responds. Raises ShoalError."""


async def registry_checks(repository: str, check: CheckRegistry) -> list[DiagnosisCheck]:
    """One check; none where the cluster has no image repository."""
    if not repository:
        return []
    try:
        async with asyncio.timeout(REGISTRY_SECONDS):
            await check(repository)
    except (ShoalError, TimeoutError) as error:
        found = str(error) or f"no response from {repository} within {REGISTRY_SECONDS:g} s"
        return [failed("registry", found, "check the registry, and registries.toml of this host")]
    return [passed("registry", f"{repository} responds")]
