"""The service `Control` with its handlers."""

import time

from manager.api_ports import VERSION
from manager.assembly.components import Components
from manager.assembly.shared import Shared, now_ms
from manager.backups.backup_handler import BackupHandler
from manager.backups.targets import target_opener
from manager.cluster.cluster_feed import ClusterFeed
from manager.cluster.cluster_handler import ClusterHandler
from manager.cluster.manager_handler import ManagerHandler
from manager.control_api.control_handlers import Handlers
from manager.control_api.servicer import ControlService
from manager.file_contents.content_codec import ContentCodec, EncryptedCodec, PlainCodec
from manager.file_contents.file_kinds import CONFIGS, SECRETS, FileKind
from manager.files.file_handler import FileHandler
from manager.logs.log_handler import LogHandler
from manager.networks.network_handler import NetworkHandler
from manager.networks.network_nodes import NetworkNodes
from manager.networks.overlay_key_rotation import OverlayKeyRotation
from manager.nodes.node_handler import NodeHandler
from manager.services.job_run_handler import JobRunHandler
from manager.services.progress_handler import ProgressHandler
from manager.services.rebalance_handler import RebalanceHandler
from manager.services.service_handler import ServiceHandler
from manager.services.update_handler import UpdateHandler
from manager.stacks.stack_handler import StackHandler
from manager.tasks.exec_handler import ExecHandler
from manager.tasks.stats_handler import StatsHandler
from manager.tasks.task_handler import TaskHandler
from manager.volumes.volume_handler import VolumeHandler
from manager.volumes.volume_move_handler import VolumeMoveHandler
from shoal import ids


def make_control_service(shared: Shared, components: Components) -> ControlService:
    """The service with all its handlers."""
    store, agents = shared.store, shared.agents
    backups = _backups(shared, components)
    return ControlService(
        Handlers(
            services=ServiceHandler(store=store, images=components.images.named, now_ms=now_ms, new_id=ids.new_id),
            updates=UpdateHandler(store=store, now_ms=now_ms),
            rebalancing=RebalanceHandler(store=store, now_ms=now_ms),
            job_runs=JobRunHandler(store=store, now_ms=now_ms),
            stacks=_stacks(shared, components),
            tasks=TaskHandler(store=store, now_ms=now_ms),
            nodes=NodeHandler(store=store, now_ms=now_ms),
            networks=_networks(shared, components),
            network_check=components.diagnosis.network,
            diagnosis=components.diagnosis.cluster,
            secrets=_files(shared, SECRETS, EncryptedCodec(shared.keyring), readable=False),
            configs=_files(shared, CONFIGS, PlainCodec(), readable=True),
            volumes=VolumeHandler(store=store, sizes=agents, now_ms=now_ms, new_id=ids.new_id),
            volume_moves=VolumeMoveHandler(store=store, now_ms=now_ms),
            managers=ManagerHandler(store=store, backup_problem=backups.problem, now_ms=now_ms),
            backups=backups,
            cluster=_cluster(shared, components),
            logs=LogHandler(store=store, reader=agents),
            exec=ExecHandler(store=store, streams=agents),
            stats=StatsHandler(store=store, usage_source=agents),
            progress=ProgressHandler(store=store, seconds=time.monotonic, now_ms=now_ms),
            feed=ClusterFeed(store=store),
            events=components.events,
        )
    )


def _backups(shared: Shared, components: Components) -> BackupHandler:
    return BackupHandler(
        store=shared.store,
        exporter=components.exporter,
        open_target=target_opener(shared.keyring),
        now_ms=now_ms,
        new_id=ids.new_id,
    )


def _stacks(shared: Shared, components: Components) -> StackHandler:
    return StackHandler(
        store=shared.store,
        images=components.images.named,
        contents={SECRETS.name: EncryptedCodec(shared.keyring), CONFIGS.name: PlainCodec()},
        now_ms=now_ms,
        new_id=ids.new_id,
    )


def _networks(shared: Shared, components: Components) -> NetworkHandler:
    nodes = NetworkNodes(applied=components.dispatcher.applied, peers=shared.peers)
    return NetworkHandler(store=shared.store, now_ms=now_ms, new_id=ids.new_id, nodes=nodes)


def _files(shared: Shared, kind: FileKind, contents: ContentCodec, *, readable: bool) -> FileHandler:
    return FileHandler(
        kind=kind, contents=contents, readable=readable, store=shared.store, now_ms=now_ms, new_id=ids.new_id
    )


def _cluster(shared: Shared, components: Components) -> ClusterHandler:
    return ClusterHandler(
        store=shared.store,
        tokens=shared.authority.tokens,
        rotate_keys=OverlayKeyRotation(store=shared.store, now_ms=now_ms).rotate,
        maintenance=components.maintenance,
        check_repository=components.images.repository.check,
        now_ms=now_ms,
        version=VERSION,
        quota_bytes=shared.quota_bytes,
    )
