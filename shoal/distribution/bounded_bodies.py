"""Response bodies other than layers: bounded in bytes and seconds, never decompressed."""

import asyncio

import httpx

from shoal.distribution.bounded_connections import ConnectionBroken
from shoal.errors import InvalidInput, Unavailable

MAX_ERROR_BYTES = 64 << 10
"""Of a refusal."""


async def read_body(response: httpx.Response, *, limit: int, seconds: float, what: str) -> bytes:
    """The body as it came. None was asked to be compressed: a few bytes could become as many as fill the memory.

    Args:
        what: the thing asked for, for error texts.
    Raises:
        InvalidInput: it is encoded, or has more than `limit` bytes. Unavailable: it does not end in time.
        ConnectionBroken: the connection does.
    """
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise InvalidInput(f"the registry returned an unexpected content encoding for {what}: {encoding[:40]!a}")
    found = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in response.aiter_raw():
                found += chunk
                if len(found) > limit:
                    raise InvalidInput(f"the registry's response for {what} is too large; the maximum is {limit} bytes")
    except TimeoutError:
        raise Unavailable(f"the registry's response for {what} timed out") from None
    return bytes(found)


async def read_error_body(response: httpx.Response, *, seconds: float, what: str) -> bytes:
    """The body of a refusal, which is no loss where it cannot be read."""
    try:
        return await read_body(response, limit=MAX_ERROR_BYTES, seconds=seconds, what=what)
    except (ConnectionBroken, InvalidInput, Unavailable):
        return b""
