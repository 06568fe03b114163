"""Caches of builds in directories of this machine: OCI layouts, as BuildKit's `type=local` has them."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.render.error_lines import warn
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.build_caches import LocalCache, local_cache

_INDEX, _LAYOUT, _BLOBS = "index.json", "oci-layout", Path("blobs", "sha256")


@dataclass(frozen=True)
class LocalCaches:
    """Attributes: sources: directories by the names of contexts that they are sent as. destination: of the export."""

    sources: Mapping[str, Path] = field(default_factory=dict)
    destination: Path | None = None


def take_local_caches(start: BuildStart) -> LocalCaches:
    """What a request has of them, which gets what the node is told in their place. One that is not there is a warning.

    Raises:
        InvalidInput: there are several destinations.
    """
    sources: dict[str, Path] = {}
    imports, exports = list(start.cache_from), list(start.cache_to)
    del start.cache_from[:], start.cache_to[:]
    for text in imports:
        found = local_cache(text, export=False, context=f"local cache {len(sources)}")
        if found is None:
            start.cache_from.append(text)
        elif Path(found.directory, _INDEX).is_file():
            sources[f"local cache {len(sources)}"] = Path(found.directory)
            start.cache_from.append(found.text)
        else:
            warn(f"--cache-from: {found.directory} has no cache")
    targets: list[LocalCache] = []
    for text in exports:
        exported = local_cache(text, export=True)
        if exported is not None:
            targets.append(exported)
        start.cache_to.append(text if exported is None else exported.text)
    if len(targets) > 1:
        raise InvalidInput("--cache-to: only one directory can be given")
    return LocalCaches(sources, Path(targets[0].directory) if targets else None)


class CacheWriter:
    """Writes an exported cache into a directory: blobs that it does not have, then the index. Nothing is deleted.

    Args:
        directory: created when something comes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._archive = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`

    def write(self, data: bytes) -> None:
        """A piece of the archive. Raises OSError."""
        self._archive.write(data)

    def finish(self) -> None:
        """Put what has come in its place. Raises OSError, InvalidInput: it is no archive."""
        if not self._archive.tell():
            return
        from cli.file_copies.copy_paths import Placement
        from cli.file_copies.local_extract import LocalExtraction

        self._archive.seek(0)
        self._directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cache-", dir=self._directory) as temporary:
            LocalExtraction(Placement(temporary, ".", "."), keep_owner=False).run(self._archive.read)
            self._place(Path(temporary))

    def _place(self, layout: Path) -> None:
        blobs = self._directory / _BLOBS
        blobs.mkdir(parents=True, exist_ok=True)
        for blob in (layout / _BLOBS).iterdir():
            if not (blobs / blob.name).exists():
                shutil.move(blob, blobs / blob.name)
        for name in (_LAYOUT, _INDEX):
            (layout / name).replace(self._directory / name)

    def close(self) -> None:
        """Whatever has come."""
        self._archive.close()
