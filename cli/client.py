"""The connection to a cluster: the channel of a context, calls with deadlines, gRPC errors as `ShoalError`."""

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, NoReturn, Protocol, Self, TypeVar

from cli.interrupts import deferred_interrupt
from shoal.contexts.context_file import Context
from shoal.errors import ConnectionLost, ShoalError, Timeout, Unavailable
from shoal.resumption.resume_attempts import ResumeAttempts, Resumption

if TYPE_CHECKING:
    import grpc

    from shoal.api.v1.control_pb2_grpc import ControlStub
    from shoal.manager_calls.newest_revision import NewestRevision
    from shoal.rpc.read_revisions import Metadata

Q = TypeVar("Q", contravariant=True)
A = TypeVar("A")
G = TypeVar("G", covariant=True)

CALL_SECONDS = 30.0
"""No call that is not a stream takes longer; pulling a manifest at submission is the slowest part."""
READS = ("Get", "List", "Stat", "Inspect", "Watch", "Wait", "Logs", "Read", "Export")
"""How the names of requests that change nothing begin."""
READ_ATTEMPTS = 3
MAY_BE_MADE = "the change may have been made: check before you run the command again"
MAX_RESPONSE_BYTES = 256 << 20
"""A list of a million tasks."""


class Unary(Protocol[Q, G]):
    """A unary call of a stub."""

    def __call__(self, request: Q, timeout: float | None = None) -> G: ...


class ResponseIterator(Protocol[G]):
    """The responses of a streaming call."""

    def __iter__(self) -> Iterator[G]: ...

    def cancel(self) -> object: ...


class Streaming(Protocol[Q, G]):
    """A streaming call of a stub. The request is a message, or an iterator of messages."""

    def __call__(self, request: Q, /, timeout: float | None = None) -> ResponseIterator[G]: ...


class PendingCall(Protocol[G]):
    """A call in progress, `Stub.Method.future(…)`."""

    def result(self) -> G: ...

    def cancel(self) -> object: ...


