"""`--network`: a name, or name=front,alias=www,ip=10.0.5.7,ip6=fd12::7; or service:db."""

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address

from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.repeated_fields import remove_matching

KEYS = ("name", "alias", "ip", "ip6")


def parse_attachment(text: str) -> NetworkAttachment:
    """One attachment; "host", "none", "bridge" and "service:NAME" are modes.

    Raises:
        InvalidInput: it is of another form.
    """
    if text.startswith("container:"):
        raise InvalidInput(f"--network: {text!r} is not supported; use service:NAME")
    if "=" not in text:
        return NetworkAttachment(network=text)
    attachment = NetworkAttachment()
    for part in text.split(","):
        key, sign, value = part.partition("=")
        if not (sign and value):
            raise InvalidInput(f"--network: {part!r} must be in the form KEY=VALUE")
        if key == "name":
            attachment.network = value
        elif key == "alias":
            attachment.aliases.append(value)
        elif key in ("ip", "ipv4_address"):
            attachment.address = value
        elif key in ("ip6", "ipv6_address"):
            attachment.address6 = canonical_ipv6(value)
        else:
            raise InvalidInput(f"--network: unknown key {key!r}; allowed keys are {', '.join(KEYS)}")
    if not attachment.network:
        raise InvalidInput(f"--network: name is missing in {text!r}")
    return attachment


def canonical_ipv6(address: str) -> str:
    """As RFC 5952 writes it, where it is an IPv6 address; else as it is, for the manager to refuse."""
    try:
        return str(IPv6Address(address))
    except ValueError:
        return address


def duplicate_attachments(*given: Iterable[str]) -> Iterator[Fault]:
    """The same network twice in one command; one that is no attachment is told elsewhere."""
    for texts in given:
        names: list[str] = []
        for text in texts:
            try:
                names.append(parse_attachment(text).network)
            except InvalidInput:
                continue
        for name, number in Counter(names).items():
            if number > 1:
                yield Fault("", f'--network: "{name}" is specified more than once')


def add_network(spec: ServiceSpec, text: str) -> None:
    """Attach to a network; one that the service is on already gets the aliases and the address that are given now."""
    attachment = parse_attachment(text)
    present = next((each for each in spec.task.networks if each.network == attachment.network), None)
    if present is None:
        spec.task.networks.append(attachment)
    else:
        present.CopyFrom(attachment)


def remove_network(spec: ServiceSpec, text: str) -> None:
    """Detach.

    Raises:
        InvalidInput: the service is not on it.
    """
    if not remove_matching(spec.task.networks, lambda network: network.network == text):
        raise InvalidInput(f"--network-rm: the service is not connected to network {text!r}")
