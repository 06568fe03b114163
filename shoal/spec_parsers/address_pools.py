"""Address pools of a network, by family: at most one IPv4 and one IPv6 subnet."""


def is_ipv6(text: str) -> bool:
    """Of an address or a prefix that the manager has still to check."""
    return ":" in text