class Client:
    """Calls to the managers of one context. A context manager; closing it cancels pending calls.

    Attributes:
        answers_are_stale: whether a manager that answered was disconnected from etcd.
    """

    _begun: ClassVar["Client | None"] = None
    answers_are_stale = False

    def __init__(self, context: Context) -> None:
        # Here, not above: gRPC takes 40 ms to import, and help, completion and bad input need none of it.
        import grpc

        from cli.request_interceptor import RequestInterceptor
        from shoal.identity.identity import Identity
        from shoal.rpc.channel import connect

        self.context = context
        self._address = ", ".join(context.all_addresses)
        channel = connect(context.all_addresses, Identity.load(context.directory), max_receive_bytes=MAX_RESPONSE_BYTES)
        self._inner = getattr(channel, "_channel", None)
        self.channel = grpc.intercept_channel(channel, RequestInterceptor())

    @cached_property
    def control(self) -> "ControlStub":
        """The service `Control`; stubs of other services are made of `channel` where they are needed."""
        from shoal.api.v1.control_pb2_grpc import ControlStub

        return ControlStub(self.channel)

    @classmethod
    def of_context(cls, name: str | None) -> "Client":
        """A client of the context named, else of the one chosen, whose certificate is renewed if it is time.

        Raises:
            NotFound: there is none.
        """
        from cli.render.error_lines import warn
        from shoal.contexts import manager_addresses
        from shoal.contexts.certificate_renewal import renew_if_due

        context, now = resolve_context(name), datetime.now(UTC)
        if warning := renew_if_due(context, now):
            warn(warning)
        client = cls._take_begun(context) or cls(context)
        if manager_addresses.refresh_due(context, now):
            manager_addresses.refresh(context, client.manager_addresses)
        return client

    @classmethod
    def begin(cls, name: str | None) -> None:
        """Begin to connect for `of_context`, which comes soon, and return at once: so the handshake is over when the
        modules of the command are imported. What is wrong is for `of_context` to raise.
        """
        try:
            client = cls(resolve_context(name))
        except ShoalError:
            return
        # The public `subscribe` does so too, with a thread that polls and for which the end of the process waits.
        if (check := getattr(client._inner, "check_connectivity_state", None)) is not None:
            check(True)
        cls._begun = client

    @classmethod
    def _take_begun(cls, context: Context) -> "Client | None":
        begun, cls._begun = cls._begun, None
        return begun if begun is not None and begun.context == context else None

    def manager_addresses(self) -> Sequence[str]:
        """`host:port` of the API of each manager of the cluster.

        Raises:
            ShoalError: no manager responds in time.
        """
        from shoal.api.v1.control_pb2 import GetClusterRequest
        from shoal.contexts.manager_addresses import TIMEOUT_SECONDS

        return self.call(self.control.GetCluster, GetClusterRequest(), seconds=TIMEOUT_SECONDS).api_addresses

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()

    def call(self, method: Unary[Q, A], request: Q, *, seconds: float | None = CALL_SECONDS) -> A:
        """One call.

        A read whose connection is lost is made again, by another manager if there is one. So is, once, a change that a
        manager has refused since it is disconnected from etcd. Nothing else is.

        Args:
            seconds: how long it may take; None: as long as the manager takes.

        Raises:
            ShoalError: the manager's error, or why it cannot be reached.
            Timeout: the connection was lost, or no response arrived in time; the change may have been made.
        """
        import grpc

        reads = _is_read(request)
        for attempt in range(READ_ATTEMPTS):
            try:
                return self._attempt(method, request, seconds)
            except grpc.RpcError as error:
                if not reads and attempt == 0 and self._was_refused_by_one(error):
                    continue
                self._check_lost(error, reads=reads, is_last=attempt == READ_ATTEMPTS - 1)
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, method: Unary[Q, A], request: Q, seconds: float | None) -> A:
        with_call = getattr(method, "with_call", None)
        if with_call is None:
            return method(request, timeout=seconds)
        # A change may name what was read: it must not meet a manager that has not seen that yet.
        metadata = () if _is_read(request) else self._seen.metadata()
        answer, call = with_call(request, timeout=seconds, metadata=metadata)
        trailer = call.trailing_metadata() or ()
        self._seen.update(trailer)
        self._warn_if_stale(trailer)
        made: A = answer
        return made

    @cached_property
    def _seen(self) -> "NewestRevision":
        """What this client has been answered."""
        from shoal.manager_calls.newest_revision import NewestRevision

        return NewestRevision(time.monotonic)

    def _warn_if_stale(self, trailer: "Metadata") -> None:
        """Once, however many answers there are."""
        from shoal.rpc.read_revisions import stale_since_ms

        since_ms = stale_since_ms(trailer)
        if not since_ms or self.answers_are_stale:
            return
        from cli.render.error_lines import warn
        from cli.render.task_rows import timestamp

        self.answers_are_stale = True
        warn(f"the manager has been disconnected from etcd since {timestamp(since_ms)}: this may be out of date")

    def _was_refused_by_one(self, error: "grpc.RpcError") -> bool:
        """Whether another manager may accept a change that one that is disconnected from etcd has refused."""
        from shoal.rpc.status_mapping import is_not_made

        return is_not_made(error) and len(self.context.all_addresses) > 1

    def _check_lost(self, error: "grpc.RpcError", *, reads: bool, is_last: bool) -> None:
        """Raises ShoalError, unless the call is a read to be made again."""
        from shoal.rpc.status_mapping import to_shoal_error

        found = to_shoal_error(error, address=self._address)
        if not isinstance(found, ConnectionLost) or (reads and is_last):
            raise found from error
        if not reads:
            raise Timeout(f"{found}; {MAY_BE_MADE}") from error

    def finish(self, start: Callable[[], PendingCall[A]]) -> A:
        """A call of a change that takes as long as it takes; Ctrl-C cancels it.

        Raises:
            ShoalError: as `call`.
        """
        with self._translated_errors(reads=False):
            with deferred_interrupt(lambda: None):
                pending = start()
            with deferred_interrupt(pending.cancel):
                return pending.result()

    def stream(
        self, method: Streaming[Q, A], request: Q, *, seconds: float | None, if_lost: str = MAY_BE_MADE
    ) -> Generator[A]:
        """The answers of a call, as they come. Leaving the loop cancels the call.

        Args:
            if_lost: what it means for a call that changes something when the connection is lost, and what to do.
        Raises:
            Timeout: `seconds` have passed. ConnectionLost: to the manager; the text of a call that changes something
                says so. ShoalError as for `call`.
        """
        with deferred_interrupt(lambda: None):
            answers = method(request, timeout=seconds)
        try:
            with self._translated_errors(reads=_is_read(request), if_lost=if_lost):
                coming = iter(answers)
                while True:
                    with deferred_interrupt(answers.cancel):
                        answer = next(coming, None)
                    if answer is None:
                        return
                    yield answer
        finally:
            answers.cancel()

    def resumed_stream(self, method: Streaming[Q, A], resumption: Resumption[Q, A]) -> Generator[A]:
        """The answers of a call that goes on at another manager when the connection is lost.

        Raises:
            Unavailable: no manager answers for some time. ShoalError as for `call`.
        """
        attempts = ResumeAttempts(time.monotonic)
        while True:
            attempts.begin()
            try:
                for answer in self.stream(method, resumption.request(), seconds=None):
                    attempts.answered()
                    if (unseen := resumption.unseen(answer)) is not None:
                        yield unseen
                return
            except Unavailable as error:
                if not attempts.may_repeat(lost=isinstance(error, ConnectionLost)):
                    raise
            time.sleep(attempts.delay())

    def raise_for(self, error: BaseException) -> NoReturn:
        """Raise the error of a call that was made with a stub.

        Raises:
            ShoalError: what it means; another error as it is.
        """
        with self._translated_errors(reads=False):
            raise error

    @contextmanager
    def _translated_errors(self, *, reads: bool, if_lost: str = MAY_BE_MADE) -> Iterator[None]:
        import grpc

        try:
            yield
        except grpc.RpcError as error:
            from shoal.rpc.status_mapping import to_shoal_error

            found = to_shoal_error(error, address=self._address)
            if isinstance(found, ConnectionLost) and not reads:
                raise ConnectionLost(f"{found}; {if_lost}") from error
            raise found from error


def _is_read(request: object) -> bool:
    """Whether a request changes nothing, by the name of its message; an iterator of messages may."""
    return type(request).__name__.startswith(READS)


def resolve_context(name: str | None) -> Context:
    """The context named, else that of SHOAL_CONTEXT, else the current one."""
    from shoal.contexts.context_store import ContextStore, default_directory

    return ContextStore(default_directory(os.environ)).resolve(name, os.environ)
