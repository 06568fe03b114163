"""What a manager runs while it is the leader."""

from collections.abc import Callable

from manager.agents.agent_channels import AgentChannels
from manager.backups.export import BackupExporter
from manager.backups.targets import target_opener
from manager.cluster_place import ClusterPlace
from manager.controllers.autoscaler.autoscaler import Autoscaler
from manager.controllers.backup_scheduler import BackupScheduler
from manager.controllers.cluster_key_rotation import ClusterKeyRotation
from manager.controllers.container_collector import ContainerCollector
from manager.controllers.csi_volumes.reconciler import CsiVolumeReconciler
from manager.controllers.garbage_collector import GarbageCollector
from manager.controllers.overlay_key_timer import OverlayKeyTimer
from manager.controllers.rebooted_containers import RebootedContainers
from manager.controllers.removed_images import RemovedImageCollector
from manager.controllers.volume_mover.volume_mover import VolumeMover
from manager.dispatcher.liveness.abandoned_nodes import AbandonedNodeMonitor
from manager.events.event_archiver import EventArchiver
from manager.file_contents.content_codec import EncryptedCodec
from manager.file_contents.driver_secrets import DriverSecrets
from manager.images.image_repository_client import StoredImages
from manager.leadership.clock_comparison import ClockComparison
from manager.leadership.leadership import Lead
from manager.networks.overlay_key_rotation import OverlayKeyRotation
from manager.planner.loop import Planner
from manager.settings import Settings
from manager.store.store import Store
from manager.upgrades.format_controller import FormatController
from shoal.identity.keyring import Keyring
from shoal.task_group import TaskGroup


def leader_work(
    settings: Settings,
    store: Store,
    manager_id: str,
    keyring: Keyring,
    agents: AgentChannels,
    contents: StoredImages,
    writer: EventArchiver,
    place: ClusterPlace,
    clocks: ClockComparison,
    exporter: BackupExporter,
    formats: FormatController,
    next_attempt: Callable[[str], float],
    now_ms: Callable[[], int],
) -> Lead:
    """What this manager runs while it is the leader."""

    async def lead(fence: int) -> None:
        monitor = AbandonedNodeMonitor(
            store=store,
            manager_id=manager_id,
            now_ms=now_ms,
            heartbeat_seconds=settings.heartbeat_seconds,
            restart_grace_seconds=settings.restart_grace_seconds,
            next_attempt=next_attempt,
        )
        async with TaskGroup() as term:
            term.create_task(Planner(store=store, clock=now_ms).run(fence), name="planner")
            term.create_task(monitor.run(fence), name="node monitor")
            autoscaler = Autoscaler(store=store, meters=agents, now_ms=now_ms)
            term.create_task(autoscaler.run(fence), name="autoscaler")
            term.create_task(GarbageCollector(store=store).run(fence), name="collector")
            term.create_task(ContainerCollector(store=store).run(fence), name="container collector")
            removed = RemovedImageCollector(store=store, contents=contents, now_ms=now_ms)
            term.create_task(removed.run(fence), name="removed images")
            rebooted = RebootedContainers(store=store, now_ms=now_ms)
            term.create_task(rebooted.run(fence), name="containers of rebooted nodes")
            reconciler = CsiVolumeReconciler(store=store, agents=agents, secrets=DriverSecrets(EncryptedCodec(keyring)))
            term.create_task(reconciler.run(fence), name="CSI volumes")
            mover = VolumeMover(store=store, agents=agents, now_ms=now_ms)
            term.create_task(mover.run(fence), name="volume mover")
            term.create_task(ClusterKeyRotation(store=store, keyring=keyring).run(fence), name="key rotation")
            timer = OverlayKeyTimer(store=store, keys=OverlayKeyRotation(store=store, now_ms=now_ms), now_ms=now_ms)
            term.create_task(timer.run(fence), name="overlay keys")
            term.create_task(writer.run(fence), name="event writer")
            backups = BackupScheduler(
                store=store,
                exporter=exporter,
                open_target=target_opener(keyring),
                manager_id=manager_id,
                directory=settings.state_directory,
                now_ms=now_ms,
            )
            term.create_task(backups.run(fence), name="scheduled backups")
            term.create_task(place.lead(fence), name="membership")
            term.create_task(formats.lead(fence), name="state format")
            term.create_task(clocks.watch_own_clock(), name="comparison of clocks")

    return lead
