"""Registry credentials: challenges (RFC 9110 section 11), basic authentication (RFC 7617), password files."""

import base64
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal.distribution.registries import RegistrySettings
from shoal.errors import InvalidInput

_MAX_HEADER = 8 << 10
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_SPACES = re.compile(r"[ \t]*")
_GAP = re.compile(r"[ \t,]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PLAIN = re.compile(r'[^\s,"]+')


@dataclass(frozen=True)
class Challenge:
    """What a 401 asks for: scheme in lower case, parameters by lower-case name."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(header: str) -> Challenge:
    """The challenge of a `WWW-Authenticate` header that we can best answer: a bearer token with a realm, else a
    password, else the first. Pure and total, in time that grows with the header: one that makes no sense has an empty
    scheme, and so has one longer than any in use.
    """
    found = parse_challenges(header)
    bearer = [each for each in found if each.scheme == "bearer" and "realm" in each.parameters]
    basic = [each for each in found if each.scheme == "basic"]
    return next(iter((*bearer, *basic, *found)), Challenge("", {}))


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """All challenges of a header, up to the place where it makes no sense any more (RFC 9110 section 11.6.1)."""
    found: list[tuple[str, dict[str, str]]] = []
    at = 0 if len(header) <= _MAX_HEADER else len(header)
    while word := _TOKEN.match(header, _GAP.match(header, at).end()):  # type: ignore[union-attr]  # matches anything
        at = _SPACES.match(header, word.end()).end()  # type: ignore[union-attr]
        if not header.startswith("=", at):
            found.append((word[0].lower(), {}))
            continue
        at = _SPACES.match(header, at + 1).end()  # type: ignore[union-attr]
        value = _QUOTED.match(header, at) or _PLAIN.match(header, at)
        if value is None or not found:
            break
        at = value.end()
        text = re.sub(r"\\(.)", r"\1", value[1]) if value.lastindex else value[0]
        found[-1][1].setdefault(word[0].lower(), text)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def basic(username: str, password: str) -> str:
    """Value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def basic_for(registry: RegistrySettings) -> str | None:
    """The registry's basic credentials; None where it has none.

    Raises:
        InvalidInput: the password file cannot be read, or others than its owner can read it.
    """
    if registry.password:
        return basic(registry.username, registry.password)
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
        raise InvalidInput(f"cannot read password file {path}: {error}") from error
    if mode & 0o077:
        raise InvalidInput(f"password file {path} is readable by others (mode {mode:04o}); run `chmod 600 {path}`")
    if not text:
        raise InvalidInput(f"password file {path} is empty")
    return text
