"""The addresses of all managers, refreshed now and then, so that a context survives the loss of its first manager."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime

from shoal.contexts import context_file
from shoal.contexts.context_file import Context
from shoal.errors import ShoalError
from shoal.rpc.host_port import parse

REFRESH_SECONDS = 300.0
"""A read more, of about a millisecond; managers that join or move are known to commands after so long."""
FIRST_REFRESH_SECONDS = 10.0
"""Of a context that knows only the addresses which its user gave."""
TIMEOUT_SECONDS = 2.0
"""How much longer a command takes at most, each time, when the manager does not respond."""


def refresh_due(context: Context, now: datetime) -> bool:
    """Whether it is time again. The settings' file bears the time of the last refresh."""
    try:
        checked = (context.directory / context_file.SETTINGS_FILE).stat().st_mtime
    except OSError:
        return False
    return now.timestamp() - checked >= (REFRESH_SECONDS if context.discovered else FIRST_REFRESH_SECONDS)


def refresh(context: Context, fetch: Callable[[], Sequence[str]]) -> None:
    """Store what `fetch` returns for later commands. A failure is retried later; the command continues."""
    try:
        os.utime(context.directory / context_file.SETTINGS_FILE)
        discovered = tuple(fetch())
        for address in discovered:
            parse(address)
        if discovered and discovered != context.discovered:
            context_file.write_settings(context.directory, context.addresses, context.registries, discovered)
    except (OSError, ShoalError):
        return
