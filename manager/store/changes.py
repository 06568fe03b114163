"""Writes, their preconditions, and the changes that result from them."""

from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import Message

from manager.store.kinds import Kind, M

ABSENT = 0
PRESENT = -1


class Write(NamedTuple):
    """Put a record, or delete it when `value` is None. `put` and `delete` create it with matching kind and value."""

    kind: Kind[Message]
    identifier: str
    value: Message | None


@dataclass(frozen=True)
class Expect:
    """A condition of a transaction: the record's version (etcd's modification revision), ABSENT or PRESENT."""

    kind: Kind[Message]
    identifier: str
    version: int

    @property
    def key(self) -> str:
        """`Conflict.key`, should the condition not hold."""
        return f"{self.kind.name}/{self.identifier}"


@dataclass(frozen=True)
class Change:
    """One record as it was and as it is. A creation has no `old`, a deletion no `new`."""

    kind: Kind[Message]
    identifier: str
    old: Message | None
    new: Message | None


def put(kind: Kind[M], identifier: str, value: M) -> Write:
    """The value must not be changed afterwards: it becomes the cached record."""
    return Write(kind, identifier, value)  # type: ignore[arg-type]  # see KINDS


def delete(kind: Kind[M], identifier: str) -> Write:
    """No error if the record is absent."""
    return Write(kind, identifier, None)  # type: ignore[arg-type]  # see KINDS


def expect(kind: Kind[M], identifier: str, version: int) -> Expect:
    """A condition on the record that has this identifier."""
    return Expect(kind, identifier, version)  # type: ignore[arg-type]  # see KINDS
