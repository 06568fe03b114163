"""Parse attachments to networks: a name, or name=front,alias=www,ip=10.0.5.7,ip6=fd12::7; or service:db."""

from ipaddress import IPv6Address

from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.errors import InvalidInput
from shoal.networks.network_modes import BRIDGE, CONTAINER

KEYS = ("name", "alias", "ip", "ip6")
UNSUPPORTED = {
    "link-local-ip": "networks are routed; request a fixed address with ip=",
    "driver-opt": "options are those of the network",
    "gw-priority": "a container has one default route, whatever networks it is on",
}
"""Options of Docker's attachments that Shoal does not honour, and why."""


def parse_attachment(text: str) -> NetworkAttachment:
    """One attachment; "host", "none", "bridge" and "service:NAME" are modes.

    Raises:
        InvalidInput: it is of another form.
    """
    if text.startswith("container:"):
        raise InvalidInput(f"{text!r} is not supported; use service:NAME")
    if "=" not in text:
        return NetworkAttachment(network=text)
    attachment = NetworkAttachment()
    for part in text.split(","):
        key, sign, value = part.partition("=")
        if not (sign and value):
            raise InvalidInput(f"{part!r} must be in the form KEY=VALUE")
        if key == "name":
            attachment.network = value
        elif key == "alias":
            attachment.aliases.append(value)
        elif key in ("ip", "ipv4_address"):
            attachment.address = value
        elif key in ("ip6", "ipv6_address"):
            attachment.address6 = canonical_ipv6(value)
        else:
            raise InvalidInput(f"unknown key {key!r}; allowed keys are {', '.join(KEYS)}")
    if not attachment.network:
        raise InvalidInput(f"name is missing in {text!r}")
    return attachment


def parse_container_attachment(text: str) -> NetworkAttachment:
    """One attachment of a container of one's own: "container:NAME" is a mode too, and "default" is "bridge".

    Raises:
        InvalidInput: it is of another form, or has an option of Docker's that is not supported.
    """
    if text.startswith(CONTAINER) and text != CONTAINER:
        return NetworkAttachment(network=text)
    for part in text.split(",") if "=" in text else ():
        if (key := part.partition("=")[0]) in UNSUPPORTED:
            raise InvalidInput(f"{key} is not supported: {UNSUPPORTED[key]}")
    attachment = parse_attachment(text)
    if attachment.network == "default":
        attachment.network = BRIDGE
    return attachment


def canonical_ipv6(address: str) -> str:
    """As RFC 5952 writes it, where it is an IPv6 address; else as it is, for the manager to refuse."""
    try:
        return str(IPv6Address(address))
    except ValueError:
        return address


def add_network(spec: ServiceSpec, text: str) -> None:
    """Attach to a network; one that the service is on already gets the aliases and the address that are given now."""
    attachment = parse_attachment(text)
    present = next((each for each in spec.task.networks if each.network == attachment.network), None)
    if present is None:
        spec.task.networks.append(attachment)
    else:
        present.CopyFrom(attachment)
