"""The agent as a whole: the only place that constructs its parts."""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network
from typing import TypeVar

from grpc import aio

from agent import host
from agent.csi.controller import Controller
from agent.csi.drivers import Drivers
from agent.csi.sockets import parse_socket
from agent.device_names import DeviceNames
from agent.disk_full import lacks_room
from agent.files.contents import FileContents
from agent.health.probes import Prober
from agent.host_description import HostDescription
from agent.images.store import ImageStore
from agent.journal.journal import Journal
from agent.membership import Membership, join_if_new
from agent.network.life import node_network
from agent.network.node_network import NodeNetwork
from agent.network.settings import NetworkSettings
from agent.news import News
from agent.notify import notify
from agent.patience import patiently
from agent.runtime.confinement.apparmor import AppArmor
from agent.runtime.host_needs import require_host
from agent.runtime.runtime import OciRuntime
from agent.session.backoff import delays
from agent.session.managers import ManagerList
from agent.session.outbox import Outbox
from agent.session.session import AgentSession
from agent.settings import AgentSettings
from agent.streams.service import AgentStreams
from agent.volume_moves.service import VolumeData
from agent.volume_moves.source import VolumeSource
from agent.volume_moves.target import VolumeTarget
from agent.volumes.attachments import Attachments
from agent.volumes.driver_mounts import DriverMounts
from agent.volumes.host_volumes import HostVolumes
from agent.volumes.sizes import VolumeSizes
from agent.volumes.store import VolumeStore
from agent.worker.seams import Exit
from agent.worker.worker import Worker
from shoal.api.v1.streams_pb2_grpc import add_AgentStreamsServicer_to_server
from shoal.api.v1.volume_data_pb2_grpc import add_VolumeDataServicer_to_server
from shoal.distribution.manifests import host_platform
from shoal.distribution.registries import read_registries
from shoal.heap import keep_heap_small
from shoal.rpc import limits
from shoal.rpc.access import AGENT_STREAMS
from shoal.rpc.addresses import HostPort
from shoal.rpc.channel import MAX_STREAM_BYTES, connect_aio
from shoal.rpc.server import listen, make_server
from shoal.task_group import TaskGroup
from shoal.templates import Node

SERVER_GRACE_SECONDS = 1.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def cgroup_parent(node_id: str) -> str:
    """The cgroup below which this node's containers have theirs; several agents may share a machine."""
    return f"/shoal/{node_id}"


