"""Parse lines of /etc/hosts, as `docker run --add-host` has them."""

from ipaddress import ip_address

from shoal.errors import InvalidInput

GATEWAY = "host-gateway"
"""In place of an address: the node's own."""


def parse_extra_host(text: str) -> str:
    """ "name:address", of "name:192.0.2.7", "name=2001:db8::7", "name:[2001:db8::7]" or "name:host-gateway".

    Raises:
        InvalidInput: there is no name, or no address.
    """
    name, sign, address = text.partition("=" if "=" in text.partition(":")[0] else ":")
    address = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not (name and sign and address):
        raise InvalidInput(f"{text!r} must be in the form NAME:ADDRESS")
    if address != GATEWAY:
        try:
            ip_address(address)
        except ValueError:
            raise InvalidInput(f"{text!r}: {address!r} is not a valid IP address; use one, or {GATEWAY}") from None
    return f"{name}:{address}"
