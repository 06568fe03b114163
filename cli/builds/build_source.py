"""Where a build's Dockerfile and context come from: a directory, standard input, or an address."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shoal.dockerfile.ignore_patterns import read_patterns
from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.build_inputs import is_remote

STDIN = "-"
DEFAULT_NAME = "Dockerfile"
MAX_DOCKERFILE_BYTES = 1 << 20
MAX_IGNORE_BYTES = 4 << 20
PIECE_BYTES = 256 * 1024

_TAR_MAGIC = slice(257, 262)
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class BuildSource:
    """What is built.

    Attributes:
        dockerfile: path in the context, or the name that faults have where `text` is it.
        text: the Dockerfile; None: the node reads it in the context.
        directory: the context; None: it is `stream`, or `remote`, or there is none.
        patterns: of .dockerignore.
        remote: an address that the node fetches.
    """

    dockerfile: str = ""
    text: bytes | None = None
    directory: Path | None = None
    patterns: tuple[str, ...] = ()
    stream: Iterator[bytes] | None = None
    remote: str = ""


def choose_source(context: str, file: str = "", *, stdin: BinaryIO | None = None) -> BuildSource:
    """What `shoal build -f FILE CONTEXT` builds.

    Args:
        context: a directory, an address, or "-": a tar archive or a Dockerfile on standard input.
        file: path of the Dockerfile on this machine, in a context that is no directory a path there; "-": standard
            input; empty: `Dockerfile`.
        stdin: in place of standard input.
    Raises:
        InvalidInput: there is no such context or file, or both are on standard input.
    """
    given = sys.stdin.buffer if stdin is None else stdin
    if context == STDIN:
        return _of_stdin(given, file)
    if is_remote(context):
        if file == STDIN:
            return BuildSource(DEFAULT_NAME, _read_text(given), remote=context)
        return BuildSource(file, remote=context)
    return _of_directory(Path(context), file, given)


def _of_stdin(stdin: BinaryIO, file: str) -> BuildSource:
    """With `-f -` too, what is there decides: an archive has its own Dockerfile."""
    if stdin.isatty():
        raise InvalidInput("standard input is a terminal; redirect a tar archive or a Dockerfile to it")
    head = stdin.read(PIECE_BYTES)
    if is_archive(head):
        return BuildSource("" if file == STDIN else file, stream=_rest(head, stdin))
    if file not in ("", STDIN):
        raise InvalidInput("-f: cannot be combined with a Dockerfile on standard input")
    return BuildSource(DEFAULT_NAME, _bounded(head + stdin.read(MAX_DOCKERFILE_BYTES), "the Dockerfile"))


def is_archive(head: bytes) -> bool:
    """Whether content that begins so is a tar archive, compressed or not."""
    return head.startswith(_COMPRESSED) or head[_TAR_MAGIC] == b"ustar"


def _rest(head: bytes, stdin: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := stdin.read(PIECE_BYTES):
        yield piece


def _of_directory(directory: Path, file: str, stdin: BinaryIO) -> BuildSource:
    if not directory.is_dir():
        kind = "is not a directory" if directory.exists() else "not found"
        raise InvalidInput(f"unable to prepare context: path {str(directory)!r} {kind}")
    if file == STDIN:
        return BuildSource(DEFAULT_NAME, _read_text(stdin), directory, _patterns(directory, None))
    path = Path(file) if file else _default_file(directory)
    try:
        with path.open("rb") as opened:
            text = _bounded(opened.read(MAX_DOCKERFILE_BYTES + 1), str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidInput(f"failed to read dockerfile: open {path}: no such file or directory") from None
    except IsADirectoryError:
        raise InvalidInput(f"failed to read dockerfile: {path} is a directory") from None
    return BuildSource(_shown(path, directory), text, directory, _patterns(directory, path))


def _default_file(directory: Path) -> Path:
    """`Dockerfile`, or else `dockerfile`."""
    path = directory / DEFAULT_NAME
    small = directory / DEFAULT_NAME.lower()
    return small if not path.exists() and small.is_file() else path


def _shown(path: Path, directory: Path) -> str:
    """Its path in the context; its own name where it is elsewhere."""
    try:
        return path.resolve().relative_to(directory.resolve()).as_posix()
    except ValueError:
        return path.name


def _patterns(directory: Path, dockerfile: Path | None) -> tuple[str, ...]:
    """Of the file that belongs to the Dockerfile, else of the context's .dockerignore."""
    own = [dockerfile.with_name(f"{dockerfile.name}.dockerignore")] if dockerfile is not None else []
    for path in (*own, directory / ".dockerignore"):
        try:
            with path.open("rb") as opened:
                content = opened.read(MAX_IGNORE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if len(content) > MAX_IGNORE_BYTES:
            raise InvalidInput(f"{path} is too large; the maximum is {MAX_IGNORE_BYTES:,} bytes")
        try:
            return read_patterns(content.decode(errors="surrogateescape"))
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {error}") from None
    return ()


def _read_text(stdin: BinaryIO) -> bytes:
    return _bounded(stdin.read(MAX_DOCKERFILE_BYTES + 1), "the Dockerfile")


def _bounded(text: bytes, what: str) -> bytes:
    if len(text) > MAX_DOCKERFILE_BYTES:
        raise InvalidInput(f"{what} is too large; the maximum is {MAX_DOCKERFILE_BYTES:,} bytes")
    return text
