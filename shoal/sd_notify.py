"""Reports service state to systemd (sd_notify(3)), without its library."""

import os
import socket
from collections.abc import Mapping


def sd_notify(state: str, environment: Mapping[str, str]) -> None:
    """Send a state such as "READY=1"; nothing when no service manager listens."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), os.fsencode(path))
