"""What ADD copies from other hosts: each address is fetched once a build."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.build.program.caching.content_digest import ContentDigest
from agent.build.program.copying.copy_sources import walk
from agent.build.program.root_mount import opened
from agent.build.program.sources.git_source import checkout, parse_address
from agent.build.program.sources.url_source import download
from agent.build.program.workspace import Workspace
from shoal.dockerfile.evaluation.add_sources import is_git
from shoal.dockerfile.instructions import CopyFlags
from shoal.errors import NotFound
from shoal.threaded_call import in_thread


@dataclass(frozen=True)
class RemoteFiles:
    """What an address has.

    Attributes:
        root: a directory. path: in it, a file, or a directory whose contents are copied; links lead nowhere else.
        name: of a file, under which it is placed in a directory.
        digest: of the content.
    """

    root: Path
    path: str
    name: str
    digest: str


@dataclass
class RemoteSources:
    """For one event loop."""

    workspace: Workspace
    _fetches: dict[tuple[str, str, bool], "asyncio.Task[RemoteFiles]"] = field(default_factory=dict)

    async def get(self, addresses: Sequence[str], flags: CopyFlags) -> Sequence[RemoteFiles]:
        """Raises NotFound, InvalidInput, Unavailable, Exhausted: see `download` and `checkout`."""
        return await asyncio.gather(*(self._one(address, flags) for address in addresses))

    async def _one(self, address: str, flags: CopyFlags) -> RemoteFiles:
        key = (address, flags.checksum, flags.keep_git_dir)
        if key not in self._fetches:
            self._fetches[key] = asyncio.create_task(self._fetch(address, flags), name=f"fetch {address[:80]}")
        return await asyncio.shield(self._fetches[key])

    async def _fetch(self, address: str, flags: CopyFlags) -> RemoteFiles:
        stop, directory = threading.Event(), self.workspace.new("remote")
        if is_git(address):
            return await in_thread(lambda: self._git(address, flags, directory, stop), on_cancel=stop.set)
        budget = self.workspace.budget()
        done = await in_thread(
            lambda: download(address, flags.checksum, directory, budget, stop.is_set), on_cancel=stop.set
        )
        return RemoteFiles(directory, done.path.name, done.name, done.digest)

    def _git(self, address: str, flags: CopyFlags, into: Path, stop: threading.Event) -> RemoteFiles:
        into.chmod(0o755)
        found = checkout(parse_address(address), flags.checksum, keep_git=flags.keep_git_dir, into=into, stop=stop)
        content = ContentDigest()
        with opened(into) as root:
            try:
                for file in walk(root, found.directory, None):
                    content.add(file)
            except OSError as error:
                raise NotFound(f"{address[:200]}: {error.strerror}") from error
        return RemoteFiles(into, found.directory, "", f"sha256:{content.hexdigest()}")
