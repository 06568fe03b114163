"""Dependencies that all task runners share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.health.probes import HealthProber
from agent.worker.interfaces import ContentSource, Networks, Runtime, Volumes
from agent.worker.shared.datapath_applier import DatapathApplier
from agent.worker.shared.disk_space_waiter import DiskSpaceWaiter
from agent.worker.shared.image_waiter import ImageWaiter
from agent.worker.shared.journal_writer import JournalWriter
from agent.worker.shared.network_sharers import NetworkSharing
from shoal.api.v1.dispatcher_pb2 import NetworkAssignment
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.spec_templates import NodeValues

MAX_ATTACHMENTS = 8


@dataclass(frozen=True)
class RunnerDependencies:
    """Dependencies that all task runners of an agent share.

    Attributes:
        node: this node, for templates.
        contents: secrets and configs that managers have sent.
        volumes: volumes of this host.
        disk_waiter: waits for space on the disk of containers.
        sharing: which tasks share another task's network.
        start_slots: bounds how many containers are started at once; `attach_slots`, for how many the network is made
            ready. They are separate, so that the first of fifty simultaneous tasks starts before all of them are
            attached.
        report: takes each new status of a task.
        find_network: an assigned network by id, None if it is unknown.
        host_resolv_conf: the node's own /etc/resolv.conf.
        now_ms: milliseconds since the Unix epoch.
    """

    node: NodeValues
    prober: HealthProber
    runtime: Runtime
    images: ImageWaiter
    disk_waiter: DiskSpaceWaiter
    networks: Networks
    datapath: DatapathApplier
    journal: JournalWriter
    contents: ContentSource
    volumes: Volumes
    sharing: NetworkSharing
    start_slots: asyncio.Semaphore
    report: Callable[[TaskStatus], None]
    find_network: Callable[[str], NetworkAssignment | None]
    host_resolv_conf: Callable[[], str]
    now_ms: Callable[[], int]
    attach_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_ATTACHMENTS))
