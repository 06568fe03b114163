"""Copies between this machine and a container: what `shoal cp` runs."""

import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.client import Client
from cli.file_copies.copy_paths import STREAM, CopiedPath, CopyDestination, absolute, followed, place, split_entry
from cli.file_copies.copy_progress import CopyProgress
from cli.file_copies.local_archive import archive
from cli.file_copies.local_paths import local_source, local_target
from shoal.api.v1.engine_pb2 import ArchiveRequest, PathStat, WriteArchiveRequest
from shoal.errors import InvalidInput, NotFound, ShoalError
from shoal.tar.piece_reader import PieceReader

if TYPE_CHECKING:
    from shoal.api.v1.engine_pb2_grpc import ContainersStub


@dataclass(frozen=True)
class CopyOptions:
    """Attributes: archive: keep owners. follow: a link at the source's end."""

    archive: bool = False
    follow: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class ContainerArchives:
    """The files of one container."""

    client: Client
    stub: "ContainersStub"
    container: str

    def stat(self, path: str) -> PathStat:
        """Raises NotFound: there is no such container or path."""
        return self.client.call(self.stub.StatPath, ArchiveRequest(container=self.container, path=path))

    def read(self, path: str) -> Iterator[bytes]:
        """The archive of a path, in pieces. Raises NotFound."""
        request = ArchiveRequest(container=self.container, path=path)
        for chunk in self.client.stream(self.stub.ReadArchive, request, seconds=None):
            yield chunk.data

    def write(self, directory: str, pieces: Iterable[bytes], *, copy_owner: bool) -> None:
        """Unpack an archive below a directory.

        Raises:
            NotFound: it is not there. Others as the node answers, and what the pieces raise.
        """
        failures: list[BaseException] = []
        target = ArchiveRequest(container=self.container, path=directory)

        def messages() -> Iterator[WriteArchiveRequest]:
            yield WriteArchiveRequest(target=target, no_overwrite_kind=True, copy_owner=copy_owner)
            try:
                for piece in pieces:
                    yield WriteArchiveRequest(data=piece)
            except BaseException as error:  # gRPC ends the call, and says nothing of it
                failures.append(error)
                raise

        try:
            self.client.finish(lambda: self.stub.WriteArchive.future(messages()))
        except ShoalError:
            if failures:
                raise failures[0] from None
            raise


def copy_from(files: ContainerArchives, path: str, target: str, options: CopyOptions) -> None:
    """Copy out of a container. Raises as `ContainerArchives.read` and `LocalExtraction.run` do; InvalidInput."""
    path, rebase_name = absolute(path, "/"), ""
    destination = local_target(target) if target != STREAM else None
    if options.follow:
        path, rebase_name = _followed_there(files, path)
    if destination is None:
        _copy_to_output(files.read(path))
        return
    from cli.file_copies.local_extract import LocalExtraction

    found = files.stat(path)
    source = CopiedPath(path, stat.S_ISDIR(found.mode), rebase_name)
    placement = place(source, destination)
    progress = CopyProgress("Copying from container", quiet=options.quiet)
    try:
        extraction = LocalExtraction(placement, keep_owner=options.archive)
        extraction.run(PieceReader(progress.counted(files.read(path))).read)
    except BaseException:
        progress.failed()
        raise
    progress.finished(destination.path)


def copy_to(files: ContainerArchives, source: str, path: str, options: CopyOptions) -> None:
    """Copy into a container. Raises as `ContainerArchives.write` and `archive` do; InvalidInput, NotFound."""
    target = _target_there(files, absolute(path, "/"), path)
    progress = CopyProgress("Copying to container", quiet=options.quiet)
    if source == STREAM:
        if not target.is_directory:
            raise InvalidInput(f'destination "{files.container}:{path}" must be a directory')
        directory, pieces = target.path, _input_pieces()
    else:
        found = local_source(source, follow=options.follow)
        placement = place(found, target)
        directory, pieces = placement.directory, archive(found, placement.new_name)
    try:
        files.write(directory, progress.counted(pieces), copy_owner=options.archive)
    except BaseException:
        progress.failed()
        raise
    progress.finished(f"{files.container}:{target.path}")


def _followed_there(files: ContainerArchives, path: str) -> tuple[str, str]:
    """What a link in the container refers to, and the name of its copy."""
    found = files.stat(path)
    if not found.link_target:
        return path, ""
    return followed(path, absolute(found.link_target, split_entry(path)[0]))


def _target_there(files: ContainerArchives, path: str, given: str) -> CopyDestination:
    """A link is followed. That its directory is missing is found when it is written to."""
    found = _stat_or_none(files, path)
    if found is not None and found.link_target:
        path = absolute(found.link_target, split_entry(path)[0])
        found = _stat_or_none(files, path)
    if found is None:
        return CopyDestination(path, exists=False, is_directory=False)
    if not stat.S_ISDIR(found.mode) and not stat.S_ISREG(found.mode):
        raise InvalidInput(f'destination "{files.container}:{given}" must be a directory or a regular file')
    return CopyDestination(path, exists=True, is_directory=stat.S_ISDIR(found.mode))


def _stat_or_none(files: ContainerArchives, path: str) -> PathStat | None:
    try:
        return files.stat(path)
    except NotFound as error:
        if str(error).startswith("container "):
            raise
        return None


def _copy_to_output(pieces: Iterable[bytes]) -> None:
    if sys.stdout.isatty():
        raise InvalidInput("cowardly refusing to write an archive to a terminal; redirect it")
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _input_pieces() -> Iterator[bytes]:
    if sys.stdin.isatty():
        raise InvalidInput("standard input is a terminal; redirect an archive to it")
    from shoal.images.spool import pieces

    return pieces(sys.stdin.buffer, STREAM)
