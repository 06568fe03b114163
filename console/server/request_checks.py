"""Which requests are served at all: by their Host, and for changes and streams by their Origin. Pure."""

from collections.abc import Mapping
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD"})
_OWN_PAGES = frozenset({"same-origin", "none"})


def host_name(host: str) -> str:
    """The name of a Host header, without its port and in lower case; empty: it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_served_host(host: str, names: frozenset[str]) -> bool:
    """Whether a request is for one of this console's names.

    A page of another site whose name an attacker has led to this address (DNS rebinding) has that site's name.
    """
    return host_name(host) in names


def is_own_origin(headers: Mapping[str, str], *, host: str, required: bool) -> bool:
    """Whether a request was made by a page of this console.

    Args:
        headers: of the request.
        host: its Host, which was checked.
        required: the request must say where it comes from: it changes something, or opens a stream.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site not in _OWN_PAGES and required:
        return False
    origin = headers.get("Origin")
    if origin is None:
        return not required
    try:
        found = urlsplit(origin)
    except ValueError:
        return False
    return found.scheme in ("http", "https") and found.netloc.lower() == host.lower()
