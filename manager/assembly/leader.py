"""What a manager runs while it is the leader."""

from manager.assembly.components import Components
from manager.assembly.shared import Shared, now_ms
from manager.backups.targets import target_opener
from manager.cluster.peer_managers import PeerEvents
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
from manager.leadership.leadership import Lead
from manager.networks.overlay_key_rotation import OverlayKeyRotation
from manager.planner.loop import Planner
from shoal.task_group import TaskGroup


def leader_work(shared: Shared, components: Components) -> Lead:
    """What this manager runs in each of its terms."""
    archiver = _event_archiver(shared, components)

    async def lead(fence: int) -> None:
        async with TaskGroup() as term:
            term.create_task(Planner(store=shared.store, clock=now_ms).run(fence), name="planner")
            term.create_task(_node_monitor(shared, components).run(fence), name="node monitor")
            term.create_task(archiver.run(fence), name="event writer")
            term.create_task(components.place.lead(fence), name="membership")
            term.create_task(components.formats.lead(fence), name="state format")
            term.create_task(components.clocks.watch_own_clock(), name="comparison of clocks")
            _start_controllers(term, shared, components, fence)
            _start_schedules(term, shared, components, fence)

    return lead


def _start_controllers(term: TaskGroup, shared: Shared, components: Components, fence: int) -> None:
    """What brings records and nodes to what users want, beside the planner."""
    store, agents = shared.store, shared.agents
    autoscaler = Autoscaler(store=store, meters=agents, now_ms=now_ms)
    term.create_task(autoscaler.run(fence), name="autoscaler")
    term.create_task(GarbageCollector(store=store).run(fence), name="collector")
    term.create_task(ContainerCollector(store=store).run(fence), name="container collector")
    removed = RemovedImageCollector(store=store, contents=components.images.repository, now_ms=now_ms)
    term.create_task(removed.run(fence), name="removed images")
    rebooted = RebootedContainers(store=store, now_ms=now_ms)
    term.create_task(rebooted.run(fence), name="containers of rebooted nodes")
    secrets = DriverSecrets(EncryptedCodec(shared.keyring))
    reconciler = CsiVolumeReconciler(store=store, agents=agents, secrets=secrets)
    term.create_task(reconciler.run(fence), name="CSI volumes")
    mover = VolumeMover(store=store, agents=agents, now_ms=now_ms)
    term.create_task(mover.run(fence), name="volume mover")


def _start_schedules(term: TaskGroup, shared: Shared, components: Components, fence: int) -> None:
    """Rotations of keys, and scheduled backups."""
    store, keyring = shared.store, shared.keyring
    term.create_task(ClusterKeyRotation(store=store, keyring=keyring).run(fence), name="key rotation")
    timer = OverlayKeyTimer(store=store, keys=OverlayKeyRotation(store=store, now_ms=now_ms), now_ms=now_ms)
    term.create_task(timer.run(fence), name="overlay keys")
    backups = BackupScheduler(
        store=store,
        exporter=components.exporter,
        open_target=target_opener(keyring),
        manager_id=shared.manager_id,
        directory=shared.settings.state_directory,
        now_ms=now_ms,
    )
    term.create_task(backups.run(fence), name="scheduled backups")


def _node_monitor(shared: Shared, components: Components) -> AbandonedNodeMonitor:
    return AbandonedNodeMonitor(
        store=shared.store,
        manager_id=shared.manager_id,
        now_ms=now_ms,
        heartbeat_seconds=shared.settings.heartbeat_seconds,
        restart_grace_seconds=shared.settings.restart_grace_seconds,
        next_attempt=components.dispatcher.attempts.next_attempt,
    )


def _event_archiver(shared: Shared, components: Components) -> EventArchiver:
    peers = PeerEvents(shared.store.tables, shared.manager_id, shared.peers)
    return EventArchiver(
        events=components.events, archive=components.archive, read_from_peers=peers.read, now_ms=now_ms
    )
