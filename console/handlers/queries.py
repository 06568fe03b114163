"""Values of the query of an address."""

from aiohttp import web

from shoal.errors import InvalidInput


def number_query(request: web.Request, name: str, *, default: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number from 0 on; the default where there is none.

    Raises:
        InvalidInput: it is something else, or too large.
    """
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)) or int(text) > most:
        raise InvalidInput(f"{name}: must be a whole number from 0 to {most:,}")
    return int(text)


def flag_query(request: web.Request, name: str) -> bool:
    """Whether it is there, as "1" or without a value."""
    return request.query.get(name, "0") in ("", "1")
