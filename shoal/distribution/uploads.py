"""Putting blobs and manifests into a repository. OCI distribution-spec v1.1, "Push"."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from urllib.parse import urlencode

import httpx

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor
from shoal.distribution.origins import with_query
from shoal.distribution.registry_client import RawManifest, Repository
from shoal.distribution.registry_request import Body, RegistryRequest
from shoal.distribution.tokens import Scopes
from shoal.errors import InvalidInput

OpenBlob = Callable[[int], AsyncIterator[bytes]]
"""The bytes of a blob from an offset on; may be called again after a failure."""

_LOCATION = frozenset({202})

_UploadLocation = tuple[str, str]
"""URL of an upload session, which may be elsewhere, and the endpoint that named it."""


class Uploader:
    """Writes into one repository.

    Args:
        chunk_bytes: blobs larger than this go up in pieces, so that a broken connection costs a piece and not all.
    """

    def __init__(self, repository: Repository, *, chunk_bytes: int = 64 << 20) -> None:
        self._repository = repository
        self._transport = repository.transport
        self._chunk_bytes = chunk_bytes
        self._scopes: Scopes = (f"repository:{repository.path}:pull,push",)

    async def put_blob(self, descriptor: Descriptor, open_blob: OpenBlob, *, mount_from: str = "") -> bool:
        """Make sure that the repository holds a blob; False where it did already, or could mount it.

        Args:
            mount_from: path of another repository of this registry that may have it.
        Raises:
            InvalidInput: the registry found that the bytes are not what the digest names.
        """
        if await self._repository.has_blob(descriptor.digest):
            return False
        place = await self._start(descriptor, mount_from)
        if place is None:
            return False
        offset = 0
        while descriptor.size - offset > self._chunk_bytes:
            place = await self._patch(place, descriptor, open_blob, offset)
            offset += self._chunk_bytes
        await self._finish(place, descriptor, open_blob, offset)
        return True

    async def put_manifest(self, manifest: RawManifest, target: str) -> str:
        """Store a manifest under a tag or its digest; returns the digest.

        Raises:
            InvalidInput: the registry misses blobs that it names, or stored something else.
        """
        path, name = self._repository.path, self._repository.name
        call = RegistryRequest(
            "PUT",
            f"/v2/{path}/manifests/{target}",
            f"{name}:{target}",
            self._scopes,
            {"Content-Type": manifest.media_type},
            manifest.content,
            frozenset({201, 202}),
        )
        response, _ = await self._transport.send(call)
        if digest_of(manifest.content) != manifest.digest:
            raise InvalidInput(f"the content of {manifest.digest} is corrupt")
        _check_stored(response, f"{name}:{target}", manifest.digest)
        return manifest.digest

    async def _start(self, descriptor: Descriptor, mount_from: str) -> _UploadLocation | None:
        """A new upload session; None where the blob was mounted in place of one."""
        scopes, query = self._scopes, ""
        if mount_from:
            scopes = (*scopes, f"repository:{mount_from}:pull")
            query = "?" + urlencode({"mount": descriptor.digest, "from": mount_from})
        target = f"/v2/{self._repository.path}/blobs/uploads/{query}"
        call = RegistryRequest("POST", target, self._what(descriptor), scopes, expected_statuses=frozenset({201, 202}))
        response, _ = await self._transport.send(call)
        if response.status_code != 201:
            return self._transport.upload_location(response)
        if not mount_from:
            raise InvalidInput(f"the registry reports {self._what(descriptor)} as stored before it was sent")
        _check_stored(response, self._what(descriptor), descriptor.digest)
        return None

    async def _patch(
        self, place: _UploadLocation, descriptor: Descriptor, open_blob: OpenBlob, offset: int
    ) -> _UploadLocation:
        size = self._chunk_bytes
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            "Content-Range": f"{offset}-{offset + size - 1}",
        }
        body = _piece(open_blob, offset, size)
        url, endpoint = place
        call = RegistryRequest("PATCH", url, self._what(descriptor), self._scopes, headers, body, _LOCATION, endpoint)
        response, _ = await self._transport.send(call)
        return self._transport.upload_location(response)

    async def _finish(self, place: _UploadLocation, descriptor: Descriptor, open_blob: OpenBlob, offset: int) -> None:
        size = descriptor.size - offset
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        if offset:
            headers["Content-Range"] = f"{offset}-{descriptor.size - 1}"
        body = _piece(open_blob, offset, size) if size else b""
        url, endpoint = place
        target = with_query(url, "digest", descriptor.digest)
        call = RegistryRequest(
            "PUT", target, self._what(descriptor), self._scopes, headers, body, frozenset({201}), endpoint
        )
        response, _ = await self._transport.send(call)
        _check_stored(response, self._what(descriptor), descriptor.digest)

    def _what(self, descriptor: Descriptor) -> str:
        return f"{self._repository.name}@{descriptor.digest}"


def _piece(open_blob: OpenBlob, offset: int, size: int) -> Body:
    async def chunks() -> AsyncIterator[bytes]:
        left = size
        blob = open_blob(offset)
        try:
            async for chunk in blob:
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    return
        finally:
            if isinstance(blob, AsyncGenerator):  # it may hold a connection or a file
                await blob.aclose()

    return chunks


def _check_stored(response: httpx.Response, what: str, digest: str) -> None:
    """What the registry says that it stored, where it does, is what was sent."""
    stored = response.headers.get("Docker-Content-Digest", digest)
    if stored != digest:
        raise InvalidInput(f"the registry stored {what} as {stored[:80]!a}, not as {digest}")
