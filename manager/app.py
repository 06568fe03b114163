"""Assembles the manager: the only place that constructs its components."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from functools import partial

from manager.agents.agent_channels import AgentChannels
from manager.agents.build_channels import BuildChannels
from manager.api_ports import VERSION, closed_at_exit, listen_on_ports, report_ready
from manager.backups.export import BackupExporter
from manager.builds.build_cache_handler import BuildCacheHandler
from manager.builds.build_handler import BuildHandler
from manager.builds.build_network_records import BuildNetworkRecords
from manager.certificate_authority.ca_service import MAX_JOIN_BYTES, CertificateAuthorityService
from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.certificate_authority.join_limits import FailedTokenLimit, IssuanceLimit
from manager.certificate_authority.manager_joins import ManagerJoins
from manager.cluster.epoch_comparison import EpochComparison, current_epoch
from manager.cluster.managers_etcds import ManagersEtcds
from manager.cluster.peer_managers import PeerEvents, PeerManagerClient
from manager.cluster_place import ClusterPlace
from manager.control_api.builds_servicer import BuildsService
from manager.control_api.containers_service import container_runs, containers_service
from manager.control_api.images_servicer import ImagesService
from manager.control_assembly import make_control_service
from manager.diagnosis.cluster_diagnosis import ClusterDiagnosis
from manager.diagnosis.manager_host import ManagerHost
from manager.dispatcher.dispatcher import Dispatcher
from manager.dispatcher.manager_peers import ManagerPeersService
from manager.etcd.connect import OpenedEtcd, open_etcd
from manager.events.event_archiver import EventArchiver
from manager.events.event_log import EventLog
from manager.file_contents.content_codec import EncryptedCodec
from manager.images.image_handler import ImageHandler
from manager.images.image_repository_client import ImageRepositoryClient
from manager.images.named_images import NamedImageResolver
from manager.join_cluster import join_cluster, leave_cluster, peer_addresses
from manager.leader_work import leader_work
from manager.leadership.clock_comparison import ClockComparison
from manager.leadership.leadership import Leadership
from manager.manager_identity import (
    ManagerIdentity,
    keep_credentials_valid,
    make_state_directory,
    write_credentials,
)
from manager.membership.member_api import RemovedFromCluster
from manager.monitoring.manager_monitor import ManagerMonitor
from manager.networks.network_check_handler import NetworkCheckHandler
from manager.networks.network_nodes import NetworkNodes
from manager.settings import Settings
from manager.store.event_archive import EventArchive
from manager.store.store import Store
from manager.upgrades.format_controller import FormatController
from manager.upgrades.state_formats import check_records, check_state_directory
from shoal import ids
from shoal.api.v1.builds_pb2_grpc import add_BuildsServicer_to_server
from shoal.api.v1.certificate_authority_pb2_grpc import add_CertificateAuthorityServicer_to_server
from shoal.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from shoal.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server, add_ManagerPeersServicer_to_server
from shoal.api.v1.engine_pb2_grpc import add_ContainersServicer_to_server, add_ImagesServicer_to_server
from shoal.daemons.heap_trimming import keep_freed_memory, trim_heap_forever
from shoal.distribution.registries import read_registries
from shoal.distribution.resolve import RegistryImageResolver
from shoal.errors import Refused
from shoal.identity import identity
from shoal.identity.keyring import Keyring, load_keyring
from shoal.monitoring.server import monitoring_server
from shoal.rpc import access, server_limits
from shoal.rpc.conditional_reads import ConditionalReads
from shoal.rpc.grpc_server import make_server, started
from shoal.rpc.manager_access import FOR_REMOVED_MANAGERS, MANAGER_API, READS_OF_RECORDS
from shoal.rpc.read_revisions import ReadRevisions
from shoal.rpc.removed_managers import RemovedManagers
from shoal.rpc.request_limits import MAX_REQUEST_BYTES
from shoal.task_group import TaskGroup
from shoal.telemetry.log_formatters import set_log_fields
from shoal.telemetry.tracing import tracing

_log = logging.getLogger(__name__)


def now_ms() -> int:
    """The clock of everything here: milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


async def run(settings: Settings) -> None:
    """Run a manager until cancelled.

    Raises:
        InvalidInput, NotFound: the settings do not fit this host or this cluster.
        WrongRelease: a newer release wrote the cluster's state.
        Unavailable, Refused: a port, a file or etcd is not available.
    """
    make_state_directory(settings.state_directory)
    check_state_directory(settings.state_directory)
    try:
        await join_cluster(settings)
        serve = partial(_serve, settings)
        async with open_etcd(settings, serve) as opened:
            await serve(opened)
    except* RemovedFromCluster:
        leave_cluster(settings)
        raise


