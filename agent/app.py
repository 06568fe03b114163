"""The agent as a whole: constructs its parts; those behind its gRPC server are in `agent_server`."""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from agent.agent_server import agent_server
from agent.build.build_cache import BuildCache
from agent.build.build_host import BuildHost
from agent.component_settings import cgroup_parent, network_settings, runtime_config
from agent.csi.driver_registry import DriverRegistry
from agent.csi.driver_sockets import parse_socket
from agent.diagnosis.open_diagnosis import host_diagnosis
from agent.disk_full import lacks_space
from agent.files.file_contents import FileContents
from agent.health.probes import HealthProber
from agent.host import inspection
from agent.host.device_scanner import DeviceScanner
from agent.host.host_reporter import HostReporter
from agent.host.shutdown_state import host_is_stopping
from agent.images.image_store import ImageStore
from agent.journal.journal import Journal
from agent.journal.record_copy import RecordCopy
from agent.membership import Membership, join_if_new
from agent.monitoring.open_monitoring import agent_monitoring
from agent.network.network_lifecycle import run_node_network
from agent.network.node_network import NodeNetwork
from agent.orderly_stop import OrderlyStop
from agent.retry import until_success
from agent.runtime.confinement.apparmor import AppArmor
from agent.runtime.container_paths import ContainerPaths
from agent.runtime.host_requirements import require_host
from agent.runtime.oci_runtime import OciRuntime
from agent.runtime.open_runtime import open_runtime
from agent.session.backoff import delays
from agent.session.manager_list import ManagerList
from agent.session.manager_session import ManagerSession
from agent.session.status_queue import StatusQueue
from agent.settings import AgentSettings
from agent.state_directory import claim_state_directory
from agent.volumes.csi_mounter import CsiMounter
from agent.volumes.csi_volumes import CsiVolumes
from agent.volumes.host_volumes import HostVolumes
from agent.volumes.local_volume_sizes import LocalVolumeSizes
from agent.volumes.local_volumes import LocalVolumes
from agent.worker.container_runtime import Exit
from agent.worker.shared.build_sandboxes import BuildSandboxes
from agent.worker.shared.runner_dependencies import make_dependencies
from agent.worker.worker import Worker
from shoal.daemons.heap_trimming import trim_heap_forever
from shoal.daemons.sd_notify import sd_notify
from shoal.distribution.manifests import host_platform
from shoal.distribution.registries import read_registries
from shoal.notifier import Notifier
from shoal.rpc.channel import MAX_STREAM_BYTES, connect_aio
from shoal.rpc.host_port import HostPort
from shoal.spec_templates import NodeValues
from shoal.task_group import TaskGroup
from shoal.telemetry.log_formatters import set_log_fields
from shoal.telemetry.tracing import tracing

T = TypeVar("T")

_log = logging.getLogger(__name__)


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


async def run(settings: AgentSettings, stop: OrderlyStop) -> None:
    """Join the cluster if necessary, then run until cancelled. Containers keep running.

    Args:
        stop: is told how to announce to managers that this agent stops.

    Raises:
        WrongRelease: a newer release wrote the state directory.
        ShoalError: the host, the identity or the settings do not allow it to work; the text says what to do. An
            unreachable manager, or a name that does not resolve, is retried instead.
    """
    require_host()
    claim_state_directory(settings.state_directory)
    initial = await _retry(partial(join_if_new, settings, inspection.hostname(settings)))
    membership = Membership(directory=settings.identity_directory, now=lambda: datetime.now(UTC))
    set_log_fields(node=membership.node_id)
    managers = ManagerList(
        settings.managers_file, node_id=membership.node_id, initial=initial, join_address=settings.join
    )
    if not managers.addresses:
        managers.update(await _retry(partial(membership.find, managers)))
    first = managers.first()
    address = await _retry(partial(asyncio.to_thread, inspection.underlay_address, settings, first))
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(
            run_node_network(underlay_address=address, node_id=membership.node_id, settings=network_settings(settings))
        )
        outbox = StatusQueue()
        drivers = await stack.enter_async_context(_drivers(settings))
        devices = DeviceScanner()
        await devices.scan()
        contents = FileContents()
        local = LocalVolumes(settings.volumes_directory, now_ms, notifier := Notifier())
        volumes, sizes = _volumes(settings, local, notifier, drivers, contents)
        apparmor = AppArmor()
        await asyncio.to_thread(apparmor.load_default)
        images = ImageStore(settings.images_directory, read_registries(settings.registries_file), host_platform())
        stack.push_async_callback(images.aclose)
        copy = RecordCopy(settings.run_directory / "journal", membership.node_id)
        journal = Journal(settings.journal_directory, copy)
        worker, runtime = await _worker(
            stack, settings, membership.node_id, address, network, outbox, contents, volumes, images, apparmor, journal
        )
        host = HostReporter(
            inspection.describe(settings, network.description(), without_apparmor=apparmor.unsupported_reason),
            devices,
            drivers,
            network.key_rollover,
            membership,
        )
        await stack.enter_async_context(
            agent_server(
                str(HostPort(address, settings.stream_port)),
                managers,
                membership,
                runtime,
                worker,
                network,
                drivers,
                local,
                sizes,
                images,
                _builds(settings, membership.node_id, address, network, worker.build_sandboxes, images, apparmor),
                host_diagnosis(settings, host.current, membership.current),
            )
        )
        session = ManagerSession(
            managers=managers,
            connect=lambda manager: connect_aio([manager], membership.current(), max_receive_bytes=MAX_STREAM_BYTES),
            host=host,
            outbox=outbox,
            worker=worker,
            volumes=volumes,
            condition=network.condition,
            images=images,
            find_managers=partial(membership.find, managers),
        )
        stop.announce_with(partial(session.announce_stop, host_is_stopping))
        # Before the first session: a manager receives the last state of all tasks.
        await worker.recover()
        monitoring = agent_monitoring(settings, worker, session, journal, network.condition, membership.current)
        await stack.enter_async_context(monitoring)
        await stack.enter_async_context(tracing("shoal-agent", node=membership.node_id))
        async with TaskGroup() as group:
            group.create_task(worker.run(), name="worker")
            group.create_task(drivers.run(), name="drivers")
            group.create_task(devices.run(), name="devices")
            group.create_task(session.run(), name="session")
            group.create_task(membership.renew_certificate(managers), name="certificate")
            group.create_task(trim_heap_forever(), name="heap")
            _log.info("node %s is running at %s", membership.node_id, address)
            sd_notify(f"READY=1\nSTATUS=node {membership.node_id} at {address}", os.environ)


