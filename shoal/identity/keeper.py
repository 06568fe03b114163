"""Keeps one's own identity current: renews it in time and saves it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from shoal.errors import ShoalError
from shoal.identity.certificates import expires_at, needs_renewal
from shoal.identity.identity import Identity

Renew = Callable[[Identity], Awaitable[Identity]]

CHECK_SECONDS = 3_600.0
"""Half of 90 days is left when the first try is made: an hour between tries costs nothing."""

_log = logging.getLogger(__name__)


class IdentityKeeper:
    """The identity of this process, as it is now.

    Args:
        identity: as it was loaded or just given.
        directory: where it is saved.
        renew: asks the authority for a new certificate.
        clock: the time with a time zone.
    """

    def __init__(self, identity: Identity, *, directory: Path, renew: Renew, clock: Callable[[], datetime]) -> None:
        self._identity = identity
        self._directory = directory
        self._renew = renew
        self._clock = clock

    def current(self) -> Identity:
        """The newest identity. Servers ask at each handshake, clients when they connect; safe from any thread."""
        return self._identity

    async def run(self) -> None:
        """Renew when it is time, for ever. A refusal is told in the log and tried again within the hour."""
        while True:
            await self.keep()
            await asyncio.sleep(CHECK_SECONDS)

    async def keep(self) -> None:
        """Renew now if half of the certificate's life is over."""
        if not needs_renewal(self._identity.certificate, self._clock()):
            return
        try:
            renewed = await self._renew(self._identity)
            renewed.save(self._directory)
        except ShoalError as error:
            until = expires_at(self._identity.certificate)
            _log.warning("the certificate could not be renewed and ends at %s: %s", until.isoformat(), error)
            return
        self._identity = renewed
        _log.info("the certificate is renewed until %s", expires_at(renewed.certificate).isoformat())
