"""Calls of a daemon to another one name the request that caused them, so that one id finds the lines of both logs."""

from collections.abc import Callable
from functools import partial
from typing import Any

from grpc import aio

from shoal.telemetry.request_context import request_metadata


class RequestChannel:
    """A channel for a stub whose calls have the metadata of the request that the running task serves, if there is one.

    No interceptor: those of asyncio's channels put a task between a stream and its reader.
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, **more: Any) -> Any:
        """One response."""
        return partial(_call, self._channel.unary_unary(method, **more))

    def unary_stream(self, method: str, **more: Any) -> Any:
        """Several responses."""
        return partial(_call, self._channel.unary_stream(method, **more))

    def stream_unary(self, method: str, **more: Any) -> Any:
        """One response to several messages."""
        return partial(_call, self._channel.stream_unary(method, **more))

    def stream_stream(self, method: str, **more: Any) -> Any:
        """Several responses to several messages."""
        return partial(_call, self._channel.stream_stream(method, **more))


def _call(call: Callable[..., Any], *arguments: Any, metadata: Any = (), **more: Any) -> Any:
    return call(*arguments, metadata=(*(metadata or ()), *request_metadata()), **more)
