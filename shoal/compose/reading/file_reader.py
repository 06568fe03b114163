"""Where the files of a project come from: the disk for the command line, the request for the API."""

from collections.abc import Mapping
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import Protocol

from shoal.errors import InvalidInput, NotFound, Unavailable

MAX_TEXT_BYTES = 1 << 20
"""Size of one file of text."""


class FileReader(Protocol):
    """Reads the files that a project names. Compose reads no file but through this."""

    def read(self, path: Path, *, limit: int) -> bytes:
        """At most `limit` + 1 bytes.

        Raises:
            NotFound: there is no such file.
            Unavailable: it cannot be read.
        """
        ...

    def resolve(self, path: Path) -> Path:
        """The same file's path without `..` and symbolic links."""
        ...

    def expand(self, path: str) -> Path:
        """The path with the user's home in place of `~`.

        Raises:
            InvalidInput: there is no home.
        """
        ...


class LocalFiles:
    """The files of this machine, with the rights of this process."""

    def read(self, path: Path, *, limit: int) -> bytes:
        """As `FileReader.read`."""
        try:
            with path.open("rb") as file:
                return file.read(limit + 1)
        except FileNotFoundError:
            raise NotFound(f"{path} not found") from None
        except OSError as error:
            raise Unavailable(f"cannot read {path}: {error.strerror}") from None

    def resolve(self, path: Path) -> Path:
        """As `FileReader.resolve`."""
        return path.resolve()

    def expand(self, path: str) -> Path:
        """As `FileReader.expand`."""
        return Path(path).expanduser()


class ProjectFiles:
    """Files that were sent with a project, and no others: nothing of this machine is read.

    Args:
        contents: by absolute path, or by the path below the project's directory.
        directory: of the project.
    """

    def __init__(self, contents: Mapping[PurePosixPath, bytes] | None = None, directory: Path = Path("/")) -> None:
        self._contents = {normpath(directory / path): content for path, content in (contents or {}).items()}

    def read(self, path: Path, *, limit: int) -> bytes:
        """As `FileReader.read`."""
        content = self._contents.get(normpath(path))
        if content is None:
            raise NotFound(f"{path} not found")
        return content[: limit + 1]

    def resolve(self, path: Path) -> Path:
        """As `FileReader.resolve`."""
        return Path(normpath(path))

    def expand(self, path: str) -> Path:
        """As `FileReader.expand`."""
        if path.startswith("~"):
            raise InvalidInput(f"{path!r}: '~' cannot be expanded; use an absolute path")
        return Path(path)


def read_text(path: Path, files: FileReader) -> str:
    """A file of text, with `\\n` at the ends of its lines.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        content = files.read(path, limit=MAX_TEXT_BYTES)
    except Unavailable as error:
        raise InvalidInput(str(error)) from None
    if len(content) > MAX_TEXT_BYTES:
        raise InvalidInput(f"{path} is too large; the maximum is {MAX_TEXT_BYTES >> 20} MiB")
    try:
        return content.decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise InvalidInput(f"cannot read {path}: not valid UTF-8") from None
