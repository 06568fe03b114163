"""What a session with a manager reports, and where assignments go."""

from collections.abc import AsyncGenerator
from typing import Protocol

from shoal.api.v1.dispatcher_pb2 import Assignments, ImageReport, OrphanReport, VolumeReport
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription
from shoal.api.v1.task_pb2 import TaskStatus


class AssignmentReceiver(Protocol):
    """Receives assignments from a session; `agent.worker.worker.Worker` is one."""

    def receive(self, assignments: Assignments) -> None: ...

    def set_connected(self, connected: bool) -> None: ...

    def stored(self, status: TaskStatus) -> None: ...

    def not_stored(self, task_id: str) -> None: ...

    def statuses(self) -> list[TaskStatus]: ...

    def applied_sequences(self) -> AsyncGenerator[int]: ...

    def orphan_reports(self) -> AsyncGenerator[OrphanReport]: ...


class VolumeReports(Protocol):
    """Reports of the host's volumes for managers; `agent.volumes.host_volumes.HostVolumes` is one."""

    def reports(self) -> AsyncGenerator[VolumeReport]: ...


class ImageReports(Protocol):
    """The host's images and managers; `agent.images.image_store.ImageStore` is one."""

    def reports(self) -> AsyncGenerator[ImageReport]: ...

    def set_cluster_repository(self, name: str) -> None: ...


class HostReports(Protocol):
    """Reports of the host for managers; `agent.host.host_reporter.HostReporter` is one."""

    def current(self) -> NodeDescription: ...

    def reports(self) -> AsyncGenerator[NodeDescription]: ...


class NetworkReports(Protocol):
    """Reports of the host's network for managers; `agent.network.condition_reporter.ConditionReporter` is one."""

    def reports(self) -> AsyncGenerator[NetworkCondition]: ...
