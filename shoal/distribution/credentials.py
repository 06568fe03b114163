"""Who we are to a registry: challenges (RFC 9110 section 11), basic credentials (RFC 7617), passwords kept in files."""

import base64
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal.distribution.registries import Registry
from shoal.errors import InvalidInput

_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True)
class Challenge:
    """What a 401 asks for: scheme in lower case, parameters by lower-case name."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(header: str) -> Challenge:
    """One `WWW-Authenticate` header. Pure and total: a header that makes no sense has an empty scheme."""
    scheme, _, rest = header.strip().partition(" ")
    found = {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for name, quoted, plain in _PARAMETER.findall(rest)
    }
    return Challenge(scheme.lower() if scheme.isalpha() else "", found)


def basic(username: str, password: str) -> str:
    """Value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def basic_for(registry: Registry) -> str | None:
    """The registry's basic credentials; None where it has none.

    Raises:
        InvalidInput: the password file cannot be read, or others than its owner can read it.
    """
    if registry.password_file is None:
        return None
    return basic(registry.username, read_password(registry.password_file))


def read_password(path: Path) -> str:
    """The one line in a password file.

    Raises:
        InvalidInput: it cannot be read, is empty, or others than its owner can read it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"password file {path} cannot be read: {error}") from error
    if mode & 0o077:
        raise InvalidInput(f"password file {path} is open to others (mode {mode:04o}); do: chmod 600 {path}")
    if not text:
        raise InvalidInput(f"password file {path} is empty")
    return text
