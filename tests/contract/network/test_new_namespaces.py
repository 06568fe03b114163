"""What programs may do in a network namespace of a container."""

import os
import subprocess
import sys

from agent.network.attachments.namespaces import create_namespace

NOBODY = "65534"
LISTEN = "import socket; socket.socket().bind(('', 80))"
PING = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.getprotobyname('icmp'))"


def test_any_user_listens_on_low_ports_and_sends_pings() -> None:
    descriptor, connection = create_namespace()
    try:
        enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{descriptor}", "--setuid", NOBODY, "--setgid", NOBODY]
        for program in (LISTEN, PING):
            done = subprocess.run(
                [*enter, sys.executable, "-ISc", program], capture_output=True, text=True, check=False, cwd="/"
            )
            assert not done.returncode, done.stderr
    finally:
        connection.close()
        os.close(descriptor)


def test_a_limit_is_named_and_not_the_disk() -> None:
    """In a user namespace of its own, where nobody else has the limit."""
    program = "from agent.network.attachments.namespaces import create_namespace; create_namespace()"
    script = 'echo 0 > /proc/sys/user/max_net_namespaces; exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cannot create a network namespace: the limit user.max_net_namespaces is reached" in done.stderr