async def run(settings: AgentSettings) -> None:
    """Join if need be, then work until cancelled. Containers live on.

    Raises:
        ShoalError: the host, the identity or the settings do not let it work; the text says what to do. A manager that
            is not there, or a name that does not resolve, is none: it is waited for.
    """
    require_host()
    initial = await _patiently(partial(join_if_new, settings, host.hostname(settings)))
    membership = Membership(directory=settings.identity_directory, now=lambda: datetime.now(UTC))
    managers = ManagerList(
        settings.managers_file, node_id=membership.node_id, initial=initial, join_address=settings.join
    )
    if not managers.addresses:
        managers.learn(await _patiently(partial(membership.find, managers)))
    first = managers.first()
    address = await _patiently(partial(asyncio.to_thread, host.underlay_address, settings, first))
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(
            node_network(underlay_address=address, node_id=membership.node_id, settings=_network_settings(settings))
        )
        outbox = Outbox()
        drivers = await stack.enter_async_context(_drivers(settings))
        devices = DeviceNames()
        await devices.look()
        contents = FileContents()
        local = VolumeStore(settings.volumes_directory, now_ms, news := News())
        volumes, sizes = _volumes(settings, local, news, drivers, contents)
        apparmor = AppArmor()
        await asyncio.to_thread(apparmor.prepare)
        worker, runtime = await _worker(
            stack, settings, membership.node_id, address, network, outbox, contents, volumes, apparmor
        )
        await stack.enter_async_context(
            _streams(str(HostPort(address, settings.stream_port)), membership, runtime, network, drivers, local, sizes)
        )
        session = AgentSession(
            managers=managers,
            connect=lambda manager: connect_aio([manager], membership.current(), max_receive_bytes=MAX_STREAM_BYTES),
            host=HostDescription(
                host.describe(settings, network.description(), without_apparmor=apparmor.why_not),
                devices,
                drivers,
                network.encryption,
            ),
            outbox=outbox,
            work=worker,
            volumes=volumes,
            condition=network.condition,
            ask_again=partial(membership.find, managers),
        )
        # Before the first session: a manager is told the last state of everything that is here.
        await worker.recover()
        async with TaskGroup() as group:
            group.create_task(worker.run(), name="worker")
            group.create_task(drivers.run(), name="drivers")
            group.create_task(devices.run(), name="devices")
            group.create_task(session.run(), name="session")
            group.create_task(membership.keep(managers), name="certificate")
            group.create_task(keep_heap_small(), name="heap")
            _log.info("agent of node %s at %s runs", membership.node_id, address)
            notify(f"READY=1\nSTATUS=node {membership.node_id} at {address}", os.environ)


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Systemd is told what is waited for: no failed start, which would end after a while and hold up others."""
    return await patiently(
        attempt, pauses=delays(random.random), tell=lambda why: notify(f"READY=1\nSTATUS=waiting: {why}", os.environ)
    )


def _network_settings(settings: AgentSettings) -> NetworkSettings:
    pool = IPv4Network(settings.local_pool) if settings.local_pool else None
    return NetworkSettings(
        vxlan_port=settings.vxlan_port,
        agent_port=settings.stream_port,
        closed_ports=tuple(map(int, filter(None, settings.closed_ports.split(",")))),
        local_pool=pool,
        overlay_encryption=settings.overlay_encryption,
        keys_directory=settings.keys_directory,
    )


async def _worker(
    stack: AsyncExitStack,
    settings: AgentSettings,
    node_id: str,
    address: str,
    network: NodeNetwork,
    outbox: Outbox,
    contents: FileContents,
    volumes: HostVolumes,
    apparmor: AppArmor,
) -> tuple[Worker, OciRuntime]:
    """The worker with its runtime and images; the runtime tells exits to the worker, which it cannot know yet."""

    def exited(task_id: str, end: Exit) -> None:
        worker.exited(task_id, end)

    runtime = await stack.enter_async_context(
        OciRuntime(
            settings.runtime_directory,
            settings.run_directory,
            cgroup_parent(node_id),
            exited,
            now_ms,
            apparmor=apparmor,
            host_only=settings.attached_directory,
            cdi_directories=settings.cdi_directory,
            hostname=host.hostname(settings),
        )
    )
    kind = host_platform()
    images = ImageStore(settings.images_directory, read_registries(settings.registries_file), kind)
    stack.push_async_callback(images.aclose)
    worker = Worker(
        node=Node(node_id, host.hostname(settings), kind.os, kind.architecture, address),
        prober=Prober(containers=runtime),
        runtime=runtime,
        images=images,
        networks=network,
        journal=Journal(settings.journal_directory),
        contents=contents,
        volumes=volumes,
        report=outbox.put,
        now_ms=now_ms,
        host_resolv_conf=host.resolv_conf,
        tell_disk=network.condition.note_disk,
        tell_images_disk=partial(network.condition.note_disk, of="images"),
        tell_containers_disk=partial(network.condition.note_disk, of="containers"),
        lacks_room=partial(lacks_room, settings.runtime_directory),
        parallel_starts=settings.parallel_starts,
    )
    return worker, runtime


@asynccontextmanager
async def _drivers(settings: AgentSettings) -> AsyncGenerator[Drivers]:
    """Those that are here now have been asked what they are."""
    drivers = Drivers(
        directory=settings.csi_directory,
        told=[parse_socket(text) for text in settings.csi],
        call_seconds=settings.csi_timeout_seconds,
    )
    try:
        await drivers.look()
        yield drivers
    finally:
        await drivers.close()


def _volumes(
    settings: AgentSettings, local: VolumeStore, news: News, drivers: Drivers, contents: FileContents
) -> tuple[HostVolumes, VolumeSizes]:
    mounts = DriverMounts(settings.attached_directory, drivers, contents)
    volumes = HostVolumes(
        local=local,
        attached=Attachments(mounts, contents, news),
        news=news,
    )
    return volumes, VolumeSizes(local, settings.volumes_directory)


@asynccontextmanager
async def _streams(
    address: str,
    membership: Membership,
    runtime: OciRuntime,
    network: NodeNetwork,
    drivers: Drivers,
    volumes: VolumeStore,
    sizes: VolumeSizes,
) -> AsyncGenerator[aio.Server]:
    """The agent's own server, for managers, and for other agents that a manager lets read a volume."""
    server = make_server(AGENT_STREAMS, limits=limits.AGENT_STREAMS)
    source = VolumeSource(volumes)
    streams = AgentStreams(
        logs=runtime,
        prober=network.probing,
        meters=runtime,
        controller=Controller(drivers),
        sizes=sizes,
        programs=runtime,
        source=source,
        target=VolumeTarget(volumes, membership.current),
        now_ns=time.monotonic_ns,
    )
    add_AgentStreamsServicer_to_server(streams, server)
    add_VolumeDataServicer_to_server(VolumeData(source), server)
    listen(server, address, membership.current)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(SERVER_GRACE_SECONDS)