async def _retry(attempt: Callable[[], Awaitable[T]]) -> T:
    """Retry until it succeeds and report the reason to systemd, so that the unit does not count as failed meanwhile."""
    return await until_success(
        attempt,
        delays=delays(random.random),
        on_failure=lambda why: sd_notify(f"READY=1\nSTATUS=waiting: {why}", os.environ),
    )


async def _worker(
    stack: AsyncExitStack,
    settings: AgentSettings,
    node_id: str,
    address: str,
    network: NodeNetwork,
    outbox: StatusQueue,
    contents: FileContents,
    volumes: HostVolumes,
    images: ImageStore,
    apparmor: AppArmor,
    journal: Journal,
) -> tuple[Worker, OciRuntime]:
    """The worker with its runtime and images; the runtime reports exits to the worker, which is created after it."""

    def exited(task_id: str, end: Exit) -> None:
        worker.exited(task_id, end)

    runtime = await stack.enter_async_context(
        open_runtime(runtime_config(settings, node_id), on_exit=exited, clock=now_ms, apparmor=apparmor)
    )
    kind = host_platform()
    deps = make_dependencies(
        node=NodeValues(node_id, inspection.hostname(settings), kind.os, kind.architecture, address),
        prober=HealthProber(containers=runtime),
        runtime=runtime,
        images=images,
        networks=network,
        journal=journal,
        contents=contents,
        volumes=volumes,
        build_sandboxes=BuildSandboxes(exited, now_ms),
        report=outbox.put,
        now_ms=now_ms,
        host_resolv_conf=inspection.resolv_conf,
        set_problem=lambda disk, problem: network.condition.set_disk_problem(problem, disk=disk),
        lacks_space=partial(lacks_space, settings.runtime_directory),
        parallel_starts=settings.parallel_starts,
    )
    worker = Worker(deps, images=images, journal=journal, boot_id=inspection.boot_id())
    return worker, runtime


def _builds(
    settings: AgentSettings,
    node_id: str,
    address: str,
    network: NodeNetwork,
    sandboxes: BuildSandboxes,
    images: ImageStore,
    apparmor: AppArmor,
) -> BuildHost:
    kind = host_platform()
    return BuildHost(
        images=images,
        cache=BuildCache(settings.images_directory / "builds" / "cache.json", images),
        networks=network,
        sandboxes=sandboxes,
        paths=ContainerPaths(run=settings.run_directory.absolute(), state=settings.runtime_directory.absolute()),
        cgroup_parent=cgroup_parent(node_id),
        registries_file=settings.registries_file,
        platform=(kind.os, kind.architecture, kind.variant),
        resolv_conf=inspection.resolv_conf,
        has_apparmor=apparmor.is_supported,
        address=address,
    )


@asynccontextmanager
async def _drivers(settings: AgentSettings) -> AsyncGenerator[DriverRegistry]:
    """The registry, after drivers that are present have been identified."""
    drivers = DriverRegistry(
        directory=settings.csi_directory,
        configured=[parse_socket(text) for text in settings.csi],
        call_seconds=settings.csi_timeout_seconds,
    )
    try:
        await drivers.refresh()
        yield drivers
    finally:
        await drivers.close()


def _volumes(
    settings: AgentSettings, local: LocalVolumes, notifier: Notifier, drivers: DriverRegistry, contents: FileContents
) -> tuple[HostVolumes, LocalVolumeSizes]:
    mounts = CsiMounter(settings.attached_directory, drivers, contents)
    volumes = HostVolumes(
        local=local,
        csi=CsiVolumes(mounts, contents, notifier),
        notifier=notifier,
    )
    return volumes, LocalVolumeSizes(local, settings.volumes_directory)
