"""The interceptor of every method: authentication, authorization, call limits, and errors to status codes.

Every method is served as one that takes a stream of requests, which is the same on the wire: so the caller is known and
admitted before a byte of the request is read.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc import aio

from shoal.encoded_message import EncodedMessage
from shoal.errors import PermissionDenied, ShoalError, Timeout
from shoal.identity.roles import Role
from shoal.rpc.access import Access
from shoal.rpc.call_metrics import CallMetrics, CallOutcome
from shoal.rpc.caller import Caller, Context, caller_of
from shoal.rpc.conditional_reads import ConditionalReads, known_view, view_trailer
from shoal.rpc.read_revisions import ReadRevisions
from shoal.rpc.removed_managers import RemovedManagers
from shoal.rpc.request_limits import REQUEST_SECONDS, CallLimiter, check_each, request_deserializer, single_request
from shoal.rpc.status_mapping import ORIGIN_KEY, code_of, details_of, trailer_of
from shoal.telemetry.request_context import current_request, new_request, request_of, serve
from shoal.telemetry.tracing import span

_log = logging.getLogger(__name__)

NO_REMOVED_MANAGERS = RemovedManagers()

# Quoted: generic for type checkers only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def authorize(access: Access, method: str, context: Context) -> Caller | None:
    """The caller, who may call the method. None where the method asks for no certificate.

    Of a call on behalf of a user both must be admitted, the user and the engine or console.

    Raises:
        Unauthenticated, PermissionDenied
    """
    if method not in access:
        raise PermissionDenied(f"{method} is not allowed on this port")
    admitted = access[method]
    if admitted is None:
        return None
    caller = caller_of(context)
    if not {caller.role, caller.subject.role} <= admitted:
        required = ", ".join(sorted(admitted))
        raise PermissionDenied(f"{_describe(caller)} cannot call {method}; required role: {required}")
    return caller


class Guard(aio.ServerInterceptor):
    """Checks the caller's role before the request is read, and answers exceptions with their status.

    Args:
        revisions: of the store that users' calls read from; None: there is none.
        conditional: calls that are answered "unchanged" where nothing has changed; None: there are none.
        removed: managers whose certificates are refused.
    """

    def __init__(
        self,
        access: Access,
        revisions: ReadRevisions | None = None,
        conditional: ConditionalReads | None = None,
        removed: RemovedManagers = NO_REMOVED_MANAGERS,
    ) -> None:
        self._access = access
        self._removed = removed
        self._revisions = revisions
        self._conditional = conditional
        self._calls = CallLimiter()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        guarded = _GuardedMethod(self._access, method, self._calls, self._revisions, self._conditional, self._removed)
        return _wrap(handler, guarded)


Requests = AsyncIterator[Any]


class _GuardedMethod:
    """One method's calls. The two shapes are those of gRPC: one response, or a stream of them."""

    def __init__(
        self,
        access: Access,
        method: str,
        calls: CallLimiter,
        revisions: ReadRevisions | None,
        conditional: ConditionalReads | None,
        removed: RemovedManagers,
    ) -> None:
        self._access = access
        self._removed = removed
        self.method = method
        self._calls = calls
        self._revisions = revisions if Role.ADMIN in (access.get(method) or ()) else None
        self._conditional = conditional

    def unary(
        self, behave: Callable[[Any, Context], Awaitable[Any]], *, streaming: bool
    ) -> Callable[[Requests, Context], Awaitable[Any]]:
        async def run(requests: Requests, context: Context) -> Any:
            stale_ms = self._stale_since_ms()
            with CallMetrics(self.method, is_stream=streaming).measured() as outcome:
                try:
                    with self._admit(context), span(self.method.lstrip("/")):
                        response = await self._respond(behave, requests, context, streaming=streaming)
                        outcome.code = grpc.StatusCode.OK
                        return response
                except Exception as error:
                    await self._abort(error, context, outcome, stale_ms)

        return run

    async def _respond(
        self,
        behave: Callable[[Any, Context], Awaitable[Any]],
        requests: Requests,
        context: Context,
        *,
        streaming: bool,
    ) -> Any:
        request = await self._read_request(requests, streaming=streaming)
        await self._wait_for_revision(context)
        view = self._conditional.view_for(self.method) if self._conditional else ""
        unchanged = bool(view) and view == known_view(context.invocation_metadata() or ())
        response = EncodedMessage(b"") if unchanged else await behave(request, context)
        context.set_trailing_metadata((*self._trailer(), *view_trailer(view, unchanged=unchanged)))
        return response

    def stream(
        self, behave: Callable[[Any, Context], AsyncIterator[Any]], *, streaming: bool
    ) -> Callable[[Requests, Context], AsyncIterator[Any]]:
        async def run(requests: Requests, context: Context) -> AsyncIterator[Any]:
            stale_ms = self._stale_since_ms()
            with CallMetrics(self.method, is_stream=True).measured() as outcome:
                try:
                    with self._admit(context), span(self.method.lstrip("/")):
                        taken = await self._read_request(requests, streaming=streaming)
                        await self._wait_for_revision(context)
                        async with aclosing(behave(taken, context)) as responses:  # type: ignore[type-var]
                            async for response in responses:
                                yield response
                        context.set_trailing_metadata(self._trailer())
                        outcome.code = grpc.StatusCode.OK
                except Exception as error:
                    await self._abort(error, context, outcome, stale_ms)

        return run

    @contextmanager
    def _admit(self, context: Context) -> Iterator[None]:
        serve(request_of(context.invocation_metadata() or ()))
        caller = authorize(self._access, self.method, context)
        if caller is not None:
            self._removed.check(caller, self.method)
        with self._calls.hold(caller.subject if caller else None):
            yield

    async def _read_request(self, requests: Requests, *, streaming: bool) -> Any:
        if streaming:
            return check_each(requests)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await single_request(requests)
        except TimeoutError:
            raise Timeout(f"the request did not arrive within {REQUEST_SECONDS:g} s") from None

    async def _wait_for_revision(self, context: Context) -> None:
        if self._revisions is not None:
            await self._revisions.wait(context.invocation_metadata() or ())

    def _trailer(self) -> tuple[tuple[str, str], ...]:
        return self._revisions.trailer() if self._revisions is not None else ()

    def _stale_since_ms(self) -> int:
        return self._revisions.stale_since_ms() if self._revisions is not None else 0

    def _error_trailer(self, stale_ms: int, error: Exception) -> tuple[tuple[str, str], ...]:
        return self._revisions.error_trailer(stale_ms, error) if self._revisions is not None else ()

    async def _abort(self, error: Exception, context: Context, outcome: CallOutcome, stale_ms: int) -> NoReturn:
        error = _cause(error)
        if isinstance(error, aio.AbortError):
            outcome.code = grpc.StatusCode.ABORTED
            raise error
        outcome.code = code_of(error) if isinstance(error, ShoalError) else grpc.StatusCode.INTERNAL
        if isinstance(error, ShoalError):
            own = self._error_trailer(stale_ms, error)
            await context.abort(code_of(error), details_of(error), (*trailer_of(error), *own))
        request = current_request() or new_request()
        serve(request)
        _log.error("%s failed", self.method, exc_info=error)
        text = f"internal error; check the logs of the server for request {request.request_id}"
        await context.abort(grpc.StatusCode.INTERNAL, text, ((ORIGIN_KEY, b"1"),))


