"""Sources of ADD that are not in the context: URLs and git repositories. Pure. Dockerfile reference, "ADD"."""

import re

_GIT_SCHEMES = ("git://", "git@", "ssh://")
_URL = re.compile(r"https?://", re.IGNORECASE)
_GIT_URL = re.compile(r"https?://[^?#]+\.git(?:[?#].*)?", re.IGNORECASE)


def is_git(source: str) -> bool:
    """Whether a source is a git repository: `https://….git#v1:dir`, `git@host:path`, `ssh://…`."""
    return source.startswith(_GIT_SCHEMES) or _GIT_URL.fullmatch(source) is not None


def is_remote(source: str) -> bool:
    """Whether a source is a URL or a git repository."""
    return is_git(source) or _URL.match(source) is not None
