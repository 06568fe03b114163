"""Opens streams in both directions without losing a cancellation."""

from typing import Any

from grpc import aio


async def opened(stream: aio.StreamStreamCall[Any, Any]) -> None:
    """Wait until the server has answered a stream, or ended it; call it before the first read.

    The first read of grpcio waits for a task that swallows cancellations (`StreamStreamCall._prepare_rpc` of 1.85). A
    caller that is cancelled just when the server refuses the stream sees only the refusal; if it tries again on
    refusals, it never ends.
    """
    await stream.initial_metadata()
