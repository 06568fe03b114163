"""URLs that a registry names: their origins, and validation. Pure."""

from typing import NamedTuple

import httpx

from shoal.errors import InvalidInput

_MAX_URL = 16 << 10
_PORTS = {"http": 80, "https": 443}


class UrlOrigin(NamedTuple):
    """Scheme, host and port (RFC 6454 section 4): what a credential is bound to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def named_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """A URL that somebody else names, absolute or relative to `base`.

    Raises:
        InvalidInput: it is none of HTTP, holds a user or a password, or is longer than any in use.
    """
    _check_length(text)
    try:
        url = base.join(text) if base else httpx.URL(text)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise InvalidInput(f"invalid URL: {' '.join(ascii(str(error)).split())[:200]}") from error
    if url.scheme not in _PORTS or not url.raw_host:
        raise InvalidInput("a URL must have a host and use http or https")
    if url.port is not None and not 0 < url.port < 1 << 16:
        raise InvalidInput("a URL has an invalid port; ports range from 1 to 65535")
    if url.userinfo:
        raise InvalidInput("a URL must not contain a username or password")
    _check_length(str(url))
    return url


def _check_length(text: str) -> None:
    if len(text) > _MAX_URL:
        raise InvalidInput(f"a URL of {len(text)} characters is too long; the maximum is {_MAX_URL}")


def origin_of(url: httpx.URL) -> UrlOrigin:
    """Of a URL that `named_url` gave."""
    return UrlOrigin(url.scheme, url.raw_host.decode("ascii").lower(), url.port or _PORTS[url.scheme])


def with_query(url: str, name: str, value: str) -> str:
    """A URL of ours with one parameter more."""
    return str(httpx.URL(url).copy_add_param(name, value))
