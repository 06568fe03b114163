"""Writes what agents report of their nodes; a report that cannot be written ends its session, and comes again."""

from manager.dispatcher.sessions import agent_input
from manager.dispatcher.sessions.agent_session import AgentSession
from manager.dispatcher.statuses.node_images_writer import NodeImagesWriter
from manager.dispatcher.statuses.node_status_updates import NodeStatusUpdates
from manager.dispatcher.statuses.node_volumes_writer import NodeVolumesWriter
from manager.interfaces import NowMs
from manager.store.record_store import BatchStore
from shoal.api.v1.dispatcher_pb2 import ImageReport, OrphanReport, VolumeReport
from shoal.api.v1.node_pb2 import NetworkCondition
from shoal.errors import Conflict, Timeout, Unavailable


class NodeReports:
    """Volumes, images, orphaned containers and the network's condition of nodes whose session is here."""

    def __init__(self, *, store: BatchStore, statuses: NodeStatusUpdates, now_ms: NowMs) -> None:
        self._volumes = NodeVolumesWriter(store=store)
        self._images = NodeImagesWriter(store=store)
        self._statuses = statuses
        self._now_ms = now_ms

    async def write_volumes(self, session: AgentSession, report: VolumeReport) -> None:
        """The node's volumes."""
        try:
            await self._volumes.write(session.node_id, agent_input.sanitize_volumes(report, self._now_ms()))
        except (Conflict, Unavailable, Timeout) as error:
            # The agent opens a new session, and reports them again.
            session.end(Unavailable(f"cannot write the node's volumes: {error}"))

    async def write_images(self, session: AgentSession, report: ImageReport) -> None:
        """The images that the node has."""
        try:
            await self._images.write(session.node_id, agent_input.sanitize_images(report))
        except (Conflict, Unavailable, Timeout) as error:
            session.end(Unavailable(f"cannot write the node's images: {error}"))

    async def write_orphans(self, session: AgentSession, report: OrphanReport) -> None:
        """The node's orphaned containers."""
        try:
            await self._statuses.set_orphans(session.node_id, agent_input.sanitize_orphans(report, self._now_ms()))
        except (Conflict, Unavailable, Timeout) as error:
            session.end(Unavailable(f"cannot write the node's orphaned containers: {error}"))

    async def write_condition(self, session: AgentSession, condition: NetworkCondition) -> None:
        """The condition of the node's network."""
        found = agent_input.sanitize_condition(condition, self._now_ms())
        try:
            await self._statuses.set_condition(session.node_id, found)
        except (Conflict, Unavailable, Timeout) as error:
            session.end(Unavailable(f"cannot write the node's network condition: {error}"))
