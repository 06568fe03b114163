"""A cache that came as a context: an OCI layout, as `cache_to` with "type=local" has made it. OCI image-spec."""

import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.safe_paths.regular_files import read_regular
from agent.safe_paths.system_calls import open_beneath
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Descriptor, Manifest, parse_manifest
from shoal.distribution.untrusted_json import parse_object, text_of
from shoal.errors import InvalidInput, NotFound
from shoal.threaded_call import in_thread

MAX_DOCUMENT_BYTES = 4 << 20
_PIECE = 1 << 20
_WHAT = "the index of the cache"


class CacheLayout:
    """One layout. Calls read the disk.

    Args:
        directory: that nothing writes to any more; what is in it may be anything.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def documents(self) -> tuple[Manifest, Mapping[str, Any]]:
        """The manifest of the first image with its configuration.

        Raises:
            InvalidInput, NotFound: it is no layout, or has no image.
        """
        listed = parse_object(self._read("index.json"), _WHAT).get("manifests")
        first = listed[0] if isinstance(listed, list) and listed else None
        if not isinstance(first, dict):
            raise InvalidInput("the cache has no image")
        manifest = parse_manifest(self._document(text_of(first, "digest", _WHAT)))
        if not isinstance(manifest, Manifest):
            raise InvalidInput("the cache is an index of images")
        return manifest, parse_object(self._document(manifest.config.digest), "the configuration of the cache")

    def content(self, blob: Descriptor, offset: int) -> AsyncIterator[bytes]:
        """A blob from a byte on. Raises NotFound: it is not there."""
        return _in_threads(self._pieces(blob, offset))

    def _pieces(self, blob: Descriptor, offset: int) -> Iterator[bytes]:
        root = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = open_beneath(root, _path(blob.digest), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            raise NotFound(f"the cache has no {blob.digest}: {error.strerror}") from None
        finally:
            os.close(root)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise NotFound(f"the cache has no {blob.digest}: not a regular file")
        with os.fdopen(found, "rb") as file:
            file.seek(offset)
            while data := file.read(_PIECE):
                yield data

    def _document(self, digest: str) -> bytes:
        content = self._read(_path(digest))
        if digest_of(content) != digest:
            raise InvalidInput(f"the cache is damaged: {digest} has other content")
        return content

    def _read(self, path: str) -> bytes:
        root = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return read_regular(root, path, max_bytes=MAX_DOCUMENT_BYTES)
        except OSError as error:
            raise NotFound(f"the cache has no {path}: {error.strerror}") from None
        finally:
            os.close(root)


def _path(digest: str) -> str:
    """Of a blob in a layout. Raises InvalidInput: it is no digest by SHA-256."""
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not value.isalnum():
        raise InvalidInput(f"{digest[:80]!r} is no digest")
    return f"blobs/sha256/{value}"


async def _in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while data := await in_thread(lambda: next(pieces, b"")):
        yield data
