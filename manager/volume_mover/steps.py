"""The moves of one volume, step by step: what is decided is done, and what came of it is written."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Protocol

from manager.control_api.seams import AgentAddress, NowMs
from manager.control_api.volume_homes import has_ended, home_of
from manager.dispatcher.admission import one_line
from manager.store import kinds
from manager.store.changes import PRESENT, Expect, Write, expect, put
from manager.store.subscription import Subscription
from manager.store.tables import View
from manager.volume_mover.decide import Abandon, Copy, LeftoverStep, Wait, leftover_step, move_of, next_step, unfinished
from manager.volume_mover.records import abandoned, moved, status_of, told, told_before, without_leftover
from shoal.api.v1.streams_pb2 import (
    DropVolumeCopyRequest,
    FetchVolumeProgress,
    FetchVolumeRequest,
    OfferVolumeRequest,
    OfferVolumeResponse,
)
from shoal.api.v1.volume_pb2 import Volume, VolumeLeftover, VolumeMove, VolumeMoveStatus, VolumeStatus
from shoal.errors import Conflict, Exhausted, InvalidInput, NotFound, Refused, ShoalError, Unavailable

LOOK_SECONDS = 0.5
"""Between looks whether a move may go on, or was cancelled."""

TELL_SECONDS = 1.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 1.0, 30.0
GRANT_BYTES = 32

_log = logging.getLogger(__name__)


class Records(Protocol):
    """The part of the store that the mover needs."""

    @property
    def tables(self) -> View: ...
    def follow(self) -> Subscription: ...
    async def commit(
        self, writes: Sequence[Write], *, expects: Sequence[Expect] = (), fence: int | None = None
    ) -> int: ...


class Agents(Protocol):
    """`manager.control_api.agent_channels.AgentChannels` is one."""

    async def offer_volume(self, agent: AgentAddress, request: OfferVolumeRequest) -> OfferVolumeResponse: ...
    def fetch_volume(
        self, agent: AgentAddress, request: FetchVolumeRequest
    ) -> AsyncGenerator[FetchVolumeProgress, None]: ...
    async def drop_volume_copy(self, agent: AgentAddress, request: DropVolumeCopyRequest) -> None: ...


class MovesOfVolume:
    """Those of one volume."""

    def __init__(self, volume_id: str, store: Records, agents: Agents, now_ms: NowMs, fence: int) -> None:
        self._id = volume_id
        self._store = store
        self._agents = agents
        self._now_ms = now_ms
        self._fence = fence
        self._told_at = 0.0
        self._pause = _Pause(time.monotonic)
        self._deletion_pause = _Pause(time.monotonic)

    @property
    def _volume(self) -> Volume | None:
        return self._store.tables.volumes.get(self._id)

    async def step(self) -> None:
        """What is to be done now, once.

        Raises:
            Conflict, Exhausted, Unavailable: the store did not take it; again. Deposed.
        """
        volume = self._volume
        if volume is None:
            return
        await self._tell_ended(volume)
        if self._deletion_pause.is_over():
            for leftover in volume.leftovers:
                await self._clear(volume, leftover)
        for move in volume.moves:
            await self._advance(volume, move)

    async def _tell_ended(self, volume: Volume) -> None:
        """Of moves that are in the record no more: cancelled, or ended by a leader that could not say so."""
        for status in unfinished(self._store.tables.volume_status.get(self._id)):
            move = move_of(volume, status.slot)
            if move is not None and move.began_at_ms == status.began_at_ms:
                continue
            ended = VolumeMoveStatus()
            ended.CopyFrom(status)
            arrived = home_of(self._store.tables, volume, status.slot) == status.to_node_id
            ended.state = VolumeMoveStatus.DONE if arrived else VolumeMoveStatus.CANCELLED
            ended.message = ""
            await self._tell(ended)

    async def _advance(self, volume: Volume, move: VolumeMove) -> None:
        match next_step(self._store.tables, volume, move):
            case Wait(why):
                await self._tell(status_of(move, VolumeMoveStatus.WAITING, why))
            case Abandon(why):
                await self._abandon(move, why)
            case Copy():
                if self._pause.is_over():
                    await self._copy_watched(volume, move)

    async def _copy_watched(self, volume: Volume, move: VolumeMove) -> None:
        """The copy goes on for as long as the move is in the record."""
        work = asyncio.ensure_future(self._copy(volume, move))
        try:
            while not work.done() and move_of(self._volume, move.slot) == move:
                await asyncio.wait([work], timeout=LOOK_SECONDS)
        finally:
            if not work.done():
                work.cancel()
            await asyncio.wait([work])
        if work.cancelled():
            return
        try:
            work.result()
            self._pause.succeeded()
        except (Refused, InvalidInput, NotFound, Exhausted) as error:
            await self._abandon(move, one_line(str(error)))
        except ShoalError as error:
            if isinstance(error, Conflict):
                raise
            self._pause.failed()
            _log.warning("volume %s is not moved yet: %s", volume.spec.name, error)
            why = f"{one_line(str(error))}; it is tried again"
            await self._tell(status_of(move, VolumeMoveStatus.WAITING, why))

    async def _copy(self, volume: Volume, move: VolumeMove) -> None:
        source, target = self._agent(move.from_node_id), self._agent(move.to_node_id)
        grant = secrets.token_bytes(GRANT_BYTES)
        offer = await self._agents.offer_volume(
            source,
            OfferVolumeRequest(volume_id=self._id, slot=move.slot, to_node_id=move.to_node_id, grant=grant),
        )
        request = FetchVolumeRequest(
            volume_id=self._id,
            name=volume.spec.name,
            slot=move.slot,
            from_node_id=move.from_node_id,
            from_address=source.address,
            grant=grant,
            offer=offer,
            created_at_ms=move.began_at_ms,
            replace=move.replace,
        )
        await self._tell_attempt(move, offer.content_bytes)
        complete = False
        async with aclosing(self._agents.fetch_volume(target, request)) as answers:
            async for progress in answers:
                complete = progress.complete
                state = VolumeMoveStatus.VERIFYING if progress.verifying else VolumeMoveStatus.COPYING
                if not complete:
                    await self._tell_progress(move, state, progress.bytes, offer.content_bytes)
        if not complete:
            raise Unavailable("the target ended before the copy was complete")
        await self._finish(move, offer)

    async def _finish(self, move: VolumeMove, offer: OfferVolumeResponse) -> None:
        """The home changes, and with it what is left behind."""
        while (volume := self._volume) is not None and move_of(volume, move.slot) == move:
            view = self._store.tables
            if not has_ended(view, volume, move.slot):
                raise Unavailable("tasks have come to use the volume meanwhile; the copy is verified again")
            made = moved(view, volume, move, old_copy_ms=offer.created_at_ms, now_ms=self._now_ms())
            status = status_of(
                move, VolumeMoveStatus.DONE, bytes_done=offer.content_bytes, total_bytes=offer.content_bytes
            )
            with suppress(Conflict):  # somebody changed the volume otherwise
                await self._end(volume, made, status)
                _log.info("volume %s is moved to node %s", volume.spec.name, move.to_node_id)
                return

    async def _abandon(self, move: VolumeMove, why: str) -> None:
        volume = self._volume
        if volume is not None and move_of(volume, move.slot) == move:
            _log.warning("volume %s is not moved to node %s: %s", volume.spec.name, move.to_node_id, why)
            await self._end(volume, abandoned(volume, move), status_of(move, VolumeMoveStatus.FAILED, why))

    async def _end(self, volume: Volume, made: Volume, status: VolumeMoveStatus) -> None:
        record = told(self._id, self._store.tables.volume_status.get(self._id), status)
        await self._store.commit(
            [put(kinds.VOLUME, self._id, made), put(kinds.VOLUME_STATUS, self._id, record)],
            expects=[expect(kinds.VOLUME, self._id, volume.meta.version)],
            fence=self._fence,
        )

    async def _clear(self, volume: Volume, leftover: VolumeLeftover) -> None:
        step = leftover_step(self._store.tables, volume, leftover)
        if step is LeftoverStep.WAIT:
            return
        if step is LeftoverStep.DELETE:
            request = DropVolumeCopyRequest(
                volume_id=self._id, slot=leftover.slot, created_at_ms=leftover.created_at_ms
            )
            try:
                await self._agents.drop_volume_copy(self._agent(leftover.node_id), request)
            except ShoalError as error:
                _log.warning("the copy of volume %s on node %s stays: %s", self._id, leftover.node_id, error)
                self._deletion_pause.failed()
                return
            self._deletion_pause.succeeded()
        present = self._volume
        if present is not None:
            await self._store.commit(
                [put(kinds.VOLUME, self._id, without_leftover(present, leftover))],
                expects=[expect(kinds.VOLUME, self._id, present.meta.version)],
                fence=self._fence,
            )

    def _agent(self, node_id: str) -> AgentAddress:
        """Raises Unavailable when the node was removed meanwhile."""
        record = self._store.tables.node_status.get(node_id)
        if record is None:
            raise Unavailable(f"node {node_id} was removed")
        return AgentAddress.of(node_id, record.description)

    async def _tell_attempt(self, move: VolumeMove, total: int) -> None:
        """The copy begins, or is resumed."""
        earlier = told_before(self._store.tables.volume_status.get(self._id), move)
        attempts, state = earlier.attempts + 1, VolumeMoveStatus.COPYING
        done = min(earlier.bytes, total)
        await self._tell(status_of(move, state, bytes_done=done, total_bytes=total, attempts=attempts))

    async def _tell_progress(
        self, move: VolumeMove, state: VolumeMoveStatus.State.ValueType, done: int, total: int
    ) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            await self._tell(status_of(move, state, bytes_done=done, total_bytes=total))

    async def _tell(self, move: VolumeMoveStatus) -> None:
        present = self._store.tables.volume_status.get(self._id)
        record = told(self._id, present, move)
        if record != present:
            await self._write(record)

    async def _write(self, record: VolumeStatus) -> None:
        # The volume must be there, so that no status outlives it.
        await self._store.commit(
            [put(kinds.VOLUME_STATUS, self._id, record)],
            expects=[expect(kinds.VOLUME, self._id, PRESENT)],
            fence=self._fence,
        )


class _Pause:
    """Before what failed is tried again, longer each time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until = 0.0
        self._seconds = FIRST_PAUSE_SECONDS

    def is_over(self) -> bool:
        return self._now() >= self._until

    def succeeded(self) -> None:
        self._until, self._seconds = 0.0, FIRST_PAUSE_SECONDS

    def failed(self) -> None:
        self._until = self._now() + self._seconds
        self._seconds = min(LAST_PAUSE_SECONDS, 2 * self._seconds)
