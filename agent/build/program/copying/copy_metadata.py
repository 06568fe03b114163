"""Owner and mode that COPY gives to what it copies. Pure."""

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from agent.runtime.spec.user_lookup import resolve_user
from shoal.errors import InvalidInput

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_CHANGE = re.compile(r"([-+=])([rwxXst]*)")
_AFFECTED = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": 0o7777}
_VALUES = {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0o111, "s": 0o6000, "t": 0o1000}
_SET_IDS = 0o6000
NEW_DIRECTORY = 0o755
"""Mode of directories that no source has."""


@dataclass(frozen=True)
class CopyOwner:
    """Attributes: uid, gid: None: as the source has it."""

    uid: int | None
    gid: int | None


def parse_owner(chown: str, read_accounts: Callable[[], tuple[str, str]]) -> CopyOwner:
    """User and group of `--chown`; root without it.

    Args:
        read_accounts: /etc/passwd and /etc/group of the root file system.
    Raises:
        InvalidInput: it has no such user or group.
    """
    if not chown:
        return CopyOwner(0, 0)
    user, _, group = chown.partition(":")
    if (not user or _is_number(user)) and (not group or _is_number(group)):
        uid = int(user or 0)
        return CopyOwner(uid, int(group) if group else uid)
    passwd, groups = read_accounts()
    found = resolve_user(chown, (), passwd=passwd, group=groups)
    return CopyOwner(found.uid, found.gid)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) < 1 << 32


def new_directory_mode(chmod: str) -> int:
    """Of directories that no source has: permissions of a `--chmod` in octal digits are theirs too, as in BuildKit
    since 2025, but whoever may read one may enter it, which BuildKit's `--chmod=644` denies.
    """
    if not (chmod.isascii() and chmod.isdecimal()):
        return NEW_DIRECTORY
    permissions = int(chmod, 8) & 0o777
    return permissions | (permissions & 0o444) >> 2


def changed_mode(mode: int, chmod: str) -> int:
    """Permission bits after `--chmod`, in octal digits or as chmod(1) has them.

    Raises:
        InvalidInput: it is neither.
    """
    if not chmod:
        return stat.S_IMODE(mode)
    if chmod.isascii() and chmod.isdecimal():
        return int(chmod, 8)
    permissions = stat.S_IMODE(mode)
    for clause in chmod.split(","):
        permissions = _apply(clause, permissions, is_directory=stat.S_ISDIR(mode))
    return permissions


def _apply(clause: str, mode: int, *, is_directory: bool) -> int:
    """As chmod(1): set-user-ID and set-group-ID bits of directories change only where they are named."""
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        raise InvalidInput(f"invalid mode {clause[:40]!r}")
    affected = 0
    for who in found[1] or "a":
        affected |= _AFFECTED[who]
    for operator, letters in _CHANGE.findall(found[2]):
        value = 0
        for letter in letters:
            value |= _VALUES[letter] if letter != "X" or is_directory or mode & 0o111 else 0
        kept = _SET_IDS & ~(affected & value) if is_directory else 0
        value &= affected & ~kept
        if operator == "+":
            mode |= value
        elif operator == "-":
            mode &= ~value
        else:
            mode = mode & (~affected | kept) | value
    return mode
