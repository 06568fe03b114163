"""The manager put together: the only place that constructs its parts."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version

from grpc import aio

from manager import readiness
from manager.addressing import advertised_host, ip_of, with_port
from manager.autoscaler.autoscaler import Autoscaler
from manager.certificate_authority.authority import CertificateAuthority
from manager.certificate_authority.guesses import GuessLimit, IssueLimit
from manager.certificate_authority.service import MAX_JOIN_BYTES, CertificateAuthorityService
from manager.control_api.agent_channels import AgentChannels
from manager.control_api.cluster import ClusterCalls, Upkeep
from manager.control_api.collector import Collector
from manager.control_api.event_writer import EventWriter
from manager.control_api.events import Events
from manager.control_api.exec import Exec
from manager.control_api.files import Files
from manager.control_api.logs import Logs
from manager.control_api.managers import Managers
from manager.control_api.network_check import NetworkCheck
from manager.control_api.network_keys import NetworkKeys
from manager.control_api.network_nodes import NetworkNodes
from manager.control_api.networks import Networks
from manager.control_api.nodes import Nodes
from manager.control_api.other_managers import ManagerChannels, OtherMemories
from manager.control_api.progress import Progress
from manager.control_api.rebalancing import Rebalancing
from manager.control_api.servicer import ControlService, Nouns
from manager.control_api.services import Services
from manager.control_api.stacks import Stacks
from manager.control_api.stats import Stats
from manager.control_api.tasks import Tasks
from manager.control_api.updates import Updates
from manager.control_api.volume_moves import VolumeMoves
from manager.control_api.volumes import Volumes
from manager.dispatcher.dispatcher import Dispatcher
from manager.dispatcher.liveness.monitor import NodeMonitor
from manager.dispatcher.peer_service import PeerService
from manager.etcd_access import etcd_of
from manager.files.contents import PlainContents, SealedContents
from manager.files.nouns import CONFIGS, SECRETS
from manager.files.volume_secrets import VolumeSecrets
from manager.key_rotation import KeyRotation
from manager.leadership.leadership import Lead, Leadership
from manager.overlay_key_timer import OverlayKeyTimer
from manager.own_identity import OwnIdentity, keep_admin_valid, write_admin
from manager.planner.loop import Planner
from manager.settings import Settings
from manager.store.etcd import Etcd
from manager.store.event_archive import EventArchive
from manager.store.store import Store
from manager.volume_keeper.keeper import VolumeKeeper
from manager.volume_mover.mover import VolumeMover
from shoal import ids
from shoal.api.v1.certificate_authority_pb2_grpc import add_CertificateAuthorityServicer_to_server
from shoal.api.v1.cluster_pb2 import Manager
from shoal.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from shoal.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server, add_ManagerPeersServicer_to_server
from shoal.distribution.registries import read_registries
from shoal.distribution.resolve import RegistryImageResolver
from shoal.errors import Refused, Unavailable
from shoal.heap import keep_heap_small
from shoal.identity import identity
from shoal.identity.keyring import Keyring, load_keyring
from shoal.identity.private_files import make_private_directory
from shoal.rpc import access, limits
from shoal.rpc.request_limits import MAX_REQUEST_BYTES
from shoal.rpc.server import listen, make_server
from shoal.task_group import TaskGroup

_log = logging.getLogger(__name__)

VERSION = version("shoal")
STOP_SECONDS = 1.0
"""For calls under way when the manager is told to stop; agents' sessions never end by themselves."""


