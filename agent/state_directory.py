"""The format of the agent's state directory: journal, images, containers' roots, volumes."""

import logging
from pathlib import Path

from shoal.errors import Unavailable
from shoal.state_format import WrittenFormat, check_readable, load_format, save_format, this_release

STATE_FORMAT = 1
"""Of this release: the highest that it reads, and what it writes. Raised when the release before could not continue
with what this one writes, so that it is refused by name instead of losing containers."""

_log = logging.getLogger(__name__)


def claim_state_directory(directory: Path) -> None:
    """Write down that this release's format is in the directory, before anything in it is used.

    Raises:
        WrongRelease: a newer release wrote it. InvalidInput, Unavailable: its format cannot be read.
    """
    found = load_format(directory)
    remedy = "or remove this node's containers with `shoal-agent reset` and join again"
    check_readable(found, STATE_FORMAT, str(directory), remedy)
    if found.number == STATE_FORMAT:
        return
    try:
        save_format(directory, WrittenFormat(STATE_FORMAT, this_release()))
    except Unavailable as error:  # A full disk keeps no container from running.
        _log.warning("%s", error)
