"""The addresses of all managers, refreshed every hour, so that a context survives the loss of its first manager."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime

from cli.contexts import context_file
from cli.contexts.context_file import Context
from shoal.errors import ShoalError
from shoal.rpc.host_port import parse

REFRESH_SECONDS = 3600.0
TIMEOUT_SECONDS = 2.0
"""What a command takes longer at most, once an hour, when the manager does not answer."""


def refresh_due(context: Context, now: datetime) -> bool:
    """Whether an hour has passed since the last time. The settings' file bears the time of it."""
    try:
        checked = (context.directory / context_file.SETTINGS_FILE).stat().st_mtime
    except OSError:
        return False
    return now.timestamp() - checked >= REFRESH_SECONDS


def refresh(context: Context, fetch: Callable[[], Sequence[str]]) -> None:
    """Keep what `fetch` tells for the commands to come. What fails is tried again in an hour: the command goes on."""
    try:
        os.utime(context.directory / context_file.SETTINGS_FILE)
        learned = tuple(fetch())
        for address in learned:
            parse(address)
        if learned and learned != context.discovered:
            context_file.write_settings(context.directory, context.addresses, context.registries, learned)
    except (OSError, ShoalError):
        return