def now_ms() -> int:
    """The clock of everything here: milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


async def run(settings: Settings) -> None:
    """Run a manager until cancelled.

    Raises:
        InvalidInput, NotFound: the settings do not fit this host or this cluster.
        Unavailable, Refused: a port, a file or etcd cannot be had.
    """
    _make_state_directory(settings)
    async with etcd_of(settings) as backend:
        store = Store(backend=backend)
        async with TaskGroup() as group:
            group.create_task(store.run(), name="store")
            await store.ready()
            await _manage(settings, store, backend)


async def _manage(settings: Settings, store: Store, backend: Etcd) -> None:
    """Everything that stands on a loaded store."""
    directory = settings.state_directory / "identity"
    if store.tables.cluster is None and identity.exists(directory):
        raise Refused(
            f"etcd holds no cluster, though this manager belongs to one: restore a snapshot of it with `shoal-manager "
            f"restore FILE`, or remove {directory} to found another cluster"
        )
    # Only a cluster's first manager makes the key: any other has to be given it.
    keyring = load_keyring(settings.key_file, make=store.tables.cluster is None)
    authority = await _authority(store, keyring)
    own = OwnIdentity(authority=authority, directory=directory, clock=time.time, new_id=ids.new_id)
    dispatcher = Dispatcher(
        store=store,
        manager_id=own.manager_id,
        now_ms=now_ms,
        secrets=SealedContents(keyring),
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    agents = AgentChannels(lambda: own.current)
    images = RegistryImageResolver(read_registries(settings.registries_file))
    archive = EventArchive(backend)
    events = Events(store=store, now_ms=now_ms, archive=archive)
    others = ManagerChannels(lambda: own.current)
    nodes = NetworkNodes(applied=dispatcher.applied, others=others)
    control = _control(store, authority, agents, images, keyring, events, nodes, backend.upkeep)
    joining = CertificateAuthorityService(
        authority=authority,
        managers=store.tables.registered_managers,
        guesses=GuessLimit(clock=time.monotonic),
        issues=IssueLimit(clock=time.monotonic),
    )
    api_server = make_server(access.MANAGER_API, max_receive_bytes=MAX_REQUEST_BYTES, limits=limits.MANAGER_API)
    add_ControlServicer_to_server(control, api_server)
    add_DispatcherServicer_to_server(dispatcher, api_server)
    add_ManagerPeersServicer_to_server(PeerService(applied=dispatcher.applied, events=events.between), api_server)
    add_CertificateAuthorityServicer_to_server(joining, api_server)
    join_server = make_server(access.JOIN, max_receive_bytes=MAX_JOIN_BYTES, limits=limits.JOIN)
    add_CertificateAuthorityServicer_to_server(joining, join_server)
    manager = _listen(settings, api_server, join_server, own, keyring.key_id)
    memories = OtherMemories(store.tables, own.manager_id, others)
    writer = EventWriter(events=events, archive=archive, ask_others=memories.read, now_ms=now_ms)
    leadership = Leadership(store, backend, own.manager_id)
    async with TaskGroup() as group:
        group.create_task(dispatcher.run(), name="dispatcher")
        group.create_task(events.run(), name="events")
        group.create_task(leadership.register(manager), name="registration")
        group.create_task(
            leadership.run(_term(settings, store, own.manager_id, keyring, agents, writer)), name="leadership"
        )
        group.create_task(own.keep_valid(), name="certificate renewal")
        group.create_task(keep_heap_small(), name="heap")
        admin = keep_admin_valid(authority, settings.admin_directory, manager.api_address, time.time)
        group.create_task(admin, name="renewal of the admin's certificate")
        async with _started(api_server), _started(join_server), _closing(agents), images:
            write_admin(authority, settings.admin_directory, manager.api_address, datetime.now(UTC))
            _log.info("ready: API on %s, nodes join on %s", manager.api_address, manager.join_address)
            readiness.notify("READY=1", os.environ)
            await asyncio.Event().wait()


def _control(
    store: Store,
    authority: CertificateAuthority,
    agents: AgentChannels,
    images: RegistryImageResolver,
    keyring: Keyring,
    events: Events,
    nodes: NetworkNodes,
    upkeep: Upkeep,
) -> ControlService:
    sealed, plain = SealedContents(keyring), PlainContents()
    return ControlService(
        Nouns(
            services=Services(store=store, images=images, now_ms=now_ms, new_id=ids.new_id),
            updates=Updates(store=store, now_ms=now_ms),
            rebalancing=Rebalancing(store=store, now_ms=now_ms),
            stacks=Stacks(
                store=store,
                images=images,
                contents={SECRETS.name: sealed, CONFIGS.name: plain},
                now_ms=now_ms,
                new_id=ids.new_id,
            ),
            tasks=Tasks(store=store, now_ms=now_ms),
            nodes=Nodes(store=store, now_ms=now_ms),
            networks=Networks(store=store, now_ms=now_ms, new_id=ids.new_id, nodes=nodes),
            network_check=NetworkCheck(store=store, prober=agents),
            secrets=Files(noun=SECRETS, contents=sealed, readable=False, store=store, now_ms=now_ms, new_id=ids.new_id),
            configs=Files(noun=CONFIGS, contents=plain, readable=True, store=store, now_ms=now_ms, new_id=ids.new_id),
            volumes=Volumes(store=store, sizes=agents, now_ms=now_ms, new_id=ids.new_id),
            volume_moves=VolumeMoves(store=store, now_ms=now_ms),
            managers=Managers(store=store),
            cluster=ClusterCalls(
                store=store,
                tokens=authority.tokens,
                rotate_keys=NetworkKeys(store=store, now_ms=now_ms).rotate,
                upkeep=upkeep,
                version=VERSION,
            ),
            logs=Logs(store=store, reader=agents),
            exec=Exec(store=store, runner=agents),
            stats=Stats(store=store, meters=agents),
            progress=Progress(store=store, seconds=time.monotonic, now_ms=now_ms),
            events=events,
        )
    )


def _term(
    settings: Settings, store: Store, manager_id: str, keyring: Keyring, agents: AgentChannels, writer: EventWriter
) -> Lead:
    """What this manager does while it leads."""

    async def lead(fence: int) -> None:
        monitor = NodeMonitor(
            store=store, manager_id=manager_id, now_ms=now_ms, heartbeat_seconds=settings.heartbeat_seconds
        )
        async with TaskGroup() as term:
            term.create_task(Planner(store=store, clock=now_ms).run(fence), name="planner")
            term.create_task(monitor.run(fence), name="node monitor")
            autoscaler = Autoscaler(store=store, meters=agents, now_ms=now_ms)
            term.create_task(autoscaler.run(fence), name="autoscaler")
            term.create_task(Collector(store=store).run(fence), name="collector")
            keeper = VolumeKeeper(store=store, agents=agents, secrets=VolumeSecrets(SealedContents(keyring)))
            term.create_task(keeper.run(fence), name="volume keeper")
            mover = VolumeMover(store=store, agents=agents, now_ms=now_ms)
            term.create_task(mover.run(fence), name="volume mover")
            term.create_task(KeyRotation(store=store, keyring=keyring).run(fence), name="key rotation")
            timer = OverlayKeyTimer(store=store, keys=NetworkKeys(store=store, now_ms=now_ms), now_ms=now_ms)
            term.create_task(timer.run(fence), name="overlay keys")
            term.create_task(writer.run(fence), name="event writer")

    return lead


async def _authority(store: Store, keyring: Keyring) -> CertificateAuthority:
    authority = CertificateAuthority(store=store, keyring=keyring, clock=time.time, new_id=ids.new_id)
    await authority.bootstrap()
    return authority


def _listen(
    settings: Settings, api_server: aio.Server, join_server: aio.Server, own: OwnIdentity, key_id: str
) -> Manager:
    """Bind both ports; what others are told of this manager."""
    host = advertised_host(settings.advertise_address, settings.api_address)
    api_port = listen(api_server, settings.api_address, lambda: own.current)
    join_port = listen(join_server, settings.join_address, lambda: own.current, require_client_certificate=False)
    return Manager(
        id=own.manager_id,
        api_address=with_port(host, api_port),
        join_address=with_port(host, join_port),
        version=VERSION,
        started_at_ms=now_ms(),
        key_id=key_id,
        host_address=ip_of(host),
    )


@asynccontextmanager
async def _started(server: aio.Server) -> AsyncGenerator[None]:
    await server.start()
    try:
        yield
    finally:
        await server.stop(STOP_SECONDS)


@asynccontextmanager
async def _closing(agents: AgentChannels) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await agents.close()


def _make_state_directory(settings: Settings) -> None:
    try:
        make_private_directory(settings.state_directory)
    except OSError as error:
        raise Unavailable(f"cannot make {settings.state_directory}: {error.strerror}; run as root?") from error
