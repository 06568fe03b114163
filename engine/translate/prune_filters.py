"""Filters of `prune`: moments in Docker's notations as managers take them. Pure."""

import re
from collections.abc import Sequence

from engine.protocol.errors import bad_request
from engine.protocol.go_times import parse_time
from engine.protocol.parameters import Filters, check_keys
from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_duration_ms

_UNIX = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def prune_filters(filters: Filters, allowed: Sequence[str], *, now_ms: int) -> dict[str, list[str]]:
    """The same filters with `until` in milliseconds since the Unix epoch.

    Args:
        allowed: keys.
    Raises:
        ApiError: 400, an unknown key, or no moment.
    """
    check_keys(filters, allowed)
    found = {key: list(values) for key, values in filters.items()}
    if len(found.get("until", ())) > 1:
        raise bad_request("more than one until filter specified")
    if "until" in found:
        found["until"] = [str(moment_ms(each, now_ms)) for each in found["until"]]
    return found


def moment_ms(text: str, now_ms: int) -> int:
    """A moment in seconds since the Unix epoch, as an RFC 3339 time, or as a duration before now ("24h").

    Raises:
        ApiError: 400, it is none of these.
    """
    if _UNIX.fullmatch(text):
        return int(float(text) * 1000)
    try:
        return parse_time(text) // 1_000_000
    except ValueError:
        pass
    try:
        return now_ms - parse_duration_ms(text)
    except InvalidInput:
        raise bad_request(f'failed to parse value as time or duration: "{text}"') from None
