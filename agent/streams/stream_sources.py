"""What the calls of `AgentStreams` are answered from: interfaces of the parts of an agent."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Protocol

from agent.runtime.kernel.cgroups import ContainerStats
from agent.runtime.logs.log_cursor import LogLines
from shoal.api.v1.diagnosis_pb2 import DiagnoseHostRequest, DiagnoseHostResponse
from shoal.api.v1.streams_pb2 import (
    CallDriverRequest,
    CallDriverResponse,
    DropVolumeCopyRequest,
    FetchVolumeProgress,
    FetchVolumeRequest,
    OfferVolumeRequest,
    OfferVolumeResponse,
    ProbeRequest,
    ProbeResponse,
    ReadVolumeSizesRequest,
    ReadVolumeSizesResponse,
    UsageCounters,
)


class LogSource(Protocol):
    """Reads logs; `agent.runtime.oci_runtime.OciRuntime` is one."""

    def logs(
        self,
        task_id: str,
        *,
        follow: bool,
        tail: int | None,
        since_ns: int,
        until_ns: int,
        chunk_bytes: int,
        announce: bool,
    ) -> AsyncGenerator[LogLines]:
        """Raises NotFound if the host has no log of the task."""
        ...


class PathProber(Protocol):
    """Measures paths; `agent.network.probing.network_prober.NetworkProber` is one."""

    async def probe(self, request: ProbeRequest) -> ProbeResponse:
        """Raises InvalidInput if there are too many addresses, or invalid ones."""
        ...


class HostChecks(Protocol):
    """Checks this host; `agent.diagnosis.host_diagnosis.HostDiagnosis` is one."""

    async def diagnose(self, request: DiagnoseHostRequest) -> DiagnoseHostResponse:
        """Raises InvalidInput: too many targets. Busy: another diagnosis is running."""
        ...


class StatsSource(Protocol):
    """Reads usage; `agent.runtime.oci_runtime.OciRuntime` is one."""

    async def stats(self, task_ids: Iterable[str]) -> Mapping[str, ContainerStats]:
        """Current usage of these containers; unknown ones are omitted."""
        ...

    async def counters(self, task_ids: Iterable[str]) -> Mapping[str, UsageCounters]:
        """What the kernel has counted of these containers; those that do not run are omitted."""
        ...


class DriverController(Protocol):
    """Calls CSI controllers; `agent.csi.controller_service.ControllerService` is one."""

    async def call(self, request: CallDriverRequest) -> CallDriverResponse:
        """Raises Unavailable if this node has no such driver, InvalidInput for an unknown call."""
        ...


class VolumeSizeReader(Protocol):
    """Measures volumes; `agent.volumes.local_volume_sizes.LocalVolumeSizes` is one."""

    async def read(self, request: ReadVolumeSizesRequest) -> ReadVolumeSizesResponse:
        """Raises InvalidInput if there are too many volumes."""
        ...


class VolumeSender(Protocol):
    """Source side of volume moves; `agent.volume_moves.move_source.MoveSource` is one."""

    async def offer(self, request: OfferVolumeRequest) -> OfferVolumeResponse:
        """Raises NotFound, Unavailable, Refused."""
        ...


class VolumeReceiver(Protocol):
    """Target side of volume moves; `agent.volume_moves.move_target.MoveTarget` is one."""

    def fetch(self, request: FetchVolumeRequest) -> AsyncGenerator[FetchVolumeProgress]:
        """Raises Exhausted, Refused, InvalidInput, Unavailable."""
        ...

    async def delete_copy(self, request: DropVolumeCopyRequest) -> None:
        """Raises Unavailable."""
        ...
