"""The interceptor before every method: who calls, may they, how much at once, and what an exception becomes.

Every method is served as one that takes a stream of requests, which is the same on the wire: so the caller is known and
admitted before a byte of the request is read.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc import aio

from shoal.errors import PermissionDenied, ShoalError, Timeout, Unauthenticated
from shoal.identity.certificates import caller_of
from shoal.identity.roles import Caller, Role
from shoal.rpc.access import Access
from shoal.rpc.errors import ORIGIN_KEY, code_of, details_of, trailer_of
from shoal.rpc.request_limits import REQUEST_SECONDS, CallLimit, counted, each_admitted, only

_log = logging.getLogger(__name__)

# Of any request and response: the guard looks into neither. Quoted: these are generic for type checkers only.
Context: TypeAlias = "aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def caller(context: Context) -> Caller:
    """Whom the certificate on this connection names; TLS has verified it.

    Raises:
        Unauthenticated: there is none, or it is not one of ours.
    """
    shown = list(context.auth_context().get("x509_pem_cert", ()))
    if not shown:
        raise Unauthenticated("this call needs a certificate of the cluster")
    return caller_of(shown[0])


def check(access: Access, method: str, context: Context) -> Caller | None:
    """Let the caller pass, or say why not. None where the method asks for no certificate.

    Raises:
        Unauthenticated, PermissionDenied
    """
    if method not in access:
        raise PermissionDenied(f"{method} may be called by nobody here")
    admitted = access[method]
    if admitted is None:
        return None
    who = caller(context)
    if who.role not in admitted:
        raise PermissionDenied(f"{_named(who)} may not call {method}; it is for {', '.join(sorted(admitted))}")
    return who


class Guard(aio.ServerInterceptor):
    """Checks the caller's role before the request is read, and answers exceptions with their status."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._calls = CallLimit()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        guarded = _Guarded(self._access, handler_call_details.method, self._calls)
        return _wrap(handler, guarded)


Requests = AsyncIterator[Any]


class _Guarded:
    """One method's calls. The two shapes are those of gRPC: one response, or a stream of them."""

    def __init__(self, access: Access, method: str, calls: CallLimit) -> None:
        self._access = access
        self.method = method
        self._calls = calls

    def single(
        self, behave: Callable[[Any, Context], Awaitable[Any]], *, streaming: bool
    ) -> Callable[[Requests, Context], Awaitable[Any]]:
        async def run(requests: Requests, context: Context) -> Any:
            try:
                with self._calls.hold(check(self._access, self.method, context)):
                    return await behave(await self._taken(requests, streaming=streaming), context)
            except Exception as error:
                await self._answer(error, context)

        return run

    def stream(
        self, behave: Callable[[Any, Context], AsyncIterator[Any]], *, streaming: bool
    ) -> Callable[[Requests, Context], AsyncIterator[Any]]:
        async def run(requests: Requests, context: Context) -> AsyncIterator[Any]:
            try:
                with self._calls.hold(check(self._access, self.method, context)):
                    taken = await self._taken(requests, streaming=streaming)
                    async with aclosing(behave(taken, context)) as responses:  # type: ignore[type-var]
                        async for response in responses:
                            yield response
            except Exception as error:
                await self._answer(error, context)

        return run

    async def _taken(self, requests: Requests, *, streaming: bool) -> Any:
        if streaming:
            return each_admitted(requests)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await only(requests)
        except TimeoutError:
            raise Timeout(f"the request did not arrive within {REQUEST_SECONDS:g} s") from None

    async def _answer(self, error: Exception, context: Context) -> NoReturn:
        error = _cause(error)
        if isinstance(error, aio.AbortError):
            raise error
        if isinstance(error, ShoalError):
            await context.abort(code_of(error), details_of(error), trailer_of(error))
        _log.error("%s failed", self.method, exc_info=error)
        text = "the call failed inside; the log of the server says why"
        await context.abort(grpc.StatusCode.INTERNAL, text, ((ORIGIN_KEY, b"1"),))


def _wrap(handler: Any, guarded: _Guarded) -> Handler:
    """The same method, guarded. (The types of gRPC know only blocking handlers.)"""
    coders = {
        "request_deserializer": counted(guarded.method, handler.request_deserializer),
        "response_serializer": handler.response_serializer,
    }
    streaming = bool(handler.request_streaming)
    if handler.response_streaming:
        behave = handler.stream_stream if streaming else handler.unary_stream
        return grpc.stream_stream_rpc_method_handler(guarded.stream(behave, streaming=streaming), **coders)
    behave = handler.stream_unary if streaming else handler.unary_unary
    return grpc.stream_unary_rpc_method_handler(guarded.single(behave, streaming=streaming), **coders)


def _cause(error: Exception) -> Exception:
    """The first of a task group's failures, when all of them are told to callers; else the error itself."""
    if not isinstance(error, ExceptionGroup):
        return error
    told, unexpected = error.split((ShoalError, aio.AbortError))
    if unexpected is not None or told is None:
        return error
    first: Exception = told
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first


def _named(who: Caller) -> str:
    return "an admin" if who.role is Role.ADMIN else f"the {who.role} {who.id}"
