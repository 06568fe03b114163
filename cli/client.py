"""The connection to a cluster: a context's channel, calls with deadlines, errors in the user's words."""

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar

import grpc

from cli.contexts.context import Context
from cli.contexts.contexts import Contexts, default_directory
from shoal.api.v1.control_pb2_grpc import ControlStub
from shoal.identity.identity import Identity
from shoal.rpc.channel import connect
from shoal.rpc.errors import raise_for

Q = TypeVar("Q")
A = TypeVar("A")

CALL_SECONDS = 30.0
"""No call that is not a stream takes longer; pulling a manifest at submission is the slowest part."""
MAX_ANSWER_BYTES = 256 << 20
"""A list of a million tasks."""


class Client:
    """Calls to the managers of one context. A context manager; closing it cancels what is under way."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._address = ", ".join(context.addresses)
        self._channel = connect(context.addresses, Identity.load(context.directory), max_receive_bytes=MAX_ANSWER_BYTES)
        self.control = ControlStub(self._channel)

    @classmethod
    def of_context(cls, name: str | None) -> Self:
        """A client of the context named, else of the one chosen.

        Raises:
            NotFound: there is none.
        """
        return cls(chosen_context(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Q, A]", request: Q, *, seconds: float = CALL_SECONDS) -> A:
        """One call.

        Raises:
            ShoalError: what the manager answered, or why it could not be asked.
        """
        try:
            return method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise_for(error, address=self._address)

    def stream(
        self, method: "grpc.UnaryStreamMultiCallable[Q, A]", request: Q, *, seconds: float | None
    ) -> Iterator[A]:
        """The answers of a call, as they come. Leaving the loop cancels the call.

        Raises:
            Timeout: `seconds` have passed; ShoalError as for `call`.
        """
        answers = method(request, timeout=seconds)
        try:
            yield from answers
        except grpc.RpcError as error:
            raise_for(error, address=self._address)
        finally:
            answers.cancel()


def chosen_context(name: str | None) -> Context:
    """The context named, else that of SHOAL_CONTEXT, else the current one."""
    return Contexts(default_directory(os.environ)).resolve(name, os.environ)
