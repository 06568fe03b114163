"""Which syntaxes of Dockerfiles are read. Pure. Dockerfile reference, "syntax"."""

from shoal import image_reference
from shoal.errors import InvalidInput

SYNTAX_ARGUMENT = "BUILDKIT_SYNTAX"
"""A `--build-arg` that stands in for the directive."""

_BUILT_IN = "dockerfile.v0"
_NAMES = frozenset({"docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream"})


def check_frontend(syntax: str) -> None:
    """Docker's own syntax, of any version: it is read by this package, whatever image is named.

    Raises:
        InvalidInput: another program would have to read the file.
    """
    if syntax and syntax != _BUILT_IN and _name(syntax) not in _NAMES:
        raise InvalidInput(f"syntax {syntax[:80]!r} is not supported; use docker/dockerfile:1")


def _name(syntax: str) -> str:
    try:
        return image_reference.parse(syntax).name
    except InvalidInput:
        return ""
