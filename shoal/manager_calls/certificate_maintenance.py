"""Certificates of a long life: a program's own is renewed, and what others renew is read again, while it runs."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from grpc import aio

from shoal.contexts.certificate_renewal import renew_if_due
from shoal.contexts.context_file import Context
from shoal.errors import ShoalError
from shoal.identity.identity import Identity
from shoal.manager_calls.replaceable_channel import ReplaceableChannel

STREAM_SECONDS = 86_400.0
"""For the streams of a channel that was replaced."""
CHECK_SECONDS = 3600.0
"""Certificates of administrators live a year and are renewed in the last third."""

_log = logging.getLogger(__name__)


class CertificateMaintenance:
    """Keeps the channel to the managers on the context's certificate, which other programs may renew as well.

    A channel that was replaced stays open while its streams go on, a day at most.
    """

    def __init__(
        self,
        context: Context,
        channel: ReplaceableChannel,
        *,
        connected_as: Identity,
        connect: Callable[[Identity], aio.Channel],
        now: Callable[[], datetime],
    ) -> None:
        self._context = context
        self._channel = channel
        self._identity = connected_as
        self._connect = connect
        self._now = now
        self._made: list[aio.Channel] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def maintain(self, *, check_seconds: float = CHECK_SECONDS) -> None:
        """Check until cancelled; the first time after the interval."""
        while True:
            await asyncio.sleep(check_seconds)
            await self.check()

    async def check(self) -> None:
        """Renew the certificate if it is time, and connect anew if the one on disk is another one."""
        if warning := await asyncio.to_thread(renew_if_due, self._context, self._now()):
            _log.warning("%s", warning)
        try:
            identity = Identity.load(self._context.directory)
            if identity == self._identity:
                return
            channel = self._connect(identity)
        except ShoalError as error:
            _log.warning("this program stays connected with its old certificate: %s", error)
            return
        self._identity = identity
        self._use(channel)
        _log.info("calls use the renewed certificate of context %r", self._context.name)

    def reconnect(self) -> None:
        """Connect anew, with the same certificate, to what `connect` connects to now."""
        self._use(self._connect(self._identity))

    def _use(self, channel: aio.Channel) -> None:
        self._channel.replace(channel)
        if self._made:
            closing = asyncio.get_running_loop().create_task(self._made.pop().close(STREAM_SECONDS), name="old channel")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._made.append(channel)

    async def close(self) -> None:
        """Close the channels that were made."""
        for task in self._closing:
            task.cancel()
        for channel in self._made:
            await channel.close()


class ServerCertificate:
    """The certificate of a server's own TLS, whose files somebody else writes."""

    def __init__(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        self._context = context
        self._files = (certificate, key)
        self._loaded = self._contents()

    async def maintain(self, *, check_seconds: float = CHECK_SECONDS) -> None:
        """Check until cancelled; the first time after the interval."""
        while True:
            await asyncio.sleep(check_seconds)
            self.check()

    def check(self) -> None:
        """Use the files as they are now, for connections from now on, if they have changed and fit each other."""
        found = self._contents()
        if found is None or found == self._loaded:
            return
        try:
            # First into another context: a failure leaves one half changed.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self._context.load_cert_chain(*self._files)
        except OSError as error:
            _log.warning("the old server certificate stays in use: %s", error)
            return
        self._loaded = found
        _log.info("the new server certificate is in use: %s", self._files[0])

    def _contents(self) -> tuple[bytes, ...] | None:
        try:
            return tuple(each.read_bytes() for each in self._files)
        except OSError:
            return None
