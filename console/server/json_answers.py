"""JSON in and out, and errors as documents: {"error": TEXT, "faults": [{"path", "message"}]}."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from console.json_text import encode
from shoal.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Refused,
    ShoalError,
    Timeout,
    Unauthenticated,
    Unavailable,
)

_STATUSES: Mapping[type[ShoalError], int] = {
    InvalidInput: 400,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    AlreadyExists: 409,
    Conflict: 409,
    Refused: 409,
    Exhausted: 429,
    Unavailable: 503,
    Timeout: 504,
}


def answer(document: object, *, status: int = 200) -> web.Response:
    """A document, that no cache keeps."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=encode(document).encode(), status=status, content_type="application/json", headers=headers)


def error_answer(error: ShoalError) -> web.Response:
    """An error, with the status of its kind."""
    status = next((code for kind, code in _STATUSES.items() if isinstance(error, kind)), 500)
    document: dict[str, Any] = {"error": str(error)}
    if isinstance(error, InvalidInput):
        document["faults"] = [{"path": each.path, "message": each.message} for each in error.faults]
    return answer(document, status=status)


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        InvalidInput: it brings something else.
    """
    if request.content_type != "application/json":
        raise InvalidInput("the body must be application/json")
    try:
        document = await request.json()
    except (ValueError, RecursionError):
        raise InvalidInput("the body is not valid JSON") from None
    if not isinstance(document, dict):
        raise InvalidInput("the body must be a JSON object")
    return document


def text_of(document: Mapping[str, Any], key: str) -> str:
    """A text of a document.

    Raises:
        InvalidInput: it is missing or something else.
    """
    value = document.get(key)
    if not isinstance(value, str):
        raise InvalidInput(f"{key}: must be a text")
    return value


def content_of(document: Mapping[str, Any]) -> bytes | None:
    """The content of a secret or config: a text, `content`, or a file's, `content_base64`; None: neither is there.

    Raises:
        InvalidInput: it is no text, or no base64 (RFC 4648 section 4).
    """
    if "content" in document:
        return text_of(document, "content").encode()
    if "content_base64" not in document:
        return None
    try:
        return base64.b64decode(text_of(document, "content_base64"), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("content: must be base64") from None


def number_of(document: Mapping[str, Any], key: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number of a document.

    Raises:
        InvalidInput: it is missing, something else or out of range.
    """
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidInput(f"{key}: must be a whole number from {least:,} to {most:,}")
    return value
