"""Puts the service `Control` together: the part of the assembly that `app.py` has no room for."""

import time

from manager.agents.agent_channels import AgentChannels
from manager.backups.backup_handler import BackupHandler
from manager.backups.export import BackupExporter
from manager.backups.targets import target_opener
from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.cluster.cluster_feed import ClusterFeed
from manager.cluster.cluster_handler import CheckRepository, ClusterHandler, StoreMaintenance
from manager.cluster.manager_handler import ManagerHandler
from manager.control_api.control_handlers import Handlers
from manager.control_api.servicer import ControlService
from manager.diagnosis.cluster_diagnosis import ClusterDiagnosis
from manager.events.event_log import EventLog
from manager.file_contents.content_codec import EncryptedCodec, PlainCodec
from manager.file_contents.file_kinds import CONFIGS, SECRETS
from manager.files.file_handler import FileHandler
from manager.images.named_images import NamedImageResolver
from manager.interfaces import NowMs
from manager.logs.log_handler import LogHandler
from manager.networks.network_check_handler import NetworkCheckHandler
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
from manager.store.store import Store
from manager.tasks.exec_handler import ExecHandler
from manager.tasks.stats_handler import StatsHandler
from manager.tasks.task_handler import TaskHandler
from manager.volumes.volume_handler import VolumeHandler
from manager.volumes.volume_move_handler import VolumeMoveHandler
from shoal import ids
from shoal.identity.keyring import Keyring


def make_control_service(
    store: Store,
    authority: CertificateAuthority,
    agents: AgentChannels,
    images: NamedImageResolver,
    keyring: Keyring,
    events: EventLog,
    nodes: NetworkNodes,
    maintenance: StoreMaintenance,
    check_repository: CheckRepository,
    diagnosis: ClusterDiagnosis,
    network_check: NetworkCheckHandler,
    exporter: BackupExporter,
    *,
    now_ms: NowMs,
    version: str,
    quota_bytes: int,
) -> ControlService:
    """The service `Control` with its handlers.

    Args:
        quota_bytes: of `ClusterHandler`.
    """
    encrypted, plain = EncryptedCodec(keyring), PlainCodec()
    targets = target_opener(keyring)
    backups = BackupHandler(store=store, exporter=exporter, open_target=targets, now_ms=now_ms, new_id=ids.new_id)
    return ControlService(
        Handlers(
            services=ServiceHandler(store=store, images=images, now_ms=now_ms, new_id=ids.new_id),
            updates=UpdateHandler(store=store, now_ms=now_ms),
            rebalancing=RebalanceHandler(store=store, now_ms=now_ms),
            job_runs=JobRunHandler(store=store, now_ms=now_ms),
            stacks=StackHandler(
                store=store,
                images=images,
                contents={SECRETS.name: encrypted, CONFIGS.name: plain},
                now_ms=now_ms,
                new_id=ids.new_id,
            ),
            tasks=TaskHandler(store=store, now_ms=now_ms),
            nodes=NodeHandler(store=store, now_ms=now_ms),
            networks=NetworkHandler(store=store, now_ms=now_ms, new_id=ids.new_id, nodes=nodes),
            network_check=network_check,
            diagnosis=diagnosis,
            secrets=FileHandler(
                kind=SECRETS, contents=encrypted, readable=False, store=store, now_ms=now_ms, new_id=ids.new_id
            ),
            configs=FileHandler(
                kind=CONFIGS, contents=plain, readable=True, store=store, now_ms=now_ms, new_id=ids.new_id
            ),
            volumes=VolumeHandler(store=store, sizes=agents, now_ms=now_ms, new_id=ids.new_id),
            volume_moves=VolumeMoveHandler(store=store, now_ms=now_ms),
            managers=ManagerHandler(store=store, backup_problem=backups.problem, now_ms=now_ms),
            backups=backups,
            cluster=ClusterHandler(
                store=store,
                tokens=authority.tokens,
                rotate_keys=OverlayKeyRotation(store=store, now_ms=now_ms).rotate,
                maintenance=maintenance,
                check_repository=check_repository,
                now_ms=now_ms,
                version=version,
                quota_bytes=quota_bytes,
            ),
            logs=LogHandler(store=store, reader=agents),
            exec=ExecHandler(store=store, streams=agents),
            stats=StatsHandler(store=store, usage_source=agents),
            progress=ProgressHandler(store=store, seconds=time.monotonic, now_ms=now_ms),
            feed=ClusterFeed(store=store),
            events=events,
        )
    )
