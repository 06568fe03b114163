"""Dependencies that the worker and all its task runners share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from agent.assignments.assigned_state import AssignedState
from agent.disk_full import DiskFull
from agent.health.probes import HealthProber
from agent.journal.journal import Journal
from agent.worker.container_runtime import Runtime
from agent.worker.interfaces import ContentSource, Images, Networks, Volumes
from agent.worker.shared.build_sandboxes import BuildSandboxes
from agent.worker.shared.datapath_applier import DatapathApplier
from agent.worker.shared.disk_space_waiter import DiskSpaceWaiter
from agent.worker.shared.image_waiter import ImageWaiter
from agent.worker.shared.journal_writer import JournalWriter
from agent.worker.shared.manager_contact import ManagerContact
from agent.worker.shared.network_sharers import NetworkSharing
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.spec_templates import NodeValues

MAX_ATTACHMENTS = 8
MAX_DELAY_SECONDS = 10.0
"""Longest delay between attempts to start a container on a disk with too little space for it."""

SetProblem = Callable[[str, str], None]
"""Takes a disk ("journal", "images" or "containers") and its problem, one line; empty if there is none."""


@dataclass(frozen=True)
class RunnerDependencies:
    """Dependencies that all task runners of an agent share.

    Attributes:
        node: this node, for templates.
        contents: secrets and configs that managers have sent.
        volumes: volumes of this host.
        disk_waiter: waits for space on the disk of containers.
        sharing: which tasks share another task's network.
        build_sandboxes: networks of builds, which have no container.
        start_slots: bounds how many containers are started at once; `attach_slots`, for how many the network is made
            ready. They are separate, so that the first of fifty simultaneous tasks starts before all of them are
            attached.
        report: takes each new status of a task.
        assigned: the state that managers assigned; the worker changes it.
        host_resolv_conf: the node's own /etc/resolv.conf.
        now_ms: milliseconds since the Unix epoch.
        contact: whether a manager is in reach.
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
    build_sandboxes: BuildSandboxes
    start_slots: asyncio.Semaphore
    report: Callable[[TaskStatus], None]
    assigned: AssignedState
    host_resolv_conf: Callable[[], str]
    now_ms: Callable[[], int]
    contact: ManagerContact = field(default_factory=ManagerContact)
    attach_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_ATTACHMENTS))


def make_dependencies(
    *,
    node: NodeValues,
    prober: HealthProber,
    runtime: Runtime,
    images: Images,
    networks: Networks,
    journal: Journal,
    contents: ContentSource,
    volumes: Volumes,
    build_sandboxes: BuildSandboxes,
    report: Callable[[TaskStatus], None],
    now_ms: Callable[[], int],
    host_resolv_conf: Callable[[], str],
    set_problem: SetProblem,
    lacks_space: Callable[[], bool],
    parallel_starts: int = 4,
) -> RunnerDependencies:
    """Construct what the runners share from the other packages' parts.

    Args:
        set_problem: takes problems of disks.
        lacks_space: whether the disk of containers is full.
        parallel_starts: maximum number of containers prepared and started concurrently.
    """
    writer = JournalWriter(journal, partial(set_problem, "journal"))
    return RunnerDependencies(
        node=node,
        prober=prober,
        runtime=runtime,
        images=ImageWaiter(images, partial(set_problem, "images")),
        disk_waiter=DiskSpaceWaiter(
            refusal=DiskFull,
            lacks_space=lacks_space,
            set_problem=partial(set_problem, "containers"),
            max_delay=MAX_DELAY_SECONDS,
        ),
        networks=networks,
        datapath=DatapathApplier(networks=networks, journal=writer),
        journal=writer,
        contents=contents,
        volumes=volumes,
        sharing=NetworkSharing(),
        build_sandboxes=build_sandboxes,
        start_slots=asyncio.Semaphore(parallel_starts),
        report=report,
        assigned=AssignedState(),
        host_resolv_conf=host_resolv_conf,
        now_ms=now_ms,
    )
