"""What is in the archive of a result, in the order of fsutil's protocol."""

import stat
import tarfile
from dataclasses import dataclass
from typing import IO

from engine.buildkit.v1.fsutil_pb2 import Stat
from engine.protocol.go_modes import to_go_mode
from shoal.tar.tar_entries import KINDS

_NS = 1_000_000_000
_KINDS = {flag: kind for kind, flag in KINDS.items()} | {tarfile.AREGTYPE: stat.S_IFREG, tarfile.LNKTYPE: stat.S_IFREG}


@dataclass(frozen=True)
class FileInArchive:
    """Attributes: offset: of the content in the archive."""

    stat: Stat
    offset: int


@dataclass(frozen=True)
class DirectoryIndex:
    """Attributes: files: their numbers are those of the protocol."""

    files: tuple[FileInArchive, ...]

    @classmethod
    def read(cls, archive: IO[bytes]) -> "DirectoryIndex":
        """The index of an archive that was made by a node. Blocks.

        A hard link to a path that comes later in the order of the protocol is a file of its own with the same content.

        Raises:
            tarfile.TarError: it is none.
        """
        archive.seek(0)
        members: dict[str, tarfile.TarInfo] = {}
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for member in tar:
                name = member.name.removeprefix("./").strip("/")
                if name not in ("", ".") and member.type in _KINDS:
                    members[name] = member
        names = sorted(members, key=lambda each: each.split("/"))
        return cls(tuple(_file(name, members) for name in names))


def _file(name: str, members: dict[str, tarfile.TarInfo]) -> FileInArchive:
    member = members[name]
    content = member
    linkname = member.linkname if member.issym() else ""
    if member.islnk():
        target = member.linkname.removeprefix("./").strip("/")
        content = members.get(target, member)
        linkname = target if target.split("/") < name.split("/") else ""
    sent = Stat(
        path=name,
        mode=to_go_mode(_KINDS[member.type] | member.mode & 0o7777),
        uid=member.uid,
        gid=member.gid,
        size=content.size if _KINDS[member.type] == stat.S_IFREG else 0,
        mod_time=int(member.mtime) * _NS,
        linkname=linkname,
        devmajor=member.devmajor,
        devminor=member.devminor,
    )
    return FileInArchive(sent, content.offset_data)
