"""The agent's own process where no manager is there yet: it waits, says so to systemd, and ends when it is asked to."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

TOKEN = f"SHOAL-1-{'a' * 52}-0123456789abcdefghjkmnpqr"
SECONDS = 60


def test_an_agent_waits_for_the_manager_that_it_is_to_join(tmp_path: Path) -> None:
    where = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).parent / "shoal-agent"), "run", "--join", where, "--token", TOKEN]
    places = ["--state-directory", str(tmp_path / "state"), "--run-directory", f"/run/shoal-{os.getpid()}"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
        service_manager.bind(str(tmp_path / "notify"))
        service_manager.settimeout(SECONDS)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen([*command, *places], stderr=subprocess.PIPE, text=True, env=environment) as agent:
            try:
                reported = service_manager.recv(4096).decode().splitlines()
                assert reported[0] == "READY=1" and reported[1].startswith(f"STATUS=waiting: cannot reach {where}")
            finally:
                agent.send_signal(signal.SIGTERM)
            _, log = agent.communicate(timeout=SECONDS)
    assert agent.returncode == 0
    assert log.count("check that the manager is running; retrying") == 1
