"""The addresses of all managers, asked for once an hour, so that a context outlives the manager that it knew first."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime

from cli.contexts import context as settings
from cli.contexts.context import Context
from shoal.errors import ShoalError
from shoal.rpc.addresses import parse

CHECK_SECONDS = 3600.0
ANSWER_SECONDS = 2.0
"""What a command takes longer at most, once an hour, when the manager does not answer."""


def is_due(context: Context, now: datetime) -> bool:
    """Whether an hour has passed since the last time. The settings' file bears the time of it."""
    try:
        checked = (context.directory / settings.SETTINGS_FILE).stat().st_mtime
    except OSError:
        return False
    return now.timestamp() - checked >= CHECK_SECONDS


def refresh(context: Context, ask: Callable[[], Sequence[str]]) -> None:
    """Keep what `ask` tells for the commands to come. What fails is tried again in an hour: the command goes on."""
    try:
        os.utime(context.directory / settings.SETTINGS_FILE)
        learned = tuple(ask())
        for address in learned:
            parse(address)
        if learned and learned != context.learned:
            settings.write(context.directory, context.addresses, context.registries, learned)
    except (OSError, ShoalError):
        return
