"""Checks this host for `shoal cluster doctor`."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from agent.diagnosis.kernel_checks import (
    kernel_checks,
    limits_check,
    nftables_check,
    read_controllers,
    read_namespaces,
)
from agent.diagnosis.resolver_checks import check_resolvers
from agent.network.nftables.libnftables import Nftables
from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse, DiagnosisCheck
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.errors import Busy, Unavailable
from shoal.host_checks.certificate_checks import certificate_check
from shoal.host_checks.disk_checks import check_disk
from shoal.host_checks.port_checks import check_ports, require_few
from shoal.host_checks.registry_checks import CheckRegistry, registry_checks
from shoal.identity.identity import Identity

_BUSY_SECONDS = 2.0
_RENEWAL = 'check the agent\'s log for "renew", and that it reaches a manager'


class HostDiagnosis:
    """One diagnosis at a time.

    Args:
        describe: this node's description, as managers have it.
        disks: directories on the file systems that fill, by a short name.
        overlay_error: of fsopen(2) for overlayfs; 0: the kernel has it.
        has_tunnel: whether the VXLAN device of overlay networks exists.
        check_registry: of the cluster's image repository.
    """

    def __init__(
        self,
        *,
        describe: Callable[[], NodeDescription],
        disks: Mapping[str, Path],
        identity: Callable[[], Identity],
        resolv_conf: Callable[[], str],
        overlay_error: Callable[[], int],
        has_tunnel: Callable[[], bool],
        check_registry: CheckRegistry,
    ) -> None:
        self._describe = describe
        self._disks = disks
        self._identity = identity
        self._resolv_conf = resolv_conf
        self._overlay_error = overlay_error
        self._has_tunnel = has_tunnel
        self._check_registry = check_registry
        self._is_running = False

    async def diagnose(self, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        """All checks at once.

        Raises:
            InvalidInput: too many targets. Busy: another diagnosis is running.
        """
        require_few(request.targets)
        if self._is_running:
            raise Busy("another diagnosis is running on this node", retry_after_seconds=_BUSY_SECONDS)
        self._is_running = True
        try:
            host, resolvers, registry, ports = await asyncio.gather(
                asyncio.to_thread(self._host_checks),
                check_resolvers(self._resolv_conf()),
                registry_checks(request.repository, self._check_registry),
                check_ports(request.targets),
            )
        finally:
            self._is_running = False
        checks = [*host, resolvers, *registry, *ports]
        return DiagnoseHostResponse(checks=checks, now_ms=time.time_ns() // 1_000_000)

    def _host_checks(self) -> list[DiagnosisCheck]:
        about, identity, now = self._describe(), self._identity(), datetime.now(UTC)
        checks = kernel_checks(
            release=about.kernel,
            cgroup_version=about.cgroup_version,
            controllers=read_controllers(),
            namespaces=read_namespaces(),
            overlay_error=self._overlay_error(),
            has_tunnel=self._has_tunnel(),
            features=about.features,
        )
        checks += [nftables_check(works=not (problem := _nft_problem()), problem=problem)]
        checks += [limits_check(int(Path("/proc/sys/fs/inotify/max_user_instances").read_text()))]
        for name, path in self._disks.items():
            checks += check_disk(name, path)
        checks.append(certificate_check("node", identity.certificate, now, _RENEWAL))
        return checks


def _nft_problem() -> str:
    """Why rules cannot be read; empty: they can."""
    try:
        nftables = Nftables()
        try:
            nftables.list_chains()
        finally:
            nftables.close()
    except Unavailable as error:
        return str(error)
    return ""
