"""A certificate of the cluster's authority for a server's own TLS, which nobody has to give."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from pathlib import Path

from shoal.api.v1.certificate_authority_pb2 import IssueServerCertificateRequest
from shoal.errors import ShoalError
from shoal.identity import certificates
from shoal.identity.served_names import MAX_NAMES
from shoal.manager_calls.certificate_maintenance import ServerCertificate
from shoal.manager_calls.managers import Managers

CHECK_SECONDS = 3600.0
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  # names of it; nothing is bound
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0

_log = logging.getLogger(__name__)


class IssuedCertificate:
    """Gives a TLS context a certificate, and another one when half of its life is over.

    The key is made here, for each certificate, and is never on a disk. Until there is a certificate, handshakes fail.

    Args:
        names: what clients may call the server: host names and IP addresses.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        managers: Managers,
        names: Sequence[str],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._context = context
        self._managers = managers
        self._names = names
        self._now = now
        self._certificate = b""

    async def maintain(self) -> None:
        """Until cancelled. While managers give none, the last one stays."""
        delay = _FIRST_DELAY
        while True:
            try:
                await self.check()
                delay = _FIRST_DELAY
                await asyncio.sleep(CHECK_SECONDS)
            except ShoalError as error:
                _log.warning("no server certificate of the cluster yet; the next attempt is in %d s: %s", delay, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY)

    async def check(self) -> None:
        """Get one, if there is none, or the one in use has lived for half of its time.

        Raises:
            ShoalError: no manager gives one.
        """
        if self._certificate and not certificates.needs_renewal(self._certificate, self._now()):
            return
        key = certificates.new_key()
        request = IssueServerCertificateRequest(csr=certificates.request(key), names=self._names)
        answer = await self._managers.call(self._managers.authority.IssueServerCertificate, request)
        _load(self._context, answer.certificate, key)
        self._certificate = answer.certificate
        until = certificates.expires_at(answer.certificate)
        _log.info("the server certificate of the cluster is good until %s, for %s", until, ", ".join(self._names))


async def maintain_server_certificate(
    context: ssl.SSLContext,
    managers: Managers,
    *,
    certificate: Path | None,
    key: Path | None,
    listen: str,
    names: Sequence[str],
) -> None:
    """Until cancelled: of the files that are given, which others renew, else one of the cluster's authority.

    Args:
        certificate, key: PEM files of the server; both or none.
        listen, names: as `host_names` takes them.
    """
    if certificate is not None and key is not None:
        await ServerCertificate(context, certificate, key).maintain()
    own_names = await asyncio.to_thread(host_names, listen, names)
    await IssuedCertificate(context, managers, own_names).maintain()


def host_names(listen: str, more: Sequence[str] = ()) -> list[str]:
    """What clients may call a server on this host.

    Args:
        listen: the host that it listens on; an address that means all has all of this host's.
        more: further names, of a balancer for example; they come first.
    """
    own = [socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1", "::1"]
    addresses = local_addresses() if listen in _EVERYWHERE else [listen]
    found = dict.fromkeys([*more, *own, *addresses])
    return [name for name in found if name and not name.lower().endswith(".shoal")][:MAX_NAMES]


def local_addresses(proc: Path = Path("/proc/self/net")) -> list[str]:
    """The addresses of this host's interfaces, but for loopback's and link-local ones (proc(5))."""
    found: dict[IPv4Address | IPv6Address, None] = {}
    with suppress(OSError):
        lines = (proc / "fib_trie").read_text().splitlines()
        for line, following in pairwise(lines):
            if following.strip() == "/32 host LOCAL":
                found[ip_address(line.split()[-1])] = None
    with suppress(OSError):
        for line in (proc / "if_inet6").read_text().splitlines():
            found[ip_address(bytes.fromhex(line.split()[0]))] = None
    return [str(each) for each in found if not (each.is_loopback or each.is_link_local)]


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python reads both from a file only: one in memory."""
    with os.fdopen(os.memfd_create("server certificate"), "wb") as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
