"""A file that a browser sends, as an archive. Pure."""

import tarfile
from pathlib import PurePosixPath

from shoal.errors import InvalidInput

MAX_PATH = 1024
"""Bytes of a file's name with the directories before it."""
DIRECTORY_MODE, FILE_MODE = 0o755, 0o644
END = bytes(2 * tarfile.BLOCKSIZE)


def checked_name(name: str) -> PurePosixPath:
    """The path of a file below the directory that it goes to.

    Raises:
        InvalidInput: it is empty, too long, or leads out of that directory.
    """
    path = PurePosixPath(name)
    parts = name.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in name or len(name.encode(errors="replace")) > MAX_PATH:
        raise InvalidInput(f"name: {name[:80]!r} is not the path of a file below a directory")
    return path


def header_of(name: str, size: int, *, modified_s: int) -> bytes:
    """What stands before the content: headers of the directories of its path, and its own.

    Args:
        modified_s: seconds since the Unix epoch.
    Raises:
        InvalidInput: as `checked_name`.
    """
    path = checked_name(name)
    directories = [str(each) for each in reversed(path.parents) if each.name]
    return b"".join(
        (*(_header(each, 0, modified_s, True) for each in directories), _header(str(path), size, modified_s))
    )


def padding_of(size: int) -> bytes:
    """What stands after the content, with the archive's end."""
    return bytes(-size % tarfile.BLOCKSIZE) + END


def _header(name: str, size: int, modified_s: int, is_directory: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = size, modified_s
    info.type = tarfile.DIRTYPE if is_directory else tarfile.REGTYPE
    info.mode = DIRECTORY_MODE if is_directory else FILE_MODE
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "replace")
