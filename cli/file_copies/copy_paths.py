"""Where a copy goes, by the rules of `docker cp`. Pure.

docker/cli, cli/command/container/cp.go; moby/go-archive, copy.go.
"""

import posixpath
from dataclasses import dataclass

from shoal.errors import InvalidInput, NotFound

Parts = tuple[str, ...]
STREAM = "-"
"""A tar archive on standard input or output, in place of a local path."""


@dataclass(frozen=True)
class CopiedPath:
    """What is copied.

    Attributes:
        path: a trailing "/." means the contents of the directory.
        rebase_name: the name that its copy has in place of its own: of a link that was followed.
    """

    path: str
    is_directory: bool
    rebase_name: str = ""


@dataclass(frozen=True)
class CopyDestination:
    """Where it is copied to; a trailing "/" of the path says that it is to be a directory."""

    path: str
    exists: bool
    is_directory: bool


@dataclass(frozen=True)
class Placement:
    """How an archive is unpacked.

    Attributes:
        directory: into which.
        old_name: the first component of each name in it.
        new_name: what takes its place; empty: nothing.
    """

    directory: str
    old_name: str
    new_name: str = ""


def split_argument(text: str) -> tuple[str, str]:
    """Container and path, "db:/srv"; of a local path the container is empty."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


def clean(path: str) -> str:
    """Without "//", "/./", "x/.."; lexically, as Go's filepath.Clean."""
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned.removeprefix("/") if cleaned.startswith("//") else cleaned


def absolute(path: str, directory: str) -> str:
    """A clean path that keeps its trailing "/" or "/."."""
    cleaned = clean(posixpath.join(directory, path))
    if means_contents(path):
        return "/." if cleaned == "/" else f"{cleaned}/."
    return f"{cleaned}/" if path.endswith("/") and cleaned != "/" else cleaned


def means_contents(path: str) -> bool:
    """Whether it ends in "/." or is "."."""
    return path == "." or path.endswith("/.")


def split_entry(path: str) -> tuple[str, str]:
    """The directory and the last component; the latter is "." where a directory's contents are meant."""
    cleaned = clean(path)
    if means_contents(path) and cleaned != ".":
        return cleaned, "."
    directory, _, base = cleaned.rpartition("/")
    return directory or ("/" if cleaned.startswith("/") else "."), base or "/"


def place(source: CopiedPath, target: CopyDestination) -> Placement:
    """Where the archive of a source goes.

    Raises:
        InvalidInput: a directory cannot replace a file. NotFound: a directory that is to be there is not.
    """
    directory, base = split_entry(target.path)
    name = split_entry(source.path)[1]
    if target.exists and target.is_directory:
        return Placement(target.path, name, source.rebase_name)
    if target.exists and source.is_directory:
        raise InvalidInput(f"cannot copy directory {source.path} to {target.path}, which is not a directory")
    if not source.is_directory and not target.exists and (target.path.endswith("/") or means_contents(target.path)):
        raise NotFound(f"no such directory: {target.path}")
    return Placement(directory, name, base)


def followed(path: str, target: str) -> tuple[str, str]:
    """The path of what a link refers to, and the name that its copy has: the link's own, where that is another.

    Args:
        target: resolved.
    """
    if means_contents(path) and not means_contents(target):
        target = f"{target}/."
    elif path.endswith("/") and not target.endswith("/"):
        target = f"{target}/"
    name = posixpath.basename(path.rstrip("/"))
    return target, name if name != posixpath.basename(target.rstrip("/")) else ""


def renamed(parts: Parts, placement: Placement) -> Parts:
    """Components of a name in an archive, as they are to be."""
    if placement.new_name in ("", "."):
        return parts
    if placement.old_name in (".", "/"):
        return (placement.new_name, *parts)
    return (placement.new_name, *parts[1:]) if parts[:1] == (placement.old_name,) else parts
