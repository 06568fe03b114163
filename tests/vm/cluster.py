"""The cluster inside the virtual machine, as a user at its shell has it: a playground of two hosts."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner

from cli.main import shoal as command
from cli.playground.layout import Layout, PlaygroundHost
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.integration.network.netns_hosts import inside

WAIT_SECONDS = 900.0
COMMAND_SECONDS = 600.0
"""An emulated machine on a busy one has a tenth of a processor, and that one is slow: these only end what hangs."""
SHOAL = str(Path(sys.executable).parent / "shoal")
HELLO = "registry:5000/hello"
LAN = "shoal-lan"
"""Namespace of the underlay's bridge."""
HOSTS = ("h1", "h2")
LAYOUT = Layout(hosts=len(HOSTS))
LOGS = LAYOUT.state / "logs"
CONFIG = Path("/run/shoal-config")
"""SHOAL_CONFIG."""
PLAYGROUND = Playground(
    LAYOUT, contexts=ContextStore(CONFIG), ready_seconds=WAIT_SECONDS, manager_options=("--heartbeat-seconds", "15")
)
"""A node is DOWN after three of them: an emulated machine may take half a minute to start an agent."""

T = TypeVar("T")


def shoal(*arguments: str) -> str:
    """`shoal …`, which has to succeed. In this process: an emulated machine takes seconds to start one."""
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, f"shoal {' '.join(arguments)}: {done.stderr}{done.exception}"
    return done.stdout


def rows(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shoal(*arguments, "--format", "json"))
    return found


def running(service: str) -> list[dict[str, Any]]:
    return [row for row in rows("service", "ps", service) if row["state"] == "running"]


def pid_of(task: str) -> int:
    return int(rows("task", "inspect", task)[0]["status"]["pid"])


def until(condition: Callable[[], T], what: str, seconds: float = WAIT_SECONDS) -> T:
    """Poll until it holds, and return it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)
    return value


def restart_agent(host: PlaygroundHost, *, kill: bool = False, **environment: str) -> None:
    """End it and start it again with these variables; until it has a session again."""

    def sessions() -> int:
        return host.log.read_text(errors="replace").count("connected to manager")

    before = sessions()
    PLAYGROUND.stop_agent(host, kill=kill)
    os.environ.update(environment)
    PLAYGROUND.start_agent(host)
    for name in environment:
        del os.environ[name]
    until(lambda: sessions() > before, f"{host.name} has a session again")


def underlay(host: str) -> str:
    """Its address."""
    return f"198.18.0.{10 + int(host[1:])}"


def in_host(host: str, *command: str, check: bool = True) -> str:
    """Run a program in the host's network namespace; what it printed."""
    return _in(f"/run/netns/shoal-{host}", command, check)


def in_task(pid: int, *command: str, check: bool = True) -> str:
    """Run one of the machine's programs in a container's network namespace; what it printed."""
    return _in(f"/proc/{pid}/ns/net", command, check)


def _in(namespace: str, command: tuple[str, ...], check: bool) -> str:
    assert Path(namespace).exists(), f"{namespace} is gone"
    done = subprocess.run(
        ["nsenter", f"--net={namespace}", *command],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def http(pid: int, address: str) -> str:
    """What the address answers to a client in the container's network namespace."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        with inside(descriptor), opener.open(f"http://{address}/", timeout=COMMAND_SECONDS) as answer:
            said: str = answer.read().decode()
            return said
    finally:
        os.close(descriptor)


def reaches(pid: int, address: str, *options: str) -> bool:
    """Whether a ping from the container is answered."""
    return " 0% packet loss" in in_task(pid, "busybox", "ping", "-c1", "-W2", *options, address, check=False)


def background(namespace: str, *command: str) -> "subprocess.Popen[str]":
    """A program in a namespace that ends when its standard input does."""
    return subprocess.Popen(
        ["nsenter", f"--net={namespace}", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
