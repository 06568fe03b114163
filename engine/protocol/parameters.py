"""Values of queries in Docker's notations: booleans, numbers, times, filters. Pure."""

import json
import re
from collections.abc import Mapping, Sequence

from engine.protocol.errors import bad_request

Filters = Mapping[str, Sequence[str]]
"""Values by key, in the order that the client sent."""

MAX_FILTER_VALUES = 1000

_FALSE = ("", "0", "no", "false", "none")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_TIME = re.compile(r"(-?[0-9]{1,18})(?:\.([0-9]{1,9}))?")
_INT64 = 1 << 63


def boolean(text: str) -> bool:
    """Everything but nothing, `0`, `no`, `false` and `none` is true."""
    return text.strip().lower() not in _FALSE


def integer(name: str, text: str) -> int:
    """A decimal number of 64 bits.

    Raises:
        ApiError: 400, it is none.
    """
    if _INTEGER.fullmatch(text) is None:
        raise bad_request(f'invalid value for "{name}": strconv.ParseInt: parsing {_quoted(text)}: invalid syntax')
    number = int(text)
    if not -_INT64 <= number < _INT64:
        raise bad_request(f'invalid value for "{name}": strconv.ParseInt: parsing {_quoted(text)}: value out of range')
    return number


def nanoseconds(name: str, text: str) -> int:
    """A time of `since` and `until`: seconds since the Unix epoch with a fraction, as nanoseconds; nothing is 0.

    Raises:
        ApiError: 400, it is none.
    """
    if not text:
        return 0
    match = _TIME.fullmatch(text)
    if match is None:
        raise bad_request(f'invalid value for "{name}": {_quoted(text)} is not a number of seconds')
    return int(match[1]) * 10**9 + int((match[2] or "").ljust(9, "0"))


def parse_filters(text: str) -> dict[str, list[str]]:
    """Filters by key: `{"label": {"a=b": true}}`, and as older clients have it `{"label": ["a=b"]}`.

    Raises:
        ApiError: 400, it is neither.
    """
    if not text:
        return {}
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"invalid filter: {error}") from None
    if not isinstance(given, dict):
        raise bad_request("invalid filter: must be an object")
    found = {str(key): _values(key, value) for key, value in given.items()}
    if sum(map(len, found.values())) > MAX_FILTER_VALUES:
        raise bad_request(f"invalid filter: too many values; the maximum is {MAX_FILTER_VALUES:,}")
    return found


def check_keys(filters: Filters, allowed: Sequence[str]) -> None:
    """
    Raises:
        ApiError: 400, a key is not one of the allowed.
    """
    for key in filters:
        if key not in allowed:
            raise bad_request(f"invalid filter '{key}'")


def boolean_filter(filters: Filters, key: str, *, default: bool) -> bool:
    """The value of a filter that is a boolean, once.

    Raises:
        ApiError: 400, it is none, or both.
    """
    values = filters.get(key)
    if not values:
        return default
    truths = {value in ("1", "true") for value in values}
    if len(truths) != 1 or any(value not in ("1", "true", "0", "false") for value in values):
        raise bad_request(f"invalid filter '{key}={list(values)}'")
    return truths.pop()


def _values(key: str, value: object) -> list[str]:
    if isinstance(value, dict):
        return [str(each) for each, holds in value.items() if holds]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return list(value)
    raise bad_request(f"invalid filter '{key}': must be an object or a list of strings")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
