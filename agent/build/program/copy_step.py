"""COPY, ADD and WORKDIR: files of a source, or of the Dockerfile, on an overlay of the layers below. Blocking."""

import posixpath
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agent.build.program.content_digest import ContentDigest
from agent.build.program.copy_metadata import CopyOwner, parse_owner
from agent.build.program.copy_sources import CopySource, Found, find_sources, require, walk
from agent.build.program.copy_target import CopyTarget
from agent.build.program.results import Layers, Result
from agent.build.program.root_mount import mounted_for_reading, mounted_for_writing, opened
from agent.build.program.workspace import Workspace
from agent.runtime.rootfs.overlay_mount import read_in_root
from shoal.dockerfile.evaluation.build_steps import CopyAction, DirectoryAction
from shoal.dockerfile.ignore_patterns import PatternMatcher

_INLINE_MODE = 0o644


@dataclass(frozen=True)
class CopyFiles:
    """The files of one COPY or ADD.

    Attributes:
        source: None: the action has no paths.
    """

    action: CopyAction
    source: Result | None
    workspace: Workspace

    def digest(self) -> list[str]:
        """Digests of the contents as `cache_key` wants them. Raises NotFound: a path is not there."""
        if self.source is None:
            return []
        content = ContentDigest(with_owners=not self.action.flags.chown, with_modes=not self.action.flags.chmod)
        with mounted_for_reading(self.source, self.workspace) as directory, opened(directory) as root:
            for each in self._sources(root):
                content.add_source(each.name, stat.S_ISDIR(require(root, each.path).st_mode))
                for found in self._walk(root, each):
                    content.add(found)
        return [content.hexdigest()]

    def copy(self, below: Layers) -> Path:
        """The directory of the layer. Raises NotFound, InvalidInput, Exhausted."""
        layer = self.workspace.new_layer()
        with ExitStack() as stack:
            lower = (*below.lower, self.workspace.empty)
            root = stack.enter_context(mounted_for_writing(lower, layer))
            target = CopyTarget(
                stack.enter_context(opened(root)),
                _owner(self.action.flags.chown, root),
                self.action.flags.chmod,
                self.workspace.budget(),
            )
            if self.source is not None:
                directory = stack.enter_context(mounted_for_reading(self.source, self.workspace))
                self._copy_paths(stack.enter_context(opened(directory)), target)
            self._write_inline(target)
            target.finish()
        return layer

    def _copy_paths(self, root: int, target: CopyTarget) -> None:
        for each in self._sources(root):
            is_directory = stat.S_ISDIR(require(root, each.path).st_mode)
            top = self._place(each, target, is_directory=is_directory)
            target.make_directories(top if is_directory and target.is_directory(top) else posixpath.dirname(top))
            for found in self._walk(root, each):
                path = posixpath.join(top, found.path) if found.path else top
                target.place(found, path, overwrites=bool(found.path))

    def _place(self, source: CopySource, target: CopyTarget, *, is_directory: bool) -> str:
        """Where a source goes: the contents of a directory into the destination, a file below it if it is one."""
        destination = self.action.destination
        if self.action.flags.parents:
            return posixpath.join(destination, source.name)
        if is_directory:
            return destination.rstrip("/") or "/"
        if destination.endswith("/") or target.is_directory(destination):
            return posixpath.join(destination, source.name)
        return destination

    def _write_inline(self, target: CopyTarget) -> None:
        for each in self.action.files:
            destination = self.action.destination
            if destination.endswith("/") or target.is_directory(destination):
                destination = posixpath.join(destination, each.name)
            target.make_directories(posixpath.dirname(destination))
            target.write(destination, each.content.encode("utf-8", "surrogateescape"), _INLINE_MODE, None)

    def _sources(self, root: int) -> Sequence[CopySource]:
        return find_sources(root, self.action.paths, parents=self.action.flags.parents)

    def _walk(self, root: int, source: CopySource) -> Iterator[Found]:
        matcher = PatternMatcher(self.action.flags.excludes) if self.action.flags.excludes else None
        for found in walk(root, source.path, matcher):
            left_out = matcher is not None and not found.path and not found.is_directory
            if not (left_out and matcher is not None and matcher.excludes(posixpath.basename(source.path))):
                yield found


def make_directory(action: DirectoryAction, below: Layers, workspace: Workspace) -> Path:
    """WORKDIR: the directory of the layer. Raises InvalidInput: something is in the way."""
    layer = workspace.new_layer()
    lower = (*below.lower, workspace.empty)
    with mounted_for_writing(lower, layer) as root, opened(root) as descriptor:
        owner = _owner(action.user, root) if action.user else CopyOwner(0, 0)
        CopyTarget(descriptor, owner, "", workspace.budget()).make_directories(action.path)
    return layer


def _owner(chown: str, root: Path) -> CopyOwner:
    if not chown:
        return CopyOwner(None, None)
    return parse_owner(chown, lambda: (read_in_root(root, "/etc/passwd"), read_in_root(root, "/etc/group")))
