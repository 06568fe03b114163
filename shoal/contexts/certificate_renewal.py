"""Expiry of a context's certificate, and its renewal, which commands do automatically."""

from datetime import datetime, timedelta

from shoal.contexts.context_file import Context
from shoal.errors import ShoalError
from shoal.identity.identity import Identity
from shoal.identity.validity import validity_period

RENEW_SECONDS = 5.0
"""How much longer a command takes at most when no manager responds; it then fails itself."""


def renewal_due(identity: Identity, now: datetime) -> bool:
    """Whether less than a third of its life is left.

    Raises:
        InvalidInput: the certificate cannot be read.
    """
    begin, end = validity_period(identity.certificate)
    return end - now < (end - begin) / 3


def expiry_warning(identity: Identity, now: datetime) -> str | None:
    """One line for the user when the certificate has expired or soon will, else None.

    Raises:
        InvalidInput: the certificate cannot be read.
    """
    _, end = validity_period(identity.certificate)
    left = end - now
    if left <= timedelta():
        return f"the client certificate expired at {end:%Y-%m-%d %H:%M} UTC; get a new one from a manager's host"
    if renewal_due(identity, now):
        return f"the client certificate expires in {left.days} days, at {end:%Y-%m-%d %H:%M} UTC"
    return None


def renew_if_due(context: Context, now: datetime) -> str | None:
    """Renew the context's certificate if it is time; a line for the user when that is needed and cannot be done.

    The key stays, so that other commands that run at the same time find a pair that fits.
    """
    try:
        identity = Identity.load(context.directory)
        warning = expiry_warning(identity, now)
        if warning is None or validity_period(identity.certificate)[1] <= now:
            return warning
        _renew(context, identity).save(context.directory)
    except ShoalError as error:
        return f"the client certificate of context {context.name!r} expires soon and could not be renewed: {error}"
    return None


def _renew(context: Context, identity: Identity) -> Identity:
    import asyncio  # with what needs it: most commands do not come this far

    from shoal.rpc.renew import renew

    return asyncio.run(renew(context.all_addresses, identity, timeout_seconds=RENEW_SECONDS))
