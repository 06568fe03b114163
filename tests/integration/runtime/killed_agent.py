"""An agent in a process of its own that is killed, and whose containers live on."""

import os
import subprocess
import sys
from pathlib import Path

from tests.fakes.containers import OPTIMIZATIONS_VARIABLE, build_image

AGENT = Path(__file__).parent / "agent_process.py"


def kill_agent_with_containers(directory: Path, cgroup: str, *, optimizations: str = "") -> tuple[str, str, int]:
    """Kill an agent with two containers; ids of one that runs on and of one that ends, and the pid of the first.

    Args:
        optimizations: "on" or "off"; empty: as this process's environment says.
    """
    build_image(directory)
    environment = os.environ | ({OPTIMIZATIONS_VARIABLE: optimizations} if optimizations else {})
    command = [sys.executable, str(AGENT), str(directory), cgroup]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd(), env=environment)
    assert agent.stdout is not None
    lives, ended, pid = agent.stdout.readline().split()
    agent.kill()
    agent.wait()
    agent.stdout.close()
    return lives, ended, int(pid)
