"""One request of a client: its version, caller, parameters and body, and the answers to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.protocol.compact_json import encoded
from engine.protocol.errors import ApiError, bad_request
from engine.protocol.parameters import Filters, boolean, integer, parse_filters
from engine.protocol.versions import ApiVersion
from engine.server.callers import ApiCaller
from engine.server.hijack import RawStream, hijack, upgrade
from engine.server.server_headers import SERVER_HEADERS
from engine.server.websocket import WebSocketStream

MAX_JSON_BYTES = 4 * 1024 * 1024
JSON = "application/json"

_BEGUN = web.RequestKey("answer has begun", bool)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a value of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


@dataclass(frozen=True)
class Call:
    """A request that was routed.

    Attributes:
        request: aiohttp's, whose body is not read yet.
        parameters: of the path, decoded.
    """

    request: web.BaseRequest
    version: ApiVersion
    parameters: Mapping[str, str]
    caller: ApiCaller

    def text(self, name: str, default: str = "") -> str:
        """A parameter of the query; the first one of several."""
        return self.request.query.get(name, default)

    def texts(self, name: str) -> list[str]:
        """All values of a parameter that is repeated."""
        return self.request.query.getall(name, [])

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """A boolean in Docker's notation."""
        value = self.request.query.get(name)
        return default if value is None else boolean(value)

    def integer(self, name: str, default: int) -> int:
        """A number; the default where there is none.

        Raises:
            ApiError: 400, it is no number.
        """
        value = self.request.query.get(name, "")
        return integer(name, value) if value else default

    def filters(self) -> Filters:
        """The parameter `filters`.

        Raises:
            ApiError: 400, it is not valid.
        """
        return parse_filters(self.text("filters"))

    def header(self, name: str) -> str:
        """A header of the request; empty where there is none."""
        return self.request.headers.get(name, "")

    @property
    def has_body(self) -> bool:
        return self.request.body_exists and self.request.content_length != 0

    async def json_object(self, *, optional: bool = False) -> dict[str, Any]:
        """The body, a JSON object.

        Args:
            optional: no body is an empty object.
        Raises:
            ApiError: 400, it is none; 413, it is larger than `MAX_JSON_BYTES`.
        """
        if not self.has_body:
            if optional:
                return {}
            raise bad_request("invalid JSON: got EOF while reading request body")
        self._check_content_type()
        body = await self._read_json()
        if not body.strip() and optional:
            return {}
        return parse_object(body)

    def _check_content_type(self) -> None:
        given = self.header("content-type")
        if given.partition(";")[0].strip().lower() != JSON:
            raise bad_request(f"unsupported Content-Type header ({given}): must be 'application/json'")

    async def _read_json(self) -> bytes:
        """The body. One without a length is read until its first value is whole: some clients never end it."""
        content, size = bytearray(), self.request.content_length
        if size is not None and size > MAX_JSON_BYTES:
            raise _too_large()
        while piece := await self.request.content.readany():
            content += piece
            if len(content) > MAX_JSON_BYTES:
                raise _too_large()
            if size is None and content.rstrip().endswith(b"}") and _is_whole(content):
                break
        return bytes(content)

    def json(self, document: object, status: int = HTTPStatus.OK) -> web.Response:
        """An answer with a document."""
        return self.encoded_json(encoded(document), status)

    def encoded_json(self, document: bytes, status: int = HTTPStatus.OK) -> web.Response:
        """An answer with a document that is JSON already."""
        return web.Response(body=document + b"\n", status=status, headers={**SERVER_HEADERS, "Content-Type": JSON})

    def empty(self, status: int = HTTPStatus.NO_CONTENT, headers: Mapping[str, str] | None = None) -> web.Response:
        """An answer without a body."""
        return web.Response(status=status, headers={**SERVER_HEADERS, **(headers or {})})

    async def stream(
        self, content_type: str = JSON, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        """An answer whose head goes out at once, and whose body is written as it comes."""
        response = web.StreamResponse(
            status=status, headers={**SERVER_HEADERS, "Content-Type": content_type, **(headers or {})}
        )
        self.request[_BEGUN] = True
        await response.prepare(self.request)
        return response

    def hijack(self, content_type: str) -> RawStream:
        """Take the connection over: the answer's head goes out, then bytes in both directions.

        Raises:
            ConnectionError: the client is gone.
        """
        stream = hijack(self.request, content_type, SERVER_HEADERS)
        self.request[_BEGUN] = True
        return stream

    def upgrade(self, protocol: str) -> RawStream:
        """Make the connection one of another protocol: the answer's head goes out, then bytes in both directions.

        Raises:
            ConnectionError: the client is gone.
        """
        stream = upgrade(self.request, protocol, SERVER_HEADERS)
        self.request[_BEGUN] = True
        return stream

    async def websocket(self, *, binary: bool) -> WebSocketStream:
        """Make the connection a WebSocket.

        Args:
            binary: of frames to the client; else they are text.
        Raises:
            ApiError: 400, the client has asked for none.
        """
        stream = await WebSocketStream.open(self.request, binary=binary)
        self.request[_BEGUN] = True
        return stream

    @property
    def has_begun(self) -> bool:
        """Whether the head of an answer with a stream is out."""
        return _BEGUN in self.request


def json_line(document: object) -> bytes:
    """A document of a stream of them, as Docker separates them."""
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\r\n").encode(errors="replace")


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        text = body.decode()
        document, end = _DECODER.raw_decode(text.lstrip())
    except (ValueError, RecursionError) as error:
        raise bad_request(f"invalid JSON: {error}") from None
    if text.lstrip()[end:].strip():
        raise bad_request("unexpected content after JSON")
    if not isinstance(document, dict):
        raise bad_request(f"invalid JSON: must be an object, not {type(document).__name__}")
    return document


def _is_whole(body: bytes | bytearray) -> bool:
    try:
        _DECODER.raw_decode(body.decode().lstrip())
    except (ValueError, RecursionError):
        return False
    return True


def _too_large() -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request body is too large; the maximum is {MAX_JSON_BYTES:,} bytes"
    )
