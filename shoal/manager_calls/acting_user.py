"""The user whom calls to managers are made for: of the request that the running code serves."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from shoal.rpc.on_behalf import ActingUser, metadata_of

_USER: ContextVar[ActingUser | None] = ContextVar("user", default=None)


@contextmanager
def acting_for(user: ActingUser | None) -> Generator[None]:
    """Calls inside, of tasks that are begun inside too, are on behalf of the user; None: the engine's own."""
    token = _USER.set(user)
    try:
        yield
    finally:
        _USER.reset(token)


def acting_metadata() -> tuple[tuple[str, str], ...]:
    """What a call sends now."""
    user = _USER.get()
    return metadata_of(user) if user is not None else ()
