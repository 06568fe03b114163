"""Calls on behalf of a user: an engine or a console names in the metadata of a call who has asked it. Pure: no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from shoal.errors import InvalidInput
from shoal.identity.roles import Role

ON_BEHALF_KEY = "shoal-on-behalf"
"""Metadata of a call: role and name of the user, with a blank in between; the name is percent-encoded UTF-8."""

USER_ROLES = frozenset({Role.ADMIN})
"""Whom an engine or a console may act for: people, never managers, agents or each other."""

GATEWAYS = frozenset({Role.ENGINE, Role.CONSOLE})
"""Who may name a user."""

MAX_NAME = 256


@dataclass(frozen=True)
class ActingUser:
    """Whom a call is made for; both as in the user's certificate."""

    name: str
    role: Role


def metadata_of(user: ActingUser) -> tuple[tuple[str, str], ...]:
    """The metadata of a call on behalf of this user."""
    return ((ON_BEHALF_KEY, f"{user.role} {quote(user.name, safe='')}"),)


def user_of(metadata: Iterable[tuple[str, str | bytes]]) -> ActingUser | None:
    """Whom a call is made for; None: for its caller.

    Raises:
        InvalidInput: the metadata is not readable, or names several or no user.
    """
    found = [value for key, value in metadata if key == ON_BEHALF_KEY]
    if not found:
        return None
    text = found[0]
    if len(found) > 1 or not isinstance(text, str):
        raise InvalidInput(f"{ON_BEHALF_KEY} must be given once")
    role, _, encoded = text.partition(" ")
    name = unquote(encoded)
    if role not in USER_ROLES or not name or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput(f"{ON_BEHALF_KEY} must be the role and the name of a user")
    return ActingUser(name, Role(role))
