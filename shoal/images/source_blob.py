"""A blob of a repository as a stream that goes on after a broken connection and is verified as its bytes go by."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from shoal.distribution.digests import is_digest
from shoal.distribution.manifests import Descriptor
from shoal.distribution.registry_client import Repository
from shoal.distribution.retry_policy import RetryPolicy
from shoal.errors import InvalidInput, Unavailable
from shoal.images.piecewise_digest import PiecewiseDigest

_MAX_FAILURES = 4
"""In a row, each without a byte."""


class SourceBlob:
    """One blob; `open` may be called again after a failure, from any offset that was opened or read up to.

    Args:
        on_bytes: called with the number of bytes that are verified or on their way.
    """

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        *,
        on_bytes: Callable[[int], None],
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not is_digest(descriptor.digest):
            raise InvalidInput(f"{descriptor.digest[:80]!r} is not a digest; expected sha256:<64 hex digits>")
        self._repository = repository
        self._descriptor = descriptor
        self._on_bytes = on_bytes
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
        self._digest = PiecewiseDigest(descriptor.digest, descriptor.size)

    async def open(self, offset: int) -> AsyncGenerator[bytes]:
        """The bytes from an offset to the end.

        The last ones come only when all of them are what the digest names.

        Raises:
            InvalidInput: the content is corrupt, or longer than announced.
            Unavailable: the registry failed several times in a row, or is too slow.
        """
        position, failures = offset, 0
        self._digest.seek(offset)
        if not self._descriptor.size:
            self._digest.update(b"")
        while position < self._descriptor.size:
            before = position
            try:
                async with aclosing(self._pieces(position)) as pieces:
                    async for piece in pieces:
                        position += len(piece)
                        self._digest.update(piece)
                        self._on_bytes(position)
                        yield piece
                if position < self._descriptor.size:
                    raise Unavailable(f"the registry sent only a part of {self._descriptor.digest}")
            except Unavailable:
                failures = 1 if position > before else failures + 1
                if failures >= _MAX_FAILURES:
                    raise
                await self._sleep(self._policy.delay(failures))

    async def _pieces(self, position: int) -> AsyncGenerator[bytes]:
        """What one connection brings from a position on, whatever ranges the registry knows."""
        async with self._repository.blob_stream(self._descriptor, position) as stream:
            skipped = stream.offset
            async for chunk in stream.chunks:
                useful = chunk[max(0, position - skipped) :] if skipped < position else chunk
                skipped += len(chunk)
                if useful:
                    yield useful
