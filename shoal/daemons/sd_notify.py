"""Reports service state to systemd (sd_notify(3)), without its library."""

import os
import socket
from collections.abc import Mapping


def sd_notify(state: str, environment: Mapping[str, str]) -> None:
    """Send a state such as "READY=1" to the service manager; does nothing if there is none.

    Raises:
        OSError: `NOTIFY_SOCKET` names a socket that cannot be reached.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), os.fsencode(path))
