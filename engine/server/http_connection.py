"""A connection of HTTP: aiohttp's, but for what it does with requests that are none.

aiohttp answers and logs such a request with the bytes that it did not like, which may be credentials.
"""

import logging
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from engine.server.server_headers import SERVER_HEADERS

_log = logging.getLogger(__name__)

MAX_HEADERS_TEXT = "Too many headers"
"""What aiohttp calls that; it has no class of its own for it."""


class HttpConnection(web.RequestHandler):
    """Answers what is no request as Go's server does: the status as text, and the end of the connection."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        kind = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if _is_too_large(exc) else HTTPStatus(status)
        _log.info("a client has sent what is no request: %s", kind.phrase)
        response = web.Response(
            text=f"{kind.value} {kind.phrase}", status=kind, content_type="text/plain", headers=SERVER_HEADERS
        )
        response.force_close()
        return response


class HttpServer(web.Server):
    """Makes them."""

    def __call__(self) -> web.RequestHandler:
        return HttpConnection(self, loop=self._loop, **self._kwargs)


def _is_too_large(error: Any) -> bool:
    return isinstance(error, LineTooLong) or str(getattr(error, "message", "")).startswith(MAX_HEADERS_TEXT)
