"""The Dockerfile and .dockerignore of a context that came whole: what .dockerignore says of them holds.

Clients of the classic builder leave out what .dockerignore says, but these two, which the builder needs; it is the
builder that takes them away, so that COPY does not have them. moby/moby, builder/remotecontext/detect.go.
"""

import os
import posixpath
from contextlib import suppress
from pathlib import Path

from agent.safe_paths.regular_files import read_regular
from agent.safe_paths.system_calls import open_directory_beneath
from shoal.dockerfile.ignore_patterns import PatternMatcher, read_patterns
from shoal.errors import InvalidInput

IGNORE_FILE = ".dockerignore"
MAX_BYTES = 4 << 20


def remove_ignored(directory: Path, dockerfile: str) -> PatternMatcher | None:
    """Remove the two from a context where its .dockerignore excludes them. Its patterns; None: it has none.

    Args:
        dockerfile: path in the context; it was read already.
    Raises:
        InvalidInput: a pattern is none.
    """
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            text = read_regular(root, IGNORE_FILE, max_bytes=MAX_BYTES).decode("utf-8", "surrogateescape")
        except OSError:
            return None
        matcher = _matcher(text)
        for name in (posixpath.normpath(dockerfile).lstrip("/"), IGNORE_FILE):
            if matcher.excludes(name):
                _remove(root, name)
        return matcher
    finally:
        os.close(root)


def _matcher(text: str) -> PatternMatcher:
    try:
        return PatternMatcher(read_patterns(text))
    except InvalidInput as error:
        raise InvalidInput(f"{IGNORE_FILE}: {error}") from None


def _remove(root: int, name: str) -> None:
    """A link of this name is removed, never what it refers to."""
    parent, base = posixpath.split(name)
    with suppress(OSError):
        above = open_directory_beneath(root, parent or ".")
        try:
            os.unlink(base, dir_fd=above)
        finally:
            os.close(above)
