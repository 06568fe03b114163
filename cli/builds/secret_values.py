"""Values of secrets of a build: files and variables of this machine."""

import os
from collections.abc import Mapping
from pathlib import Path

from shoal.errors import InvalidInput, NotFound
from shoal.spec_parsers.builds.build_inputs import SecretSource

MAX_BYTES = 500 * 1024


def secret_value(secret: SecretSource, environment: Mapping[str, str]) -> bytes:
    """Of its file or its variable; without either of the variable of its name, or else of the file of its name.

    Raises:
        InvalidInput: it is too large, or the environment has no such variable. NotFound: there is no such file.
    """
    variable = secret.variable or (secret.identifier if not secret.file and secret.identifier in environment else "")
    if not variable:
        return _read(Path(secret.file or secret.identifier))
    if variable not in environment:
        raise InvalidInput(f"{secret.identifier}: the environment has no variable {variable}")
    return _bounded(os.fsencode(environment[variable]), secret.identifier)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return _bounded(opened.read(MAX_BYTES + 1), str(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotFound(f"failed to stat {path}: no such file") from None


def _bounded(value: bytes, what: str) -> bytes:
    if len(value) > MAX_BYTES:
        raise InvalidInput(f"{what}: is too large; the maximum is {MAX_BYTES:,} bytes")
    return value
