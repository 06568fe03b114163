"""Address pools of a network, by family: at most one IPv4 and one IPv6 subnet."""

from collections.abc import Iterable, Mapping, Sequence

from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.errors import Fault, InvalidInput

_FIELDS = {"--subnet": "subnet", "--gateway": "gateway", "--ip-range": "ip_range"}


def is_ipv6(text: str) -> bool:
    """Of an address or a prefix that the manager has still to check."""
    return ":" in text


def set_pools(spec: NetworkSpec, given: Mapping[str, Sequence[str]], aux: Iterable[str]) -> None:
    """Put the values of the flags `--subnet`, `--gateway` and `--ip-range`, and `--aux-address`, where they belong.

    Raises:
        InvalidInput: a flag is given twice for a family, or an address has no name; all faults at once.
    """
    faults = []
    for flag, texts in given.items():
        for text in texts:
            field = _FIELDS[flag] + ("6" if is_ipv6(text) else "")
            if getattr(spec, field):
                family = "IPv6" if is_ipv6(text) else "IPv4"
                faults.append(Fault("", f"{flag} {text}: only one {family} value is allowed"))
            setattr(spec, field, text)
    for text in aux:
        name, _, address = text.partition("=")
        reserved = spec.aux_addresses6 if is_ipv6(address) else spec.aux_addresses
        if not name:
            faults.append(Fault("", f"--aux-address: {text!r} must be in the form NAME=ADDRESS"))
        reserved[name] = address
    if faults:
        raise InvalidInput(faults)