def _wrap(handler: Any, guarded: _GuardedMethod) -> Handler:
    """The same method, guarded. (The types of gRPC know only blocking handlers.)"""
    coders = {
        "request_deserializer": request_deserializer(guarded.method, handler.request_deserializer),
        "response_serializer": _serializer(handler.response_serializer),
    }
    streaming = bool(handler.request_streaming)
    if handler.response_streaming:
        behave = handler.stream_stream if streaming else handler.unary_stream
        return grpc.stream_stream_rpc_method_handler(guarded.stream(behave, streaming=streaming), **coders)
    behave = handler.stream_unary if streaming else handler.unary_unary
    return grpc.stream_unary_rpc_method_handler(guarded.unary(behave, streaming=streaming), **coders)


def _serializer(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Sends messages that are encoded already as they are."""
    return lambda response: response.encoded if isinstance(response, EncodedMessage) else serialize(response)


def _cause(error: Exception) -> Exception:
    """The first of a task group's failures, when all of them are errors for callers; else the error itself."""
    if not isinstance(error, ExceptionGroup):
        return error
    known, unexpected = error.split((ShoalError, aio.AbortError))
    if unexpected is not None or known is None:
        return error
    first: Exception = known
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first


def _describe(caller: Caller) -> str:
    if caller.gateway:
        return f"the {caller.role} {caller.name}, through the {caller.gateway.role} {caller.gateway.id},"
    return "an admin" if caller.role is Role.ADMIN else f"the {caller.role} {caller.name}"
