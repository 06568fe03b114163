"""Checks of a manager's own host."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
from shoal.host_checks.certificate_checks import certificate_check
from shoal.host_checks.disk_checks import check_disk
from shoal.host_checks.findings import passed
from shoal.host_checks.port_checks import check_ports, require_few
from shoal.host_checks.registry_checks import CheckRegistry, registry_checks
from shoal.identity.identity import Identity

_RENEWAL = 'check the manager\'s log for "renew"'
_CA = "the cluster's CA lasts 20 years and cannot be renewed: create a new cluster, and move the services"


class ManagerHost:
    """This manager's own.

    Args:
        check_registry: whether the registry of an image repository responds; raises ShoalError.
    """

    def __init__(
        self,
        *,
        state_directory: Path,
        identity: Callable[[], Identity],
        check_registry: CheckRegistry,
        version: str,
    ) -> None:
        self._state_directory = state_directory
        self._identity = identity
        self._check_registry = check_registry
        self._version = version

    async def diagnose(self, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        """All checks at once. Raises InvalidInput: too many targets."""
        require_few(request.targets)
        disks, registry, ports = await asyncio.gather(
            asyncio.to_thread(check_disk, "state", self._state_directory),
            registry_checks(request.repository, self._check_registry),
            check_ports(request.targets),
        )
        identity, now = self._identity(), datetime.now(UTC)
        certificates = [
            certificate_check("manager", identity.certificate, now, _RENEWAL),
            certificate_check("CA", identity.ca, now, _CA),
        ]
        checks = [passed("version", self._version), *disks, *certificates, *registry, *ports]
        return DiagnoseHostResponse(checks=checks, now_ms=time.time_ns() // 1_000_000)
