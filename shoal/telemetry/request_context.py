"""The request that the running code serves: its id in logs and errors, and its place in a trace.

The command line makes an id for each command, engine and console for each of their requests. It travels in the metadata
of calls, and with a change in the record of its revision to the nodes that carry it out.
"""

import os
import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import NamedTuple

REQUEST_KEY = "shoal-request-id"
"""Metadata of a call."""
TRACE_KEY = "traceparent"
"""Metadata of a call, as W3C's Trace Context has it; of calls that are traced alone."""

_REQUEST_ID = re.compile(r"[0-9a-f]{16}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-01")


class RequestContext(NamedTuple):
    """One request. No data class: the command line loads this at each start.

    Attributes:
        request_id: 16 hexadecimal digits.
        traceparent: the span that encloses what is done now (W3C Trace Context, version 00, sampled); empty: the
            request is not traced.
    """

    request_id: str
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty: it is not traced."""
        return self.traceparent.split("-")[1] if self.traceparent else ""


_CURRENT: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def new_request() -> RequestContext:
    """A request that begins here."""
    return RequestContext(os.urandom(8).hex())


def current_request() -> RequestContext | None:
    """What the running task serves; None: nothing that anybody has requested."""
    return _CURRENT.get()


def serve(request: RequestContext | None) -> None:
    """The running task, and tasks that it begins from now on, serve this request."""
    _CURRENT.set(request)


def request_metadata() -> tuple[tuple[str, str], ...]:
    """What a call sends now."""
    request = _CURRENT.get()
    if request is None:
        return ()
    own = ((REQUEST_KEY, request.request_id),)
    return (*own, (TRACE_KEY, request.traceparent)) if request.traceparent else own


def request_of(metadata: Iterable[tuple[str, str | bytes]]) -> RequestContext | None:
    """The request that a call belongs to; None: it names none, or not in the form of an id, which would go to logs."""
    found = {key: value for key, value in metadata if key in (REQUEST_KEY, TRACE_KEY) and isinstance(value, str)}
    return request_from(found.get(REQUEST_KEY, ""), found.get(TRACE_KEY, ""))


def request_from(request_id: str, traceparent: str) -> RequestContext | None:
    """Of a record or a message; None: it has none."""
    if not _REQUEST_ID.fullmatch(request_id):
        return None
    return RequestContext(request_id, traceparent if _TRACEPARENT.fullmatch(traceparent) else "")
