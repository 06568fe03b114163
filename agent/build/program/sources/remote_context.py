"""A context that the node fetches: a git repository, an archive of the web, or a Dockerfile of the web."""

import asyncio
import os
import shutil
from pathlib import Path

from agent.build.program.copying.copy_metadata import CopyOwner
from agent.build.program.root_mount import opened
from agent.build.program.sources.archives import Archive, is_archive
from agent.build.program.sources.remote_files import RemoteSources
from agent.build.program.workspace import Workspace
from agent.safe_paths.system_calls import open_in_root
from shoal.dockerfile.instructions import CopyFlags
from shoal.errors import InvalidInput, NotFound

DOCKERFILE = "Dockerfile"


async def fetch_context(address: str, workspace: Workspace) -> Path:
    """The directory of a context.

    Raises:
        NotFound, InvalidInput, Unavailable, Exhausted: it is not there, or no context.
    """
    (found,) = await RemoteSources(workspace).get([address], CopyFlags())
    if not found.name and found.path != "file":
        return await asyncio.to_thread(_directory, found.root, found.path)
    return await asyncio.to_thread(_of_file, found.root / found.path, workspace)


def _directory(root: Path, path: str) -> Path:
    """A directory of a repository; a link on its path leads nowhere else."""
    if not path:
        return root
    with opened(root) as descriptor:
        try:
            found = open_in_root(descriptor, path, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            raise NotFound(f"{path[:200]}: {error.strerror}") from error
        try:
            real = Path(f"/proc/self/fd/{found}").readlink()
        finally:
            os.close(found)
    if not real.is_relative_to(root.resolve()):
        raise InvalidInput(f"{path[:200]} leads out of the repository")
    return real


def _of_file(file: Path, workspace: Workspace) -> Path:
    directory = workspace.new("context")
    directory.chmod(0o755)
    descriptor = os.open(file, os.O_PATH | os.O_CLOEXEC)
    try:
        if is_archive(descriptor):
            with opened(directory) as root:
                Archive(descriptor).unpack(root, "/", CopyOwner(0, 0), workspace.budget())
        else:
            shutil.copyfile(file, directory / DOCKERFILE)
    finally:
        os.close(descriptor)
    return directory
