"""Calls to the cluster's managers, over one channel of the engine's own context."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc

from engine.cluster.replaceable_channel import ReplaceableChannel
from shoal.api.v1.control_pb2_grpc import ControlStub
from shoal.api.v1.engine_pb2_grpc import ContainersStub, ImagesStub
from shoal.rpc.status_mapping import to_shoal_error

if TYPE_CHECKING:
    from shoal.api.v1.control_pb2_grpc import ControlAsyncStub
    from shoal.api.v1.engine_pb2_grpc import ContainersAsyncStub, ImagesAsyncStub

Q = TypeVar("Q", contravariant=True)
A = TypeVar("A", covariant=True)
R = TypeVar("R")

CALL_SECONDS = 30.0
"""For a call that is not a stream, unless said otherwise."""
SIZE_SECONDS = 60.0
"""For one for which nodes count what is on their disks."""


class Unary(Protocol[Q, A]):
    """A unary call of a stub."""

    def __call__(self, request: Q, /, *, timeout: float | None = None) -> Awaitable[A]: ...


class Managers:
    """The services of the managers. Errors of calls are `ShoalError`s with the managers' texts.

    Attributes:
        control, containers, images: stubs; calls are made by `call` and `stream`.
    """

    def __init__(self, channel: ReplaceableChannel, *, address: str = "the manager") -> None:
        self._address = address
        untyped: Any = channel
        self.control: ControlAsyncStub = ControlStub(untyped)
        self.containers: ContainersAsyncStub = ContainersStub(untyped)
        self.images: ImagesAsyncStub = ImagesStub(untyped)

    async def call(
        self, method: Callable[..., Awaitable[R]], request: object, *, seconds: float | None = CALL_SECONDS
    ) -> R:
        """One call, of one request or of an iterator of them.

        Args:
            seconds: that it may take; None: no bound.
        Raises:
            ShoalError: the manager's error, or why it cannot be reached.
        """
        try:
            return await method(request, timeout=seconds)
        except grpc.RpcError as error:
            raise to_shoal_error(error, address=self._address) from error

    async def stream(self, method: Callable[..., AsyncIterable[R]], request: object) -> AsyncGenerator[R]:
        """The answers of a call, as they come. Closing the generator cancels the call.

        Args:
            request: a message, or an asynchronous iterator of messages.
        Raises:
            ShoalError: as `call`.
        """
        answers: Any = method(request)
        try:
            async for answer in answers:
                yield answer
        except grpc.RpcError as error:
            raise to_shoal_error(error, address=self._address) from error
        finally:
            answers.cancel()
