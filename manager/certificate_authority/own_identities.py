"""The identities that a manager gives out on its own host: its own, and that of the host's administrator."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from manager.certificate_authority.authority import CertificateAuthority
from shoal.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from shoal.identity import certificates
from shoal.identity.identity import Identity
from shoal.identity.keeper import IdentityKeeper
from shoal.identity.private_files import write_atomically
from shoal.identity.roles import Caller, Role

ADDRESS_FILE = "address"
ADMIN_NAME = "admin"


def manager_identity(
    authority: CertificateAuthority, manager_id: str, *, directory: Path, clock: Callable[[], datetime]
) -> IdentityKeeper:
    """The manager's identity: what is in the directory while it is good for this cluster, else a new one, saved there.

    Its keeper renews it, once it is run.

    Raises:
        Unavailable: the directory cannot be written, or the cluster's record is not loaded.
    """
    identity = _good(authority, Role.MANAGER, manager_id, directory, clock())
    if identity is None:
        identity = authority.issue_manager(manager_id)
        identity.save(directory)

    async def renew(old: Identity) -> Identity:
        certificate = authority.renew(certificates.caller_of(old.certificate), certificates.request(old.key))
        return Identity(certificate=certificate, key=old.key, ca=old.ca)

    return IdentityKeeper(identity, directory=directory, renew=renew, clock=clock)


def write_admin(authority: CertificateAuthority, api_address: str, *, directory: Path, now: datetime) -> None:
    """Put an admin's identity and the manager's address where `shoal context create --admin` finds them.

    One that is there and good stays as it is.

    Args:
        api_address: `host:port`, as users reach it.
    Raises:
        Unavailable: the directory cannot be written.
    """
    if _good(authority, Role.ADMIN, ADMIN_NAME, directory, now) is None:
        authority.issue_admin(ADMIN_NAME).save(directory)
    try:
        write_atomically(directory / ADDRESS_FILE, f"{api_address}\n".encode(), mode=0o644)
    except OSError as error:
        raise Unavailable(f"cannot write {directory / ADDRESS_FILE}: {error.strerror}") from error


def _good(
    authority: CertificateAuthority, role: Role, identifier: str, directory: Path, now: datetime
) -> Identity | None:
    """The identity in the directory if it is whole, of this party and cluster, and has half of its life before it."""
    cluster = authority.cluster()
    try:
        identity = Identity.load(directory)
        caller = certificates.caller_of(identity.certificate)
        due = certificates.needs_renewal(identity.certificate, now)
    except (NotFound, InvalidInput, Unauthenticated):
        return None
    whole = certificates.fits(identity.certificate, identity.key) and identity.ca == cluster.ca_certificate
    ours = caller == Caller(identifier, role, cluster.meta.id)
    return (
        identity
        if whole and ours and not due and certificates.is_signed_by(identity.certificate, identity.ca)
        else None
    )
