"""One request to a registry, as a value."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from shoal.distribution.tokens import Scopes

Body = bytes | Callable[[], AsyncIterator[bytes]]
"""A request's body; a stream is made anew for each try."""


@dataclass(frozen=True)
class RegistryRequest:
    """One request.

    Attributes:
        target: path with query under the endpoint, or a whole URL that the endpoint gave us.
        what: the thing asked for, for error texts.
        expected_statuses: statuses that are a success; any other becomes an error.
        endpoint: which of the registry's endpoints gave the target; empty where any will do.
    """

    method: str
    target: str
    what: str
    scopes: Scopes
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    expected_statuses: frozenset[int] = frozenset({200})
    endpoint: str = ""

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing and sends nothing, so that it may follow redirects."""
        return self.method in ("GET", "HEAD")
