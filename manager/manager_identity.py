"""The manager's own certificate, and the admin credentials on its host."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from manager.certificate_authority.cluster_authority import CertificateAuthority
from manager.settings import Settings
from shoal.api.v1.cluster_pb2 import Manager
from shoal.errors import NotFound, ShoalError, Unavailable
from shoal.fault_points.injection import fault
from shoal.identity import certificates, identity
from shoal.identity.identity import Identity
from shoal.identity.private_files import make_private_directory, write_atomically
from shoal.ids import NewId

_log = logging.getLogger(__name__)

ADDRESS_FILE = "address"
CHECK_SECONDS = 3600.0


class ManagerIdentity:
    """This manager's identity, on disk and in use; renewed after half of its validity.

    Args:
        directory: of its files.
        clock: seconds since the Unix epoch.
    """

    def __init__(
        self, *, authority: CertificateAuthority, directory: Path, clock: Callable[[], float], new_id: NewId
    ) -> None:
        self._authority = authority
        self._directory = directory
        self._clock = clock
        self.current = self._load() or self._saved(authority.issue_manager(new_id()))

    @property
    def manager_id(self) -> str:
        """The id in the certificate; it does not change with restarts or renewals."""
        return certificates.subject_of(self.current.certificate).id

    def described(self, manager: Manager) -> Manager:
        """The manager's record with the end of the certificate that is in use."""
        described = Manager()
        described.CopyFrom(manager)
        described.certificate_expires_at_ms = certificates.expires_at_ms(self.current.certificate)
        return described

    async def keep_valid(self, renewed: Callable[[], None]) -> None:
        """Renew the certificate after half of its validity, until cancelled. Failures are retried after an hour.

        Args:
            renewed: called after each renewal.
        """
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if certificates.needs_renewal(self.current.certificate, self._now()):
                try:
                    self.current = self._saved(self._authority.reissue(self.current))
                except ShoalError as error:
                    _log.error("could not renew this manager's certificate: %s", error)
                    continue
                _log.info("renewed this manager's certificate")
                renewed()

    def _load(self) -> Identity | None:
        if not identity.is_complete(self._directory):
            return None
        found = Identity.load(self._directory)
        if not certificates.is_signed_by(found.certificate, self._authority.cluster().ca_certificate):
            _log.warning("replacing the identity in %s: it belongs to another cluster", self._directory)
            return None
        fits = certificates.key_matches(found.certificate, found.key)
        if not fits or certificates.needs_renewal(found.certificate, self._now()):
            return self._saved(self._authority.reissue(found))
        return found

    def _saved(self, made: Identity) -> Identity:
        fault("manager.renew.issued")
        made.save(self._directory)
        return made

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


async def keep_credentials_valid(write: Callable[[datetime], None], clock: Callable[[], float]) -> None:
    """Write credentials again until cancelled, so that `shoal context create --admin` always finds valid ones.

    Args:
        write: `write_admin` or its like, given the time.
    """
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        try:
            write(datetime.fromtimestamp(clock(), UTC))
        except Unavailable as error:
            _log.error("cannot renew credentials: %s", error)


def make_state_directory(directory: Path) -> None:
    """For root alone.

    Raises:
        Unavailable: it cannot be created.
    """
    try:
        make_private_directory(directory)
    except OSError as error:
        raise Unavailable(f"cannot create {directory}: {error.strerror}; run the manager as root") from error


def write_credentials(settings: Settings, authority: CertificateAuthority, address: str, now: datetime) -> None:
    """All three: of an admin, of engines and of consoles.

    Raises:
        Unavailable: a directory cannot be written.
    """
    write_admin(authority, settings.admin_directory, address, now)
    write_engine(authority, settings.engine_directory, address, now)
    write_console(authority, settings.console_directory, address, now)


def write_admin(authority: CertificateAuthority, directory: Path, address: str, now: datetime) -> None:
    """Files for `shoal context create --admin DIRECTORY`: an admin's identity and the API's address, for root alone.

    A valid identity is kept.

    Raises:
        Unavailable: the directory cannot be written.
    """
    _write(authority, directory, address, now, lambda: authority.issue_admin("admin"))


def write_engine(authority: CertificateAuthority, directory: Path, address: str, now: datetime) -> None:
    """The same for the context of a `shoal-engine`: an identity that calls on behalf of the engine's users."""
    _write(authority, directory, address, now, lambda: authority.issue_engine("engine"))


def write_console(authority: CertificateAuthority, directory: Path, address: str, now: datetime) -> None:
    """The same for the context of a `shoal-console`: an identity that calls on behalf of those who have signed in."""
    _write(authority, directory, address, now, lambda: authority.issue_console("console"))


def _write(
    authority: CertificateAuthority, directory: Path, address: str, now: datetime, issue: Callable[[], Identity]
) -> None:
    if not _is_valid(authority, directory, now):
        issue().save(directory)
    try:
        write_atomically(directory / ADDRESS_FILE, f"{address}\n".encode())
    except OSError as error:
        raise Unavailable(f"cannot write {directory / ADDRESS_FILE}: {error.strerror}") from error


def _is_valid(authority: CertificateAuthority, directory: Path, now: datetime) -> bool:
    try:
        found = Identity.load(directory)
    except NotFound:  # not written yet, or somebody has moved a file away
        return False
    signed = certificates.is_signed_by(found.certificate, authority.cluster().ca_certificate)
    fits = signed and certificates.key_matches(found.certificate, found.key)
    return fits and not certificates.needs_renewal(found.certificate, now)
