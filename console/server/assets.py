"""The built files of the pages, read at start and served from memory, compressed."""

import gzip
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from shoal.errors import NotFound

BUILT = Path(__file__).parent.parent / "built"
INDEX = "index.html"
_IMMUTABLE = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2"}


@dataclass(frozen=True)
class Asset:
    """One file.

    Attributes:
        compressed: by gzip; empty: it does not become smaller.
        immutable: its name has a digest of its content.
    """

    content: bytes
    compressed: bytes
    content_type: str
    immutable: bool


class Assets:
    """All files below a directory, by path."""

    def __init__(self, files: Mapping[str, Asset]) -> None:
        self._files = files

    @classmethod
    def read(cls, directory: Path = BUILT) -> "Assets":
        """Those of a directory.

        Raises:
            NotFound: the pages have not been built there.
        """
        if not (directory / INDEX).is_file():
            raise NotFound(f"the console's pages are missing in {directory}; install shoal again, or run make console")
        paths = sorted(path for path in directory.rglob("*") if path.is_file())
        return cls({path.relative_to(directory).as_posix(): _asset(path, directory) for path in paths})

    def respond(self, request: web.Request) -> web.Response:
        """The file of the request's path; the first page for addresses of pages, which the browser's code reads."""
        asset = self._files.get(request.path.lstrip("/"))
        if asset is None:
            if request.path.startswith("/assets/"):
                raise web.HTTPNotFound
            asset = self._files[INDEX]
        headers = {"Cache-Control": _IMMUTABLE if asset.immutable else "no-cache", "Vary": "Accept-Encoding"}
        body = asset.content
        if asset.compressed and "gzip" in request.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = asset.compressed, "gzip"
        is_text = asset.content_type.startswith(("text/", "application/"))
        return web.Response(
            body=body, content_type=asset.content_type, charset="utf-8" if is_text else None, headers=headers
        )


def _asset(path: Path, directory: Path) -> Asset:
    content = path.read_bytes()
    compressed = gzip.compress(content, 9, mtime=0)
    guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(
        content=content,
        compressed=compressed if len(compressed) < len(content) else b"",
        content_type=guessed,
        immutable=path.parent != directory,
    )
