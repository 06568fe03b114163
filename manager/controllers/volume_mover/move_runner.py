"""Executes the moves of one volume, step by step, and writes the results."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Protocol

from manager.agents.agent_address import AgentAddress
from manager.controllers.volume_mover.move_records import (
    completed,
    failed,
    last_status,
    move_status,
    with_move_status,
    without_stale_copy,
)
from manager.controllers.volume_mover.next_move_step import (
    Fail,
    StaleCopyStep,
    StartCopy,
    Wait,
    move_of,
    next_step,
    stale_copy_step,
    unfinished,
)
from manager.interfaces import NowMs
from manager.store import kinds
from manager.store.changes import PRESENT, expect, put
from manager.store.record_store import RecordStore
from manager.volumes.volume_homes import has_ended, home_of
from shoal.api.v1.streams_pb2 import (
    DropVolumeCopyRequest,
    FetchVolumeProgress,
    FetchVolumeRequest,
    OfferVolumeRequest,
    OfferVolumeResponse,
)
from shoal.api.v1.volume_pb2 import StaleVolumeCopy, Volume, VolumeMove, VolumeMoveStatus, VolumeStatus
from shoal.errors import Conflict, Exhausted, InvalidInput, NotFound, Refused, ShoalError, Unavailable
from shoal.fault_points.injection import fault
from shoal.one_line import one_line
from shoal.telemetry.request_context import new_request, serve

POLL_SECONDS = 0.5
"""Between checks whether a move may continue, or was cancelled."""

PROGRESS_SECONDS = 1.0
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 1.0, 30.0
TOKEN_BYTES = 32

_log = logging.getLogger(__name__)


class VolumeAgents(Protocol):
    """`manager.agents.agent_channels.AgentChannels` is one."""

    async def offer_volume(self, agent: AgentAddress, request: OfferVolumeRequest) -> OfferVolumeResponse: ...
    def fetch_volume(
        self, agent: AgentAddress, request: FetchVolumeRequest
    ) -> AsyncGenerator[FetchVolumeProgress, None]: ...
    async def drop_volume_copy(self, agent: AgentAddress, request: DropVolumeCopyRequest) -> None: ...


class MoveRunner:
    """Executes the moves of one volume."""

    def __init__(self, volume_id: str, store: RecordStore, agents: VolumeAgents, now_ms: NowMs, fence: int) -> None:
        self._id = volume_id
        self._store = store
        self._agents = agents
        self._now_ms = now_ms
        self._fence = fence
        self._progress_at = 0.0
        self._backoff = _Backoff(time.monotonic)
        self._deletion_backoff = _Backoff(time.monotonic)

    @property
    def _volume(self) -> Volume | None:
        return self._store.tables.volumes.get(self._id)

    async def step(self) -> None:
        """Execute what is due now, once: in logs it is a request of its own, also on the nodes.

        Raises:
            Conflict, Exhausted, Unavailable: the store rejected a write; call again. LeadershipLost: the term is over.
        """
        serve(new_request())
        volume = self._volume
        if volume is None:
            return
        await self._write_ended(volume)
        if self._deletion_backoff.is_due():
            for copy in volume.stale_copies:
                await self._delete_stale_copy(volume, copy)
        for move in volume.moves:
            await self._advance(volume, move)

    async def _write_ended(self, volume: Volume) -> None:
        """Write the final status of moves that left the record: cancelled, or ended while a leader crashed."""
        for status in unfinished(self._store.tables.volume_status.get(self._id)):
            move = move_of(volume, status.slot)
            if move is not None and move.started_at_ms == status.started_at_ms:
                continue
            ended = VolumeMoveStatus()
            ended.CopyFrom(status)
            is_done = home_of(self._store.tables, volume, status.slot) == status.to_node_id
            ended.state = VolumeMoveStatus.DONE if is_done else VolumeMoveStatus.CANCELLED
            ended.message = ""
            await self._write_move(ended)

    async def _advance(self, volume: Volume, move: VolumeMove) -> None:
        match next_step(self._store.tables, volume, move):
            case Wait(why):
                await self._write_move(move_status(move, VolumeMoveStatus.WAITING, why))
            case Fail(why):
                await self._fail(move, why)
            case StartCopy():
                if self._backoff.is_due():
                    await self._copy_watched(volume, move)

    async def _copy_watched(self, volume: Volume, move: VolumeMove) -> None:
        """Copy for as long as the move is in the record."""
        work = asyncio.ensure_future(self._copy(volume, move))
        try:
            while not work.done() and move_of(self._volume, move.slot) == move:
                await asyncio.wait([work], timeout=POLL_SECONDS)
        finally:
            if not work.done():
                work.cancel()
            await asyncio.wait([work])
        if work.cancelled():
            return
        try:
            work.result()
            self._backoff.succeeded()
        except Conflict:
            raise
        except ShoalError as error:
            if _is_final(error):
                await self._fail(move, one_line(str(error)))
                return
            self._backoff.failed()
            _log.warning("cannot move volume %s yet; retrying: %s", volume.spec.name, error)
            why = f"{one_line(str(error))}; retrying"
            await self._write_move(move_status(move, VolumeMoveStatus.WAITING, why))

    async def _copy(self, volume: Volume, move: VolumeMove) -> None:
        source, target = self._agent(move.from_node_id), self._agent(move.to_node_id)
        token = secrets.token_bytes(TOKEN_BYTES)
        offer = await self._agents.offer_volume(
            source,
            OfferVolumeRequest(
                volume_id=self._id, slot=move.slot, to_node_id=move.to_node_id, token=token, term=self._fence
            ),
        )
        fault("manager.volume-move.offered")
        request = FetchVolumeRequest(
            term=self._fence,
            volume_id=self._id,
            name=volume.spec.name,
            slot=move.slot,
            from_node_id=move.from_node_id,
            from_address=source.address,
            token=token,
            offer=offer,
            created_at_ms=move.started_at_ms,
            replace=move.replace,
        )
        await self._write_attempt(move, offer.content_bytes)
        complete = False
        async with aclosing(self._agents.fetch_volume(target, request)) as answers:
            async for progress in answers:
                complete = progress.complete
                state = VolumeMoveStatus.VERIFYING if progress.verifying else VolumeMoveStatus.COPYING
                if not complete:
                    await self._write_progress(move, state, progress.bytes, offer.content_bytes)
        if not complete:
            raise Unavailable("the target node stopped before the copy was complete")
        fault("manager.volume-move.copied")
        await self._finish(move, offer)

    async def _finish(self, move: VolumeMove, offer: OfferVolumeResponse) -> None:
        """Change the home, and record the stale copy."""
        while (volume := self._volume) is not None and move_of(volume, move.slot) == move:
            view = self._store.tables
            if not has_ended(view, volume, move.slot):
                raise Unavailable("a task started to use the volume; the copy will be verified again")
            made = completed(view, volume, move, old_copy_ms=offer.created_at_ms, now_ms=self._now_ms())
            status = move_status(
                move, VolumeMoveStatus.DONE, bytes_done=offer.content_bytes, total_bytes=offer.content_bytes
            )
            with suppress(Conflict):  # the volume was changed concurrently
                await self._end(volume, made, status)
                fault("manager.volume-move.home-changed")
                _log.info("moved volume %s to node %s", volume.spec.name, move.to_node_id)
                return

    async def _fail(self, move: VolumeMove, why: str) -> None:
        volume = self._volume
        if volume is not None and move_of(volume, move.slot) == move:
            _log.warning("cannot move volume %s to node %s: %s", volume.spec.name, move.to_node_id, why)
            await self._end(volume, failed(volume, move), move_status(move, VolumeMoveStatus.FAILED, why))

    async def _end(self, volume: Volume, made: Volume, status: VolumeMoveStatus) -> None:
        record = with_move_status(self._id, self._store.tables.volume_status.get(self._id), status)
        await self._store.commit(
            [put(kinds.VOLUME, self._id, made), put(kinds.VOLUME_STATUS, self._id, record)],
            expects=[expect(kinds.VOLUME, self._id, volume.meta.version)],
            fence=self._fence,
        )

    async def _delete_stale_copy(self, volume: Volume, copy: StaleVolumeCopy) -> None:
        step = stale_copy_step(self._store.tables, volume, copy)
        if step is StaleCopyStep.WAIT:
            return
        if step is StaleCopyStep.DELETE:
            request = DropVolumeCopyRequest(
                volume_id=self._id, slot=copy.slot, created_at_ms=copy.created_at_ms, term=self._fence
            )
            try:
                await self._agents.drop_volume_copy(self._agent(copy.node_id), request)
            except ShoalError as error:
                _log.warning(
                    "cannot delete the stale copy of volume %s on node %s yet: %s", self._id, copy.node_id, error
                )
                self._deletion_backoff.failed()
                return
            fault("manager.volume-move.copy-deleted")
            self._deletion_backoff.succeeded()
        present = self._volume
        if present is not None:
            await self._store.commit(
                [put(kinds.VOLUME, self._id, without_stale_copy(present, copy))],
                expects=[expect(kinds.VOLUME, self._id, present.meta.version)],
                fence=self._fence,
            )

    def _agent(self, node_id: str) -> AgentAddress:
        """Raises Unavailable: the node was removed."""
        record = self._store.tables.node_status.get(node_id)
        if record is None:
            raise Unavailable(f"node {node_id} was removed")
        return AgentAddress.of(node_id, record.description)

    async def _write_attempt(self, move: VolumeMove, total: int) -> None:
        """The copy starts, or is resumed."""
        earlier = last_status(self._store.tables.volume_status.get(self._id), move)
        attempts, state = earlier.attempts + 1, VolumeMoveStatus.COPYING
        done = min(earlier.bytes, total)
        await self._write_move(move_status(move, state, bytes_done=done, total_bytes=total, attempts=attempts))

    async def _write_progress(
        self, move: VolumeMove, state: VolumeMoveStatus.State.ValueType, done: int, total: int
    ) -> None:
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_SECONDS:
            self._progress_at = now
            await self._write_move(move_status(move, state, bytes_done=done, total_bytes=total))

    async def _write_move(self, move: VolumeMoveStatus) -> None:
        present = self._store.tables.volume_status.get(self._id)
        record = with_move_status(self._id, present, move)
        if record != present:
            await self._write(record)

    async def _write(self, record: VolumeStatus) -> None:
        # The volume must exist, so that no status outlives it.
        await self._store.commit(
            [put(kinds.VOLUME_STATUS, self._id, record)],
            expects=[expect(kinds.VOLUME, self._id, PRESENT)],
            fence=self._fence,
        )


def _is_final(error: ShoalError) -> bool:
    """Whether another attempt would fail too. A full etcd (`NoSpace`) is an unavailable one."""
    refused = isinstance(error, (Refused, InvalidInput, NotFound, Exhausted))
    return refused and not isinstance(error, Unavailable)


class _Backoff:
    """The delay before a retry, longer each time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until = 0.0
        self._seconds = MIN_BACKOFF_SECONDS

    def is_due(self) -> bool:
        return self._now() >= self._until

    def succeeded(self) -> None:
        self._until, self._seconds = 0.0, MIN_BACKOFF_SECONDS

    def failed(self) -> None:
        self._until = self._now() + self._seconds
        self._seconds = min(MAX_BACKOFF_SECONDS, 2 * self._seconds)
