"""Concurrent changes by users: an update names the version of the record that it was made from. Pure."""

from shoal.errors import Conflict


def check_version(what: str, read: int, now: int) -> None:
    """Check that a record has not changed since the user read it.

    Args:
        what: the object, such as `service "web"`.
        read: the version in the request.
        now: the version of the record.
    Raises:
        Conflict: they differ.
    """
    if read != now:
        raise Conflict(
            f"{what} has changed since it was read (version {read}, now {now}); read it again and repeat the change"
        )
