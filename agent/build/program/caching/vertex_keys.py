"""Keys of vertices in the cache: from the results of their inputs, and the contents of what they copy or mount."""

from collections.abc import Sequence

from agent.build.program.caching.content_digest import ContentDigest
from agent.build.program.copying.copy_sources import walk
from agent.build.program.copying.copy_step import CopyFiles
from agent.build.program.results import Layers, Result, known_of
from agent.build.program.root_mount import mounted_for_reading, opened
from agent.build.program.workspace import Workspace
from shoal.dockerfile.graph.cache_keys import KeyInputs, cache_key
from shoal.dockerfile.graph.vertices import CopyVertex, KeyedVertex, RunVertex
from shoal.dockerfile.run_mounts import BindMount, CacheMount
from shoal.errors import NotFound
from shoal.threaded_call import in_thread


async def vertex_key(
    vertex: KeyedVertex,
    below: Layers,
    sources: Sequence[Result | None],
    copied: CopyFiles | None,
    workspace: Workspace,
) -> str:
    """The key of a vertex.

    Args:
        sources: of a command one for each mount; None: it has no files from elsewhere.
        copied: of a copy its files.
    Raises:
        NotFound: what is copied or mounted is not there. OSError: the disk fails.
    """
    if isinstance(vertex, CopyVertex):
        assert copied is not None
        contents = await in_thread(copied.digest)
    elif isinstance(vertex, RunVertex):
        contents = await in_thread(lambda: list(_mounted(vertex, sources, workspace)))
    else:
        contents = []
    return cache_key(vertex, KeyInputs(below.diff_ids, contents))


def _mounted(vertex: RunVertex, sources: Sequence[Result | None], workspace: Workspace) -> Sequence[str]:
    found: list[str] = []
    for each, source in zip(vertex.action.mounts, sources, strict=True):
        if source is None:
            continue
        assert isinstance(each.mount, BindMount | CacheMount)
        content = ContentDigest(known=known_of(source))
        with mounted_for_reading(source, workspace) as directory, opened(directory) as root:
            try:
                for file in walk(root, each.mount.source, None):
                    content.add(file)
            except FileNotFoundError as error:
                raise NotFound(f'"{each.mount.source[:200]}": not found') from error
        found.append(content.hexdigest())
    return found
