"""Names in certificates of servers for clients outside the cluster: host names and IP addresses."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from cryptography import x509

from shoal.errors import Fault, InvalidInput

MAX_NAMES = 100
OWN_DOMAIN = "shoal"
"""Names under it are those by which managers and agents know each other."""

_MAX_LENGTH = 253
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


def served_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """The names as a certificate has them, each once.

    Raises:
        InvalidInput: there are none or too many; one is neither a host name nor an address, or it is Shoal's own.
    """
    if not 1 <= len(names) <= MAX_NAMES:
        raise InvalidInput([Fault("names", f"must be 1 to {MAX_NAMES} names")])
    return [_general_name(name) for name in dict.fromkeys(each.lower().removesuffix(".") for each in names)]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    labels = name.split(".")
    if len(name) > _MAX_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInput([Fault("names", f"{name!r} is neither a host name nor an IP address")])
    if labels[-1] == OWN_DOMAIN:
        raise InvalidInput([Fault("names", f"{name!r} is a name of the cluster's own servers")])
    return x509.DNSName(name)
