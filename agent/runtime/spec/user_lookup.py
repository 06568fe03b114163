"""Resolves a container's user by the image's /etc/passwd and /etc/group. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shoal.errors import Fault, InvalidInput


@dataclass(frozen=True)
class ContainerUser:
    """Ids for setuid(2), setgid(2), setgroups(2), and the home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(user: str, groups: Sequence[str], *, passwd: str, group: str) -> ContainerUser:
    """The rules of `docker run --user`: "user[:group]", names or numbers; empty means root.

    A number that is not in /etc/passwd is used with group 0 and home "/". A given group replaces the account's; without
    one, the groups that list the account as a member are added.

    Raises:
        InvalidInput: an unknown name, or a number out of range.
    """
    name, _, group_name = user.partition(":")
    table = list(_groups(group))
    account = _account(name or "0", list(_accounts(passwd)))
    gid = _gid(group_name, table, "spec.user") if group_name else account.gid
    extra = [_gid(entry, table, f"spec.groups[{place}]") for place, entry in enumerate(groups)]
    member = [entry.gid for entry in table if account.name and account.name in entry.members and not group_name]
    return ContainerUser(account.uid, gid, tuple(dict.fromkeys([*member, *extra])), account.home or "/")


def _account(name: str, accounts: Sequence[_Account]) -> _Account:
    for account in accounts:
        if account.name == name:
            return account
    number = _number(name)
    if number is None:
        raise InvalidInput([Fault("spec.user", f"user {name!r} not found in the image's /etc/passwd")])
    by_number = (account for account in accounts if account.uid == number)
    return next(by_number, _Account("", number, 0, "/root" if number == 0 else "/"))


def _gid(name: str, groups: Sequence[_Group], path: str) -> int:
    for entry in groups:
        if entry.name == name:
            return entry.gid
    number = _number(name)
    if number is None:
        raise InvalidInput([Fault(path, f"group {name!r} not found in the image's /etc/group")])
    return number


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 and int(text) < 2**31 else None


def _accounts(passwd: str) -> Iterator[_Account]:
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and (uid := _number(fields[2])) is not None and (gid := _number(fields[3])) is not None:
            yield _Account(fields[0], uid, gid, fields[5])


def _groups(group: str) -> Iterator[_Group]:
    for line in group.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and (gid := _number(fields[2])) is not None:
            yield _Group(fields[0], gid, tuple(filter(None, fields[3].split(","))))
