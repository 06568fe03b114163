"""Manifests and blobs of repositories: reading them, verified, and writing them.

OCI distribution-spec v1.1, "Pull" and "Push". Imports httpx through `transport`: import this module at first use.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self
from urllib.parse import quote

from shoal.distribution.content_range import range_start
from shoal.distribution.digests import DigestCheck, digest_of, is_digest
from shoal.distribution.manifests import INDEX_TYPES, MANIFEST_TYPES, MAX_MANIFEST_BYTES, Descriptor
from shoal.distribution.registries import Registries
from shoal.distribution.registry_request import RegistryRequest
from shoal.distribution.retry_policy import RetryPolicy
from shoal.distribution.transport import Transport
from shoal.distribution.trust import system_trust
from shoal.distribution.untrusted_json import parse_object, texts_of
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.image_reference import ImageReference

_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
_MAX_TRANSPORTS = 32
_TAGS_AT_ONCE = 1000
MAX_TAGS = 10_000
"""Of one repository."""


@dataclass(frozen=True)
class RawManifest:
    """A manifest or an index as the registry has it; `digest` is that of `content`."""

    media_type: str
    digest: str
    content: bytes


@dataclass(frozen=True)
class BlobStream:
    """A blob on its way.

    Attributes:
        offset: of its first byte in the blob; 0 where the registry does not know ranges.
        chunks: its bytes; not verified, that is for who puts them together (`DigestCheck`).
    """

    offset: int
    chunks: AsyncGenerator[bytes]


class Repository:
    """One repository of one registry."""

    def __init__(self, transport: Transport, path: str) -> None:
        self.transport = transport
        self.path = path
        self.pull_scopes = (f"repository:{path}:pull",)

    @property
    def name(self) -> str:
        """As a user writes it."""
        return f"{self.transport.registry.domain}/{self.path}"

    async def manifest(self, target: str) -> RawManifest:
        """The manifest of a tag or a digest.

        Raises:
            InvalidInput: it is too large, or not what its digest names.
        """
        call = self._manifest_call("GET", target)
        response, content = await self.transport.send(call, limit=MAX_MANIFEST_BYTES)
        if is_digest(target):
            DigestCheck(target).update(content).finish()
        digest = target if is_digest(target) else digest_of(content)
        return RawManifest(response.headers.get("Content-Type", "").partition(";")[0], digest, content)

    async def manifest_digest(self, target: str) -> str:
        """The digest of a tag's manifest, without its content where the registry tells it in a header."""
        response, _ = await self.transport.send(self._manifest_call("HEAD", target))
        digest = str(response.headers.get("Docker-Content-Digest", ""))
        return digest if is_digest(digest) else (await self.manifest(target)).digest

    async def has_blob(self, digest: str) -> bool:
        """Whether the repository holds it."""
        try:
            await self.transport.send(RegistryRequest("HEAD", self._blob(digest), self._what(digest), self.pull_scopes))
        except NotFound:
            return False
        return True

    async def blob(self, descriptor: Descriptor) -> bytes:
        """A small blob (an image's configuration), verified.

        Raises:
            InvalidInput: it is larger than a manifest may be, or corrupt.
        """
        if descriptor.size > MAX_MANIFEST_BYTES:
            raise InvalidInput(f"{self._what(descriptor.digest)} is too large: {descriptor.size} bytes")
        call = RegistryRequest("GET", self._blob(descriptor.digest), self._what(descriptor.digest), self.pull_scopes)
        _, content = await self.transport.send(call, limit=descriptor.size)
        DigestCheck(descriptor.digest, descriptor.size).update(content).finish()
        return content

    @asynccontextmanager
    async def blob_stream(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[BlobStream]:
        """A blob from `offset` on (RFC 9110 section 14, one byte range). Not verified: see `BlobStream`.

        Raises:
            InvalidInput: the registry announces another range, or another number of bytes, than the blob has.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        what, expect = self._what(descriptor.digest), frozenset({200, 206} if offset else {200})
        call = RegistryRequest(
            "GET", self._blob(descriptor.digest), what, self.pull_scopes, headers, expected_statuses=expect
        )
        async with self.transport.stream(call) as response:
            start = offset if response.status_code == 206 else 0
            if start and range_start(response.headers.get("Content-Range", ""), descriptor.size) != start:
                raise InvalidInput(f"the registry returned an unexpected range of {what}")
            announced = response.headers.get("Content-Length", str(descriptor.size - start))
            if announced != str(descriptor.size - start):
                raise InvalidInput(
                    f"the registry announced {announced[:20]} bytes for {what}; expected {descriptor.size - start}"
                )
            chunks = response.aiter_raw()
            assert isinstance(chunks, AsyncGenerator)
            yield BlobStream(start, chunks)

    async def tags(self) -> list[str]:
        """All tags, in the registry's order (OCI distribution-spec, "Listing Tags").

        Raises:
            InvalidInput: the answer is no list, or there are more than is allowed.
        """
        found: list[str] = []
        while True:
            after = f"&last={quote(found[-1], safe='')}" if found else ""
            call = RegistryRequest(
                "GET", f"/v2/{self.path}/tags/list?n={_TAGS_AT_ONCE}{after}", self.name, self.pull_scopes
            )
            _, content = await self.transport.send(call, limit=MAX_MANIFEST_BYTES)
            page = texts_of(parse_object(content, "the list of tags"), "tags", "the list of tags")
            found += page
            if len(found) > MAX_TAGS:
                raise InvalidInput(f"{self.name} has more than {MAX_TAGS} tags")
            if len(page) < _TAGS_AT_ONCE or found[-1] in found[: -len(page)]:
                return list(dict.fromkeys(found))

    async def delete_manifest(self, digest: str) -> bool:
        """Delete a manifest with its tags; False where there is none. Blobs go when the registry collects its garbage.

        Raises:
            Refused: the registry does not delete (OCI distribution-spec, "Content Management": it need not).
        """
        scopes = (f"repository:{self.path}:delete",)
        path, what = f"/v2/{self.path}/manifests/{digest}", self._what(digest)
        call = RegistryRequest("DELETE", path, what, scopes, expected_statuses=frozenset({200, 202, 405}))
        try:
            response, _ = await self.transport.send(call)
        except NotFound:
            return False
        if response.status_code == 405:
            raise Refused(
                f"registry {self.transport.registry.domain} does not delete; "
                "enable it in its settings (storage.delete.enabled)"
            )
        return True

    def _manifest_call(self, method: str, target: str) -> RegistryRequest:
        what = f"{self.name}{'@' if is_digest(target) else ':'}{target}"
        return RegistryRequest(
            method, f"/v2/{self.path}/manifests/{target}", what, self.pull_scopes, {"Accept": _ACCEPT}
        )

    def _blob(self, digest: str) -> str:
        return f"/v2/{self.path}/blobs/{digest}"

    def _what(self, digest: str) -> str:
        return f"{self.name}@{digest}"


class Distribution:
    """Repositories of all registries. An async context manager; belongs to one event loop.

    Connections of the registries used last are kept, of so many that a user who names many fills no memory.
    """

    def __init__(
        self,
        registries: Registries,
        *,
        policy: RetryPolicy | None = None,
        make_transport: Callable[..., Transport] = Transport,
    ) -> None:
        self._registries = registries
        self._policy = policy or RetryPolicy()
        self._make_transport = make_transport
        self._trust = system_trust()
        self._transports: dict[tuple[str, int], Transport] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def repository(self, reference: ImageReference, *, attempts: int = 0) -> Repository:
        """The repository of a reference; tries each request so many times, 0 for the policy's number.

        Raises:
            InvalidInput: the registry's settings name a file that cannot be used.
        """
        key = (reference.domain, attempts)
        transport = self._transports.pop(key, None)
        if transport is None:
            policy = replace(self._policy, attempts=attempts) if attempts else self._policy
            registry = self._registries.find(reference.domain)
            transport = self._make_transport(registry, policy=policy, trust=self._trust)
        self._transports[key] = transport
        if len(self._transports) > _MAX_TRANSPORTS:
            self._retire(self._transports.pop(next(iter(self._transports))))
        return Repository(transport, reference.path)

    async def aclose(self) -> None:
        """Close all connections."""
        while self._transports:
            await self._transports.popitem()[1].aclose()
        await asyncio.gather(*self._closing)

    def _retire(self, transport: Transport) -> None:
        task = asyncio.create_task(transport.retire())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
