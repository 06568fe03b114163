"""How long an identity is still good. Imported only where it is told: `cryptography` costs 50 ms to import."""

from datetime import datetime, timedelta

from shoal.identity.certificates import expires_at
from shoal.identity.identity import Identity

WARN_BEFORE = timedelta(days=30)


def expiry_warning(identity: Identity, now: datetime) -> str | None:
    """One line for the user when the certificate has ended or soon will, else None.

    Raises:
        InvalidInput: the certificate cannot be read.
    """
    end = expires_at(identity.certificate)
    left = end - now
    if left <= timedelta():
        return f"the certificate ended at {end:%Y-%m-%d %H:%M} UTC; get a new one from a manager's host"
    if left < WARN_BEFORE:
        return f"the certificate ends in {left.days} days, at {end:%Y-%m-%d %H:%M} UTC; get a new one in time"
    return None
