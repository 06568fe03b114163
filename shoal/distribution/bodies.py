"""Bodies of answers that are not layers: bounded in bytes and seconds, and never decompressed."""

import asyncio

import httpx

from shoal.distribution.connections import Broken
from shoal.errors import InvalidInput, Unavailable

MAX_SAID_BYTES = 64 << 10
"""Of a refusal."""


async def read_body(response: httpx.Response, *, limit: int, seconds: float, what: str) -> bytes:
    """The body as it came. None was asked to be compressed: a few bytes could become as many as fill the memory.

    Args:
        what: the thing asked for, for error texts.
    Raises:
        InvalidInput: it is encoded, or has more than `limit` bytes. Unavailable: it does not end in time.
        Broken: the connection does.
    """
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise InvalidInput(f"the registry's answer for {what} is encoded as {encoding[:40]!a}, which nobody asked for")
    found = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in response.aiter_raw():
                found += chunk
                if len(found) > limit:
                    raise InvalidInput(f"the registry's answer for {what} has more than the {limit} bytes taken")
    except TimeoutError:
        raise Unavailable(f"the registry's answer for {what} did not end in time") from None
    return bytes(found)


async def said(response: httpx.Response, *, seconds: float, what: str) -> bytes:
    """The body of a refusal, which is no loss where it cannot be read."""
    try:
        return await read_body(response, limit=MAX_SAID_BYTES, seconds=seconds, what=what)
    except (Broken, InvalidInput, Unavailable):
        return b""
