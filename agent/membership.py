"""Joining the cluster, and renewing the node certificate."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from agent.session.manager_list import ManagerList
from agent.settings import AgentSettings
from shoal.api.v1.cluster_pb2 import ManagerAddress
from shoal.errors import InvalidInput, ShoalError, Unavailable
from shoal.fault_points.injection import fault
from shoal.identity import certificates, identity, join_token
from shoal.identity.identity import Identity
from shoal.identity.private_files import write_atomically
from shoal.notifier import Notifier
from shoal.rpc.join import find_managers, join
from shoal.rpc.renew import renew

CHECK_SECONDS = 3_600.0
"""Certificates last 90 days."""

_log = logging.getLogger(__name__)


class Membership:
    """This node's current identity. `current` may be called from any thread."""

    def __init__(self, *, directory: Path, now: Callable[[], datetime]) -> None:
        self._directory = directory
        self._now = now
        self._identity = Identity.load(directory)
        self._renewals = Notifier()

    @property
    def node_id(self) -> str:
        return certificates.subject_of(self._identity.certificate).id

    def current(self) -> Identity:
        """The newest certificate, with its key and authority."""
        return self._identity

    @property
    def expires_at_ms(self) -> int:
        """When the certificate expires, milliseconds since the Unix epoch."""
        return certificates.expires_at_ms(self._identity.certificate)

    def changes(self) -> AsyncGenerator[None]:
        """Yields once immediately, then after each renewal."""
        return self._renewals.wakeups()

    async def find(self, managers: ManagerList) -> tuple[ManagerAddress, ...]:
        """Ask the manager where this node joined for the list of managers: the last resort.

        Raises:
            Unavailable, Timeout: no response, or the address is unknown.
        """
        if not managers.join_address:
            raise Unavailable("no manager is known; start the agent with --join HOST:PORT")
        return await find_managers(managers.join_address, self._identity.ca)

    async def renew_certificate(self, managers: ManagerList) -> None:
        """Renew the certificate at half of its lifetime, until cancelled. Failures are retried after an hour."""
        while True:
            if certificates.needs_renewal(self._identity.certificate, self._now()):
                try:
                    self._identity = await renew(managers.addresses, self._identity)
                    fault("agent.renew.answered")
                    self._identity.save(self._directory)
                    _log.info("renewed the node certificate")
                    self._renewals.notify()
                except ShoalError as error:
                    _log.error("could not renew the node certificate: %s", error)
            await asyncio.sleep(CHECK_SECONDS)


async def join_if_new(settings: AgentSettings, hostname: str) -> tuple[ManagerAddress, ...]:
    """Join the cluster, unless this host has joined already. Returns the managers, empty if it had joined before.

    Raises:
        InvalidInput: it has not joined, and --join or a token is missing.
        Unauthenticated, Unavailable, Timeout: see `shoal.rpc.join.join`.
    """
    if identity.is_complete(settings.identity_directory):
        _join_key_file(settings).unlink(missing_ok=True)  # of a join that was interrupted just before its end
        return ()
    token = join_token.read(settings.token, settings.token_file)
    if not settings.join or not token:
        raise InvalidInput(
            "this node has not joined a cluster; start the agent with --join "
            "HOST:PORT and --token (`shoal cluster join-token` prints both)"
        )
    joined = await join(settings.join, token, hostname, key=_join_key(settings))
    fault("agent.join.answered")
    joined.identity.save(settings.identity_directory)
    fault("agent.join.identity-saved")
    _join_key_file(settings).unlink(missing_ok=True)
    _log.info("joined cluster %s as node %s", joined.cluster_id, joined.node_id)
    return joined.managers


def _join_key_file(settings: AgentSettings) -> Path:
    return settings.state_directory / "joining.key"


def _join_key(settings: AgentSettings) -> bytes:
    """The key to join with: the same one until the host has joined, so that a lost response does no harm.

    Raises:
        Unavailable: it cannot be saved.
    """
    file = _join_key_file(settings)
    with suppress(OSError, InvalidInput):  # a corrupt one is replaced
        saved = file.read_bytes()
        certificates.load_key(saved)
        return saved
    key = certificates.new_key()
    try:
        write_atomically(file, key)
    except OSError as error:
        raise Unavailable(f"cannot write {file}: {error.strerror}") from error
    fault("agent.join.key-saved")
    return key
