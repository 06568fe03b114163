"""Names the command's request in the metadata of every call. Loads gRPC: import this where a channel is made."""

from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from shoal.telemetry.request_context import request_metadata


class _Details(NamedTuple):
    """What gRPC takes of a call's details (`grpc.ClientCallDetails`)."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class RequestInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Of calls of all shapes."""

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(_named(details), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(_named(details), request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(_named(details), requests)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return continuation(_named(details), requests)


def _named(details: Any) -> _Details:
    metadata = (*(details.metadata or ()), *request_metadata())
    return _Details(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready, details.compression
    )
