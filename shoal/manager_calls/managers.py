"""Calls to the cluster's managers, over one channel of the context."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc
from grpc import aio

from shoal.api.v1.builds_pb2_grpc import BuildsStub
from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityStub
from shoal.api.v1.control_pb2_grpc import ControlStub
from shoal.api.v1.engine_pb2_grpc import ContainersStub, ImagesStub
from shoal.errors import ConnectionLost, ShoalError, Timeout, Unavailable
from shoal.manager_calls.acting_user import acting_metadata
from shoal.manager_calls.newest_revision import NewestRevision
from shoal.manager_calls.read_attempts import ReadAttempts, is_read
from shoal.manager_calls.read_cache import CachedAnswer, ReadCache, naming
from shoal.manager_calls.replaceable_channel import ReplaceableChannel
from shoal.manager_calls.stale_reads import note_answer
from shoal.resumption.resume_attempts import ResumeAttempts, Resumption
from shoal.rpc.read_revisions import REVISION_KEY, Metadata, reported_revision, stale_since_ms
from shoal.rpc.status_mapping import is_not_made, to_shoal_error
from shoal.telemetry.request_context import request_metadata

if TYPE_CHECKING:
    from shoal.api.v1.builds_pb2_grpc import BuildsAsyncStub
    from shoal.api.v1.certificate_authority_pb2_grpc import CertificateAuthorityAsyncStub
    from shoal.api.v1.control_pb2_grpc import ControlAsyncStub
    from shoal.api.v1.engine_pb2_grpc import ContainersAsyncStub, ImagesAsyncStub

Q = TypeVar("Q", contravariant=True)
A = TypeVar("A", covariant=True)
R = TypeVar("R")

CALL_SECONDS = 30.0
"""For a call that is not a stream, unless said otherwise."""
LEAVE_SECONDS = 5.0
"""Between two managers that are left since they are disconnected from etcd: it may be that all are."""
SIZE_SECONDS = 60.0
"""For one for which nodes count what is on their disks."""


class AsyncUnary(Protocol[Q, A]):
    """A unary call of a stub."""

    def __call__(self, request: Q, /, *, timeout: float | None = None) -> Awaitable[A]: ...


class Managers:
    """The services of the managers. Errors of calls are `ShoalError`s with the managers' texts.

    A call that begins after the answer of another one sees what that had seen or written, whichever manager answers.

    Reads are made again when no manager answers, and at another manager when this one lags behind the store.

    Args:
        use_next: makes another manager the one that calls go to; False: there is no other one.
    Attributes:
        control, containers, images, builds, authority: stubs; calls are made by `call` and `stream`.
    """

    def __init__(
        self,
        channel: ReplaceableChannel,
        *,
        address: str = "the manager",
        use_next: Callable[[], bool] = lambda: False,
    ) -> None:
        self._address = address
        self._use_next = use_next
        self._changes = 0
        self._leave_again_at = 0.0
        self._revision = NewestRevision(time.monotonic)
        self._kept = ReadCache()
        untyped: Any = channel
        self.control: ControlAsyncStub = ControlStub(untyped)
        self.containers: ContainersAsyncStub = ContainersStub(untyped)
        self.images: ImagesAsyncStub = ImagesStub(untyped)
        self.builds: BuildsAsyncStub = BuildsStub(untyped)
        self.authority: CertificateAuthorityAsyncStub = CertificateAuthorityStub(untyped)

    async def call(
        self, method: Callable[..., Awaitable[R]], request: object, *, seconds: float | None = CALL_SECONDS
    ) -> R:
        """One call, of one request or of an iterator of them.

        Args:
            seconds: that it may take; None: no bound.
        Raises:
            ShoalError: the manager's error, or why it cannot be reached.
            Timeout: the connection was lost during a change, which may have been made.
        """
        answer, _ = await self._call(method, request, seconds)
        return answer

    async def read(self, method: Callable[..., Awaitable[R]], request: Any, *, view: str = "") -> CachedAnswer[R]:
        """As `call`, for a call whose answer is of records alone: where nothing has changed, the last one is kept.

        Args:
            view: of an answer that has come just now: what is kept of the same view is as new, and no call is made.
        Returns:
            The answer, which others get too: not to be changed. The same object while nothing changes.
        """
        path = str(getattr(method, "path", ""))
        key = (path, request.SerializeToString(deterministic=True), acting_metadata())
        known = self._kept.get(key)
        if known is not None and known.view == view:
            return known
        answer, trailer = await self._call(method, request, CALL_SECONDS, naming(known))
        return self._kept.update(key, known, answer, trailer)

    async def _call(
        self,
        method: Callable[..., Awaitable[R]],
        request: object,
        seconds: float | None,
        more: tuple[tuple[str, str], ...] = (),
    ) -> tuple[R, Metadata]:
        """The answer and its trailing metadata."""
        attempts = ReadAttempts(time.monotonic) if is_read(method) else None
        was_refused = False
        while True:
            asked, changes = self._revision.current(), self._changes
            try:
                call: Any = method(request, timeout=seconds, metadata=(*self._metadata(), *more))
                answer: R = await call
                trailer = tuple(await call.trailing_metadata() or ())
                self._revision.update(trailer)
                self._note_answer(trailer, changes)
                return answer, trailer
            except grpc.RpcError as error:
                reported = self._update_from(error)
                if attempts is None:
                    if was_refused or not is_not_made(error) or not self._change_manager(changes):
                        raise self._failed_change(error) from error
                    was_refused = True  # for certain: another manager may be able to
                    continue
                if not attempts.may_repeat(error, asked=asked, reported=reported):
                    raise to_shoal_error(error, address=self._address) from error
            if reported is None:
                await asyncio.sleep(attempts.delay())
            else:  # it lags behind
                self._change_manager(changes)

    async def stream(self, method: Callable[..., AsyncIterable[R]], request: object) -> AsyncGenerator[R]:
        """The answers of a call, as they come. Closing the generator cancels the call.

        Args:
            request: a message, or an asynchronous iterator of messages.
        Raises:
            ShoalError: as `call`.
        """
        answers: Any = method(request, metadata=self._metadata())
        try:
            async for answer in answers:
                yield answer
            self._revision.update(await answers.trailing_metadata() or ())
        except grpc.RpcError as error:
            self._update_from(error)
            raise to_shoal_error(error, address=self._address) from error
        finally:
            answers.cancel()

    async def resumed_stream(
        self, method: Callable[..., AsyncIterable[R]], resumption: Resumption[object, R]
    ) -> AsyncGenerator[R]:
        """The answers of a call that goes on at another manager when the connection is lost.

        Raises:
            ShoalError: as `call`; Unavailable when no manager answers for some time.
        """
        attempts = ResumeAttempts(time.monotonic)
        while True:
            attempts.begin()
            try:
                async with aclosing(self.stream(method, resumption.request())) as answers:
                    async for answer in answers:
                        attempts.answered()
                        if (unseen := resumption.unseen(answer)) is not None:
                            yield unseen
                return
            except Unavailable as error:
                if not attempts.may_repeat(lost=isinstance(error, ConnectionLost)):
                    raise
            await asyncio.sleep(attempts.delay())

    def _failed_change(self, error: grpc.RpcError) -> ShoalError:
        found = to_shoal_error(error, address=self._address)
        if not isinstance(found, ConnectionLost):
            return found
        return Timeout(f"{found}; the change may have been made: check before you make it again")

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (*self._revision.metadata(), *acting_metadata(), *request_metadata())

    def _update_from(self, error: grpc.RpcError) -> int | None:
        """The revision that a manager has reported with an error; None: none has answered."""
        trailer = (error.trailing_metadata() or ()) if isinstance(error, aio.AioRpcError) else ()
        self._revision.update(trailer)
        return reported_revision(trailer) if REVISION_KEY in dict(trailer) else None

    def _note_answer(self, trailer: Metadata, changes: int) -> None:
        """What comes after an answer that may be out of date goes to another manager: it may be connected to etcd."""
        note_answer(trailer)
        now = time.monotonic()
        if stale_since_ms(trailer) and now >= self._leave_again_at:
            self._leave_again_at = now + LEAVE_SECONDS
            self._change_manager(changes)

    def _change_manager(self, changes: int) -> bool:
        """Once for all calls that the same manager has failed. False: there is no other one."""
        if changes != self._changes:
            return True
        self._changes += 1
        return self._use_next()
