"""Which paths of the main context a Dockerfile names: the rest of it need not be sent. Pure."""

import posixpath
from collections.abc import Iterable, Iterator

from shoal.dockerfile.evaluation.add_sources import is_remote
from shoal.dockerfile.instructions import Add, Copy, Instruction, Run
from shoal.dockerfile.mount_options import mount_source, parse_mount
from shoal.dockerfile.run_mounts import BindMount, CacheMount

_AMBIGUOUS = frozenset("$\\\"'!")
"""A path with one of these may mean another one: a variable, an escape, or an exception among patterns."""


def context_paths(instructions: Iterable[Instruction]) -> tuple[str, ...] | None:
    """What instructions have of the main context, paths and patterns without a leading slash; None: it may be all."""
    found: dict[str, None] = {}
    for source in _sources(instructions):
        path = posixpath.normpath(f"/{source}").lstrip("/")
        if not path or _AMBIGUOUS & set(source):
            return None
        found[path] = None
    return tuple(found)


def _sources(instructions: Iterable[Instruction]) -> Iterator[str]:
    for instruction in instructions:
        if isinstance(instruction, Copy) and not instruction.from_stage:
            yield from instruction.sources
        elif isinstance(instruction, Add):
            yield from (each for each in instruction.sources if not is_remote(each))
        elif isinstance(instruction, Run):
            yield from map(_mounted, (each for each in instruction.mounts if mount_source(each) == ""))


def _mounted(mount: str) -> str:
    """The path of a mount; the root where a variable may say it."""
    parsed = parse_mount(mount, str) if "$" not in mount else None
    return parsed.source if isinstance(parsed, BindMount | CacheMount) else "/"
