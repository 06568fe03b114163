"""Owner and mode that COPY gives to what it copies. Pure."""

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from agent.runtime.spec.user_lookup import resolve_user
from shoal.errors import InvalidInput

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_CHANGE = re.compile(r"([-+=])([rwxXst]*)")
_READ, _WRITE, _EXECUTE = 4, 2, 1
_SHIFTS = {"u": 6, "g": 3, "o": 0}


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
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        raise InvalidInput(f"invalid mode {clause[:40]!r}")
    who = found[1].replace("a", "ugo") or "ugo"
    for operator, letters in _CHANGE.findall(found[2]):
        bits = _bits(who, letters, mode, is_directory=is_directory)
        if operator == "+":
            mode |= bits
        elif operator == "-":
            mode &= ~bits
        else:
            mode = mode & ~_bits(who, "rwxst", 0o111, is_directory=True) | bits
    return mode


def _bits(who: str, letters: str, mode: int, *, is_directory: bool) -> int:
    executes = "x" in letters or ("X" in letters and (is_directory or bool(mode & 0o111)))
    each = (_READ if "r" in letters else 0) | (_WRITE if "w" in letters else 0) | (_EXECUTE if executes else 0)
    bits = 0
    for letter in who:
        bits |= each << _SHIFTS[letter]
    if "s" in letters:
        bits |= (stat.S_ISUID if "u" in who else 0) | (stat.S_ISGID if "g" in who else 0)
    return bits | (stat.S_ISVTX if "t" in letters else 0)
