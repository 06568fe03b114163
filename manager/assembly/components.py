"""The components of one manager that several of its services use."""

from dataclasses import dataclass

from manager.api_ports import VERSION
from manager.assembly.shared import Shared, now_ms
from manager.backups.export import BackupExporter
from manager.cluster.epoch_comparison import EpochComparison
from manager.cluster.managers_etcds import ManagersEtcds
from manager.cluster_place import ClusterPlace
from manager.diagnosis.cluster_diagnosis import ClusterDiagnosis
from manager.diagnosis.manager_host import ManagerHost
from manager.dispatcher.dispatcher import Dispatcher
from manager.etcd.maintenance import EtcdMaintenance
from manager.events.event_log import EventLog
from manager.file_contents.content_codec import EncryptedCodec
from manager.images.image_repository_client import ImageRepositoryClient
from manager.images.named_images import NamedImageResolver
from manager.join_cluster import peer_addresses
from manager.leadership.clock_comparison import ClockComparison
from manager.leadership.leadership import Leadership
from manager.networks.network_check_handler import NetworkCheckHandler
from manager.store.event_archive import EventArchive
from manager.upgrades.format_controller import FormatController
from shoal.distribution.registries import read_registries
from shoal.distribution.resolve import RegistryImageResolver


@dataclass(frozen=True)
class ImageSources:
    """Where images come from.

    Attributes:
        registries: all of them.
        repository: the cluster's own, if it has one.
        named: resolves names of images of the cluster, and those of registries.
    """

    registries: RegistryImageResolver
    repository: ImageRepositoryClient
    named: NamedImageResolver


@dataclass(frozen=True)
class Diagnosis:
    """What `shoal cluster doctor` and `shoal network check` ask.

    Attributes:
        host: checks this manager's own host.
        cluster: all checks.
    """

    host: ManagerHost
    network: NetworkCheckHandler
    cluster: ClusterDiagnosis


@dataclass(frozen=True)
class Components:
    """The components.

    Attributes:
        place: among the managers, and its etcd's among the members.
        etcds: of all managers.
        maintenance: of `etcds`; of an external etcd, that one's.
        archive: of events, in etcd.
    """

    place: ClusterPlace
    clocks: ClockComparison
    leadership: Leadership
    formats: FormatController
    etcds: ManagersEtcds
    maintenance: ManagersEtcds | EtcdMaintenance
    dispatcher: Dispatcher
    images: ImageSources
    archive: EventArchive
    events: EventLog
    exporter: BackupExporter
    diagnosis: Diagnosis


async def make_components(shared: Shared) -> Components:
    """Construct them; this manager's place in the cluster is prepared.

    Raises:
        Refused, Unavailable: as `ClusterPlace.prepare`. InvalidInput: the file of registries.
    """
    place = _cluster_place(shared)
    await place.prepare()
    images, etcds = _image_sources(shared), _managers_etcds(shared)
    maintenance = etcds if shared.has_own_etcd else shared.etcd.maintenance
    archive = EventArchive(shared.store.backend)
    clocks = ClockComparison(store=shared.store, manager_id=shared.manager_id, now_ms=now_ms)
    leadership = _leadership(shared, place, clocks)
    directory = shared.settings.state_directory
    return Components(
        place=place,
        clocks=clocks,
        leadership=leadership,
        formats=FormatController(store=shared.store, state_directory=directory, now_ms=now_ms),
        etcds=etcds,
        maintenance=maintenance,
        dispatcher=_dispatcher(shared, leadership),
        images=images,
        archive=archive,
        events=EventLog(store=shared.store, now_ms=now_ms, archive=archive),
        exporter=BackupExporter(shared.store.backend, shared.keyring, now_ms, VERSION),
        diagnosis=_diagnosis(shared, images.repository, maintenance),
    )


def _cluster_place(shared: Shared) -> ClusterPlace:
    return ClusterPlace(
        store=shared.store,
        opened=shared.opened,
        authority=shared.authority,
        manager_id=shared.manager_id,
        state_directory=shared.settings.state_directory,
        addresses=peer_addresses(shared.settings),
        epochs=EpochComparison(shared.peers),
        now_ms=now_ms,
    )


def _leadership(shared: Shared, place: ClusterPlace, clocks: ClockComparison) -> Leadership:
    return Leadership(
        shared.store,
        shared.store.backend,
        shared.manager_id,
        unfit=clocks.problem,
        transfer=place.transfer_leadership(shared.peers.end_term),
    )


def _managers_etcds(shared: Shared) -> ManagersEtcds:
    registered = shared.store.tables.registered_managers
    return ManagersEtcds(
        own=shared.etcd.maintenance,
        own_id=shared.manager_id,
        addresses=lambda: {key: each.api_address for key, each in registered.items()},
        status=shared.peers.etcd_status,
        defragment=shared.peers.defragment_etcd,
    )


def _dispatcher(shared: Shared, leadership: Leadership) -> Dispatcher:
    async def check_etcd() -> None:
        await shared.etcd.majority.check()
        leadership.check_registered()

    return Dispatcher(
        store=shared.store,
        manager_id=shared.manager_id,
        now_ms=now_ms,
        secrets=EncryptedCodec(shared.keyring),
        heartbeat_seconds=shared.settings.heartbeat_seconds,
        restart_grace_seconds=shared.settings.restart_grace_seconds,
        check_etcd=check_etcd,
        check_etcd_recent=shared.etcd.majority.check_recent,
        report_attempts=shared.peers.report_attempts,
    )


def _image_sources(shared: Shared) -> ImageSources:
    registries, view = read_registries(shared.settings.registries_file), shared.store.tables
    resolver = RegistryImageResolver(registries)
    return ImageSources(
        registries=resolver,
        repository=ImageRepositoryClient(view=view, registries=registries),
        named=NamedImageResolver(view=view, registries=resolver),
    )


def _diagnosis(
    shared: Shared, repository: ImageRepositoryClient, maintenance: ManagersEtcds | EtcdMaintenance
) -> Diagnosis:
    host = ManagerHost(
        state_directory=shared.settings.state_directory,
        identity=lambda: shared.own.current,
        check_registry=repository.check,
        version=VERSION,
    )
    network = NetworkCheckHandler(store=shared.store, prober=shared.agents)
    cluster = ClusterDiagnosis(
        store=shared.store,
        manager_id=shared.manager_id,
        agents=shared.agents,
        peers=shared.peers,
        own=host,
        network=network,
        maintenance=maintenance,
        quota_bytes=shared.quota_bytes,
        now_ms=now_ms,
    )
    return Diagnosis(host, network, cluster)
