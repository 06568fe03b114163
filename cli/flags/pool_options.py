"""`--subnet`, `--gateway`, `--ip-range` and `--aux-address` of `network create`, by family."""

from collections.abc import Iterable, Mapping, Sequence

from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.errors import Fault
from shoal.spec_parsers.address_pools import is_ipv6

_FIELDS = {"--subnet": "subnet", "--gateway": "gateway", "--ip-range": "ip_range"}


def set_pools(spec: NetworkSpec, given: Mapping[str, Sequence[str]], aux: Iterable[str]) -> list[Fault]:
    """Put the values of the flags `--subnet`, `--gateway` and `--ip-range`, and `--aux-address`, where they belong.

    Returns:
        A fault for each flag that is given twice for a family, and for each address without a name.
    """
    faults: list[Fault] = []
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
    return faults
