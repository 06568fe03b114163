"""Trusted CAs for TLS: a registry's own, else the system's."""

import ssl
from pathlib import Path

from shoal.errors import InvalidInput


class TlsTrust:
    """Authorities to verify servers with.

    Args:
        context: that connections are made with.
        system: whether it takes the system's authorities: read at the first use of TLS, for that costs 30 ms and 2 MB.
    """

    def __init__(self, context: ssl.SSLContext, *, system: bool) -> None:
        self.context = context
        self._missing = system

    def load_system_roots(self) -> None:
        """Before a connection over TLS."""
        if self._missing:
            self.context.load_default_certs()
            self._missing = False


def system_trust() -> TlsTrust:
    """The system's authorities; one serves all registries."""
    return TlsTrust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), system=True)


def trust_of_file(domain: str, ca_file: Path) -> TlsTrust:
    """The authorities of a PEM file, and no others.

    Raises:
        InvalidInput: it cannot be used.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"ca_file {ca_file} of registry {domain} cannot be used: {error}") from error
    return TlsTrust(context, system=False)
