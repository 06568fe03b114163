"""A channel whose connections can be made anew under the stubs that use it."""

from collections.abc import Callable
from typing import Any

from grpc import aio


class ReplaceableChannel:
    """What generated stubs need of a channel. Calls go to the channel that is there when they begin.

    A method of a stub has its full name as `path`: "/shoal.api.v1.Control/GetNode".
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = channel

    def replace(self, channel: aio.Channel) -> None:
        """Use another channel for the calls that begin from now on. Those in progress go on; the caller closes both."""
        self._channel = channel

    # The four methods by which stubs are made.

    def unary_unary(self, *arguments: Any, **more: Any) -> Callable[..., Any]:
        return self._method("unary_unary", arguments, more)

    def unary_stream(self, *arguments: Any, **more: Any) -> Callable[..., Any]:
        return self._method("unary_stream", arguments, more)

    def stream_unary(self, *arguments: Any, **more: Any) -> Callable[..., Any]:
        return self._method("stream_unary", arguments, more)

    def stream_stream(self, *arguments: Any, **more: Any) -> Callable[..., Any]:
        return self._method("stream_stream", arguments, more)

    def _method(self, kind: str, arguments: tuple[Any, ...], more: dict[str, Any]) -> Callable[..., Any]:
        made_for, made = self._channel, getattr(self._channel, kind)(*arguments, **more)

        def call(*values: Any, **options: Any) -> Any:
            nonlocal made_for, made
            if made_for is not self._channel:
                made_for, made = self._channel, getattr(self._channel, kind)(*arguments, **more)
            return made(*values, **options)

        call.path = arguments[0]  # type: ignore[attr-defined]
        return call
