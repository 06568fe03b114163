"""The connection to a cluster: a context's channel, calls with deadlines, errors in the user's words."""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self, TypeVar

from cli.contexts.context import Context
from cli.interrupts import after_the_wait

Q = TypeVar("Q", contravariant=True)
A = TypeVar("A")
G = TypeVar("G", covariant=True)

CALL_SECONDS = 30.0
"""No call that is not a stream takes longer; pulling a manifest at submission is the slowest part."""
MAX_ANSWER_BYTES = 256 << 20
"""A list of a million tasks."""


class Unary(Protocol[Q, G]):
    """A call with one answer, as the stub has it."""

    def __call__(self, request: Q, timeout: float | None = None) -> G: ...


class Answers(Protocol[G]):
    """The answers of a call, as they come."""

    def __iter__(self) -> Iterator[G]: ...

    def cancel(self) -> object: ...


class Streaming(Protocol[Q, G]):
    """A call with many answers. The request is a message, or an iterator of messages where the call takes many."""

    def __call__(self, request: Q, /, timeout: float | None = None) -> Answers[G]: ...


class Client:
    """Calls to the managers of one context. A context manager; closing it cancels what is under way."""

    def __init__(self, context: Context) -> None:
        # Here, not above: gRPC takes 40 ms to import, and help, completion and bad input need none of it.
        from shoal.api.v1.control_pb2_grpc import ControlStub
        from shoal.identity.identity import Identity
        from shoal.rpc.channel import connect

        self.context = context
        self._address = ", ".join(context.all_addresses)
        self._channel = connect(
            context.all_addresses, Identity.load(context.directory), max_receive_bytes=MAX_ANSWER_BYTES
        )
        self.control = ControlStub(self._channel)

    @classmethod
    def of_context(cls, name: str | None) -> Self:
        """A client of the context named, else of the one chosen, whose certificate is renewed if it is time.

        Raises:
            NotFound: there is none.
        """
        from cli.contexts import learned
        from cli.contexts.expiry import keep_valid
        from cli.render.failure import warn

        context, now = chosen_context(name), datetime.now(UTC)
        if warning := keep_valid(context, now):
            warn(warning)
        client = cls(context)
        if learned.is_due(context, now):
            learned.refresh(context, client.manager_addresses)
        return client

    def manager_addresses(self) -> Sequence[str]:
        """`host:port` of the API of each manager of the cluster.

        Raises:
            ShoalError: no manager answers soon.
        """
        from cli.contexts.learned import ANSWER_SECONDS
        from shoal.api.v1.control_pb2 import GetClusterRequest

        return self.call(self.control.GetCluster, GetClusterRequest(), seconds=ANSWER_SECONDS).api_addresses

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(self, method: Unary[Q, A], request: Q, *, seconds: float = CALL_SECONDS) -> A:
        """One call.

        Raises:
            ShoalError: what the manager answered, or why it could not be asked.
        """
        with self._in_words():
            return method(request, timeout=seconds)

    def stream(self, method: Streaming[Q, A], request: Q, *, seconds: float | None) -> Generator[A]:
        """The answers of a call, as they come. Leaving the loop cancels the call.

        Raises:
            Timeout: `seconds` have passed; ShoalError as for `call`.
        """
        with after_the_wait(lambda: None):
            answers = method(request, timeout=seconds)
        try:
            with self._in_words():
                coming = iter(answers)
                while True:
                    with after_the_wait(answers.cancel):
                        answer = next(coming, None)
                    if answer is None:
                        return
                    yield answer
        finally:
            answers.cancel()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        import grpc

        from shoal.rpc.errors import raise_for

        try:
            yield
        except grpc.RpcError as error:
            raise_for(error, address=self._address)


def chosen_context(name: str | None) -> Context:
    """The context named, else that of SHOAL_CONTEXT, else the current one."""
    from cli.contexts.contexts import Contexts, default_directory

    return Contexts(default_directory(os.environ)).resolve(name, os.environ)
