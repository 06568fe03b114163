"""COPY, ADD and WORKDIR: files of a source, or of the Dockerfile, on an overlay of the layers below. Blocking."""

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from agent.build.program.caching.content_digest import ContentDigest
from agent.build.program.copying.copy_metadata import NEW_DIRECTORY, CopyOwner, parse_owner
from agent.build.program.copying.copy_sources import CopySource, Found, find_sources, require, walk
from agent.build.program.copying.copy_target import CopyTarget
from agent.build.program.results import Layers, Result, known_of
from agent.build.program.root_mount import mounted_for_reading, mounted_for_writing, opened
from agent.build.program.sources.archives import Archive, is_archive
from agent.build.program.sources.remote_files import RemoteFiles
from agent.build.program.workspace import Workspace
from agent.runtime.rootfs.overlay_mount import read_in_root
from agent.safe_paths.system_calls import open_in_root
from shoal.dockerfile.evaluation.build_steps import CopyAction, DirectoryAction
from shoal.dockerfile.ignore_patterns import PatternMatcher
from shoal.errors import InvalidInput

_INLINE_MODE = 0o644


@dataclass(frozen=True)
class CopyFiles:
    """The files of one COPY or ADD.

    Attributes:
        source: None: the action has no paths.
        remotes: of the action's addresses, in their order.
    """

    action: CopyAction
    source: Result | None
    workspace: Workspace
    remotes: Sequence[RemoteFiles] = ()

    def digest(self) -> list[str]:
        """Digests of the contents as `cache_key` wants them. Raises NotFound: a path is not there."""
        remotes = [each.digest for each in self.remotes]
        if self.source is None:
            return remotes
        flags = self.action.flags
        content = ContentDigest(with_owners=not flags.chown, with_modes=not flags.chmod, known=known_of(self.source))
        with mounted_for_reading(self.source, self.workspace) as directory, opened(directory) as root:
            for each in self._sources(root):
                content.add_source(each.name, stat.S_ISDIR(require(root, each.path).st_mode))
                for found in self._walk(root, each):
                    content.add(found)
        return [content.hexdigest(), *remotes]

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
            stack.callback(target.close)
            if self.source is not None:
                directory = stack.enter_context(mounted_for_reading(self.source, self.workspace))
                self._copy_paths(stack.enter_context(opened(directory)), target)
            for each in self.remotes:
                self._copy_remote(stack.enter_context(opened(each.root)), each, target)
            self._write_inline(target)
            target.finish()
        return layer

    def _copy_paths(self, root: int, target: CopyTarget) -> None:
        unpacks = self.action.is_add if self.action.flags.unpack is None else self.action.flags.unpack
        for each in self._sources(root):
            is_directory = stat.S_ISDIR(require(root, each.path).st_mode)
            self._copy_one(root, each, target, is_directory=is_directory, unpacks=unpacks and not is_directory)

    def _copy_remote(self, root: int, remote: RemoteFiles, target: CopyTarget) -> None:
        """A file of the web is unpacked only where that is asked for."""
        is_directory = stat.S_ISDIR(require(root, remote.path).st_mode)
        if not is_directory and not remote.name and self._is_directory(target):
            raise InvalidInput("cannot determine the name of the file from its address; name it in the destination")
        source = CopySource(remote.path, remote.name)
        unpacks = self.action.flags.unpack is True and not is_directory
        self._copy_one(root, source, target, is_directory=is_directory, unpacks=unpacks)

    def _copy_one(
        self, root: int, source: CopySource, target: CopyTarget, *, is_directory: bool, unpacks: bool
    ) -> None:
        if unpacks and self._unpack(root, source, target):
            return
        target.begin_source()
        top = self._place(source, target, is_directory=is_directory)
        if self.action.flags.parents:
            self._copy_parents(root, source, target)
        else:
            target.make_directories(top if is_directory else posixpath.dirname(top))
        for found in self._walk(root, source):
            path = posixpath.join(top, found.path) if found.path else top
            target.place(found, path, overwrites=bool(found.path))

    def _copy_parents(self, root: int, source: CopySource, target: CopyTarget) -> None:
        """With `--parents`: what is above a source keeps its mode, where it is not there yet."""
        target.make_directories(self.action.destination)
        above = source.path[: -len(source.name)]
        for name in _parents(source.name):
            with closing(walk(root, above + name, None)) as found:
                target.place(next(found), posixpath.join(self.action.destination, name), overwrites=False)

    def _unpack(self, root: int, source: CopySource, target: CopyTarget) -> bool:
        """Unpack a source into the destination if it is an archive; whether it is one."""
        descriptor = open_in_root(root, source.path, os.O_PATH)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not is_archive(descriptor):
                return False
            path = self.action.destination.rstrip("/") or "/"
            target.make_directories(path, mode=NEW_DIRECTORY)
            target.close()  # what it has open may be replaced
            Archive(descriptor).unpack(target.root, path, target.owner, target.disk)
        finally:
            os.close(descriptor)
        return True

    def _is_directory(self, target: CopyTarget) -> bool:
        return self.action.destination.endswith("/") or target.is_directory(self.action.destination)

    def _place(self, source: CopySource, target: CopyTarget, *, is_directory: bool) -> str:
        """Where a source goes: the contents of a directory into the destination, a file below it if it is one."""
        destination = self.action.destination
        if self.action.flags.parents:
            return posixpath.join(destination, source.name)
        if is_directory:
            return destination.rstrip("/") or "/"
        return posixpath.join(destination, source.name) if self._is_directory(target) else destination

    def _write_inline(self, target: CopyTarget) -> None:
        for each in self.action.files:
            destination = self.action.destination
            if self._is_directory(target):
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
        target = CopyTarget(descriptor, owner, "", workspace.budget())
        try:
            target.make_directories(action.path)
        finally:
            target.close()
    return layer


def _parents(path: str) -> Iterator[str]:
    """The directories above a relative path, the first one first."""
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _owner(chown: str, root: Path) -> CopyOwner:
    if not chown:
        return CopyOwner(None, None)
    return parse_owner(chown, lambda: (read_in_root(root, "/etc/passwd"), read_in_root(root, "/etc/group")))
