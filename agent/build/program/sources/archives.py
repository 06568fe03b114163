"""Archives that ADD unpacks: tar, plain or compressed. Blocking."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent.archives.disk_budget import DiskBudget
from agent.archives.tar_extract import ExtractOptions, extract
from agent.build.program.copying.copy_metadata import CopyOwner
from shoal.errors import InvalidInput
from shoal.images.spool import pieces
from shoal.tar.piece_reader import PieceReader
from shoal.tar.tar_header import BLOCK, parse_header

_BUFFER = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A file that is a tar archive. Attributes: descriptor: O_PATH of it, the caller's."""

    descriptor: int

    def unpack(self, root: int, path: str, owner: CopyOwner, disk: DiskBudget) -> None:
        """Unpack it into a directory that is there.

        Args:
            root: descriptor of the root file system.
        Raises:
            InvalidInput: it is damaged, or leads out of the root. Exhausted: the disk is filling up.
        """
        ids = None if owner.uid is None or owner.gid is None else (owner.uid, owner.gid)
        with _opened(self.descriptor) as source:
            stream = PieceReader(pieces(source, "the archive"))
            extract(root, path or "/", stream.read, ExtractOptions(owner=ids, devices=True), disk)


def is_archive(descriptor: int) -> bool:
    """Whether a regular file, held by an O_PATH descriptor, begins as a tar archive does once it is decompressed."""
    try:
        with _opened(descriptor) as source:
            block = PieceReader(pieces(source, "the archive")).read(BLOCK)
            return len(block) == BLOCK and parse_header(block) is not None
    except InvalidInput:
        return False


def _opened(descriptor: int) -> BinaryIO:
    return Path(f"/proc/self/fd/{descriptor}").open("rb", buffering=_BUFFER)
