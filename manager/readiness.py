"""Notifies systemd of the program's state (sd_notify(3))."""

import socket
from collections.abc import Mapping


def notify(state: str, environment: Mapping[str, str]) -> None:
    """Send `READY=1` or `STOPPING=1` to the socket that systemd named; nothing where it named none.

    Raises:
        OSError: the socket is named but cannot be reached.
    """
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return
    # A name that begins with "@" is an abstract one (unix(7)).
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.connect("\0" + path[1:] if path.startswith("@") else path)
        notifier.sendall(state.encode())
