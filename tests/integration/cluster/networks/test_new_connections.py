"""Clients that open connections all the time, by every node, while other stacks come and go, and while tasks end."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from cli.playground.layout import Layout
from tests.integration.cluster.harness import Cluster

KILLS = 4
PORT = 8080
STACK = """
services:
  one:
    image: registry:5000/hello:1
    networks: [inner]
    ports: ["{port}:80"]
    deploy: {{replicas: 3}}
  two:
    image: registry:5000/hello:1
    networks: [inner, outer]
    deploy: {{mode: global}}
networks: {{inner: {{}}, outer: {{}}}}
"""


class Clients:
    """What came of the connections so far: how many had an answer, and why the others had none."""

    def __init__(self) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._end = threading.Event()

    @contextmanager
    def running(self, layout: Layout) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask, args=(layout,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in threads:
                thread.join()

    def _ask(self, layout: Layout) -> None:
        addresses = cycle([str(host.address) for host in layout.all_hosts()])
        while not self._end.is_set():
            place = next(addresses), PORT
            try:
                with socket.create_connection(place, timeout=10) as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    assert client.recv(100).startswith(b"HTTP")
                self.answered += 1
            except (OSError, AssertionError) as error:
                self.lost.append(f"{place[0]}: {error!r}")


def test_none_is_lost_while_other_stacks_come_and_go(clean: Cluster, tmp_path: Path) -> None:
    clean.shoal(
        "service", "create", "--name", "web", "--replicas", "4", "--publish", f"{PORT}:80", "registry:5000/hello:1"
    )
    clients = Clients()
    with clients.running(clean.layout):
        for turn in range(4):
            file = tmp_path / f"{turn % 2}.yaml"
            file.write_text(STACK.format(port=9000 + turn % 2))
            clean.shoal("stack", "deploy", "-c", str(file), f"other{turn % 2}")
            if turn:
                clean.shoal("stack", "rm", f"other{(turn - 1) % 2}")
        clean.shoal("stack", "rm", "other1")
        clean.until(lambda: clients.answered > 100, "a hundred answers")
    assert not clients.lost


def test_clients_of_a_task_that_was_killed_are_led_to_another_one(clean: Cluster) -> None:
    clean.shoal(
        *("service", "create", "--name", "web", "--replicas", "4", "--restart-delay", "200ms"),
        *("--publish", f"{PORT}:80", "registry:5000/hello:1"),
    )
    clients = Clients()
    with clients.running(clean.layout):
        for slot in range(KILLS):  # each once: who ends again and again is started later and later
            before = clean.pids("web")
            os.kill(list(before.values())[slot], signal.SIGKILL)
            clean.until(
                lambda before=before: len(after := clean.pids("web")) == 4 and after.keys() != before.keys(),  # type: ignore[misc]
                "another task",
            )
        clean.until(lambda: clients.answered > 100, "a hundred answers")
    # Whoever had a connection, or asked in the moment between its end and the agent's knowledge of it, was refused.
    assert not [why for why in clients.lost if "No route" in why or "timed out" in why or "unreachable" in why]
