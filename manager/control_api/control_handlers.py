"""The handlers behind the Control service."""

from dataclasses import dataclass

from manager.backups.backup_handler import BackupHandler
from manager.cluster.cluster_feed import ClusterFeed
from manager.cluster.cluster_handler import ClusterHandler
from manager.cluster.manager_handler import ManagerHandler
from manager.diagnosis.cluster_diagnosis import ClusterDiagnosis
from manager.events.event_log import EventLog
from manager.files.file_handler import FileHandler
from manager.logs.log_handler import LogHandler
from manager.networks.network_check_handler import NetworkCheckHandler
from manager.networks.network_handler import NetworkHandler
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


@dataclass(frozen=True)
class Handlers:
    """The handlers, one for each kind of object."""

    services: ServiceHandler
    updates: UpdateHandler
    rebalancing: RebalanceHandler
    job_runs: JobRunHandler
    stacks: StackHandler
    tasks: TaskHandler
    nodes: NodeHandler
    networks: NetworkHandler
    network_check: NetworkCheckHandler
    diagnosis: ClusterDiagnosis
    secrets: FileHandler
    configs: FileHandler
    volumes: VolumeHandler
    volume_moves: VolumeMoveHandler
    managers: ManagerHandler
    cluster: ClusterHandler
    backups: BackupHandler
    logs: LogHandler
    exec: ExecHandler
    stats: StatsHandler
    progress: ProgressHandler
    feed: ClusterFeed
    events: EventLog
