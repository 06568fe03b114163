"""Health and metrics of a playground's managers and agents: on their addresses, with TLS and a token."""

import secrets
from ipaddress import IPv4Address

from cli.playground.layout import Layout
from shoal.rpc.host_port import HostPort


def monitoring_options(layout: Layout, address: IPv4Address, port: int) -> list[str]:
    """Options of a daemon that serves them at this address."""
    return [
        "--monitoring-address",
        str(HostPort(layout.advertised_address(address), port)),
        "--monitoring-token-file",
        str(layout.monitoring_token_file),
    ]


def write_token(layout: Layout) -> None:
    """A token for whoever reads metrics, in a file for this user alone; what is there stays."""
    file = layout.monitoring_token_file
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(secrets.token_urlsafe(32))
