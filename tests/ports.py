"""Ports for servers that a test starts later than it names them, or starts again."""

import errno
import random
import socket
from pathlib import Path

FIRST_PORT, AFTER_PORTS = 10_240, 30_000
"""Below the ports that Shoal publishes services on, and below those of Linux's own choice."""

_chosen: set[int] = set()


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody uses now, and that nobody is given while the test's server is not there (yet, or for a while).

    A port of the kernel's choice (`bind` to 0) is soon another one's: the kernel gives it to the next who asks, and to
    connections, which it does not do with ports below `ip_local_port_range`. No port is returned twice.
    """
    while True:
        port = random.SystemRandom().randrange(FIRST_PORT, min(AFTER_PORTS, _first_of_the_kernel()))
        if port not in _chosen and _is_free(address, port):
            _chosen.add(port)
            return port


def _first_of_the_kernel() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True