async def _serve(settings: Settings, opened: OpenedEtcd) -> None:
    store = Store(backend=opened.client)
    async with TaskGroup() as group:
        group.create_task(store.run(), name="store")
        await store.ready()
        await _run_components(settings, store, opened)


async def _run_components(settings: Settings, store: Store, opened: OpenedEtcd) -> None:
    """Everything that needs a loaded store."""
    check_records(store.tables)
    backend = opened.client
    directory = settings.state_directory / "identity"
    if store.tables.cluster is None and identity.is_complete(directory):
        raise Refused(
            "etcd is empty, but this manager belongs to a cluster: restore a backup with "
            f"`shoal-manager restore FILE`, or delete {directory} to create a new cluster"
        )
    # Only a cluster's first manager creates the key; it is copied to any other.
    keyring = load_keyring(settings.key_file, make=store.tables.cluster is None)
    authority = await _authority(store, keyring)
    own = ManagerIdentity(authority=authority, directory=directory, clock=time.time, new_id=ids.new_id)
    place = ClusterPlace(
        store=store,
        opened=opened,
        authority=authority,
        manager_id=own.manager_id,
        state_directory=settings.state_directory,
        addresses=peer_addresses(settings),
        epochs=EpochComparison(PeerManagerClient(lambda: own.current)),
        now_ms=now_ms,
    )
    await place.prepare()
    others = PeerManagerClient(lambda: own.current)
    dispatcher = Dispatcher(
        store=store,
        manager_id=own.manager_id,
        now_ms=now_ms,
        secrets=EncryptedCodec(keyring),
        heartbeat_seconds=settings.heartbeat_seconds,
        restart_grace_seconds=settings.restart_grace_seconds,
        check_etcd=backend.majority.check,
        check_etcd_recent=backend.majority.check_recent,
        report_attempts=others.report_attempts,
    )
    agents = AgentChannels(lambda: own.current)
    registries = read_registries(settings.registries_file)
    registry_images = RegistryImageResolver(registries)
    repository = ImageRepositoryClient(view=store.tables, registries=registries)
    images = NamedImageResolver(view=store.tables, registries=registry_images)
    archive = EventArchive(store.backend)
    events = EventLog(store=store, now_ms=now_ms, archive=archive)
    nodes = NetworkNodes(applied=dispatcher.applied, peers=others)
    clocks = ClockComparison(store=store, manager_id=own.manager_id, now_ms=now_ms)
    leadership = Leadership(
        store, store.backend, own.manager_id, unfit=clocks.problem, transfer=place.transfer_leadership(others.end_term)
    )
    etcds = ManagersEtcds(
        own=backend.maintenance,
        own_id=own.manager_id,
        addresses=lambda: {key: each.api_address for key, each in store.tables.registered_managers.items()},
        status=others.etcd_status,
        defragment=others.defragment_etcd,
    )
    maintenance = etcds if opened.server is not None else backend.maintenance
    exporter = BackupExporter(store.backend, keyring, now_ms, VERSION)
    own_host = ManagerHost(
        state_directory=settings.state_directory,
        identity=lambda: own.current,
        check_registry=repository.check,
        version=VERSION,
    )
    network_check = NetworkCheckHandler(store=store, prober=agents)
    quota_bytes = opened.server.quota_bytes if opened.server is not None else 0
    diagnosis = ClusterDiagnosis(
        store=store,
        manager_id=own.manager_id,
        agents=agents,
        peers=others,
        own=own_host,
        network=network_check,
        maintenance=maintenance,
        quota_bytes=quota_bytes,
        now_ms=now_ms,
    )
    control = make_control_service(
        store,
        authority,
        agents,
        images,
        keyring,
        events,
        nodes,
        maintenance,
        repository.check,
        diagnosis,
        network_check,
        exporter,
        now_ms=now_ms,
        version=VERSION,
        quota_bytes=quota_bytes,
    )
    joining = CertificateAuthorityService(
        authority=authority,
        manager_joins=ManagerJoins(
            store=store,
            authority=authority,
            own_etcd=opened.server is not None,
            now_ms=now_ms,
            new_id=ids.new_id,
        ),
        managers=store.tables.registered_managers,
        failed_tokens=FailedTokenLimit(clock=time.monotonic),
        issuance=IssuanceLimit(clock=time.monotonic),
    )
    revisions = ReadRevisions(
        newest=lambda: store.newest_revision,
        reached=store.reached,
        stale_since_ms=lambda: backend.majority.silent_since(now_ms()),
    )
    api_server = make_server(
        MANAGER_API,
        max_receive_bytes=MAX_REQUEST_BYTES,
        limits=server_limits.MANAGER_API,
        revisions=revisions,
        conditional=ConditionalReads(READS_OF_RECORDS, lambda: store.view_name),
        removed=RemovedManagers(lambda: store.tables.removed_managers, FOR_REMOVED_MANAGERS),
    )
    add_ControlServicer_to_server(control, api_server)
    named = ImageHandler(store=store, contents=repository, now_ms=now_ms)
    add_ImagesServicer_to_server(ImagesService(named), api_server)
    add_ContainersServicer_to_server(containers_service(store, agents, images, repository, named, now_ms), api_server)
    builders = BuildChannels(agents)
    runs = container_runs(store, agents, now_ms)
    networks = BuildNetworkRecords(store=store, runs=runs, now_ms=now_ms, new_id=ids.new_id)
    builds = BuildHandler(
        store=store, agents=builders, repository=repository, images=images, names=named, networks=networks
    )
    cache = BuildCacheHandler(store=store, agents=builders)
    add_BuildsServicer_to_server(BuildsService(builds, cache), api_server)
    add_DispatcherServicer_to_server(dispatcher, api_server)
    add_ManagerPeersServicer_to_server(
        ManagerPeersService(
            applied=dispatcher.applied,
            attempts=dispatcher.attempts.failed_elsewhere,
            events=events.between,
            memberships=store.tables.memberships,
            managers=store.tables.managers,
            removed=store.tables.removed_managers,
            members=place.members,
            end_term=leadership.end_term,
            etcds=etcds,
            diagnose=own_host.diagnose,
            epoch=lambda: current_epoch(store.tables),
        ),
        api_server,
    )
    add_CertificateAuthorityServicer_to_server(joining, api_server)
    join_server = make_server(access.JOIN, max_receive_bytes=MAX_JOIN_BYTES, limits=server_limits.JOIN)
    add_CertificateAuthorityServicer_to_server(joining, join_server)
    manager = listen_on_ports(settings, api_server, join_server, own, keyring.key_id)
    peer_events = PeerEvents(store.tables, own.manager_id, others)
    writer = EventArchiver(events=events, archive=archive, read_from_peers=peer_events.read, now_ms=now_ms)
    if not opened.read_only:
        await leadership.check_unique(manager)
    formats = FormatController(store=store, state_directory=settings.state_directory, now_ms=now_ms)
    lead = leader_work(
        settings,
        store,
        own.manager_id,
        keyring,
        agents,
        repository,
        writer,
        place,
        clocks,
        exporter,
        formats,
        dispatcher.attempts.next_attempt,
        now_ms,
    )
    set_log_fields(manager=own.manager_id)
    monitor = ManagerMonitor(
        store=store,
        etcd=backend,
        manager_id=own.manager_id,
        sessions=lambda: len(dispatcher.applied(store.tables.nodes)),
        identity=lambda: own.current,
        quota_bytes=quota_bytes,
    )
    monitoring = monitoring_server(
        settings.monitoring, checks=monitor.checks, collect=monitor.collect, identity=directory
    )
    async with monitoring, tracing("shoal-manager", manager=own.manager_id), TaskGroup() as group:
        group.create_task(dispatcher.run(), name="dispatcher")
        group.create_task(events.run(), name="events")
        group.create_task(
            leadership.register(lambda: own.described(place.described(manager)), place.changed), name="registration"
        )
        group.create_task(clocks.run(), name="clocks")
        group.create_task(formats.keep_file(), name="state format")
        group.create_task(leadership.run(lead), name="leadership")
        group.create_task(place.hand_over_when_removed(), name="handing over etcd")
        group.create_task(place.remember_managers(), name="addresses of managers")
        group.create_task(place.leave_when_replaced(), name="comparison of epochs")
        group.create_task(place.keep_certificate_valid(), name="renewal of the certificate of etcd")
        group.create_task(own.keep_valid(place.changed.set), name="certificate renewal")
        keep_freed_memory()
        group.create_task(trim_heap_forever(), name="heap")
        write_all = partial(write_credentials, settings, authority, manager.api_address)
        renewal = keep_credentials_valid(write_all, time.time)
        group.create_task(renewal, name="renewal of certificates for contexts")
        async with started(api_server), started(join_server), closed_at_exit(agents), registry_images, repository:
            write_all(datetime.now(UTC))
            report_ready(manager, read_only=opened.read_only)
            await asyncio.Event().wait()


async def _authority(store: Store, keyring: Keyring) -> CertificateAuthority:
    authority = CertificateAuthority(store=store, keyring=keyring, clock=time.time, new_id=ids.new_id)
    await authority.bootstrap()
    return authority
