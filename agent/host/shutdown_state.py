"""Whether the host itself is being stopped, asked of systemd."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
_BOOTED_WITH_SYSTEMD = Path("/run/systemd/system")
"""There where systemd is the init system (sd_booted(3))."""


async def host_is_stopping(booted: Path = _BOOTED_WITH_SYSTEMD) -> bool:
    """Whether the host is shutting down or rebooting: `systemctl is-system-running` says "stopping" (systemctl(1)).

    False where systemd does not run or does not answer.
    """
    if not booted.is_dir():
        return False
    try:
        process = await asyncio.create_subprocess_exec(
            *("systemctl", "is-system-running"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError as error:
        _log.warning("cannot ask systemd whether the host is shutting down: %s", error)
        return False
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return False
    return output.strip() == b"stopping"
