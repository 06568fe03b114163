"""A reaper as testcontainers starts one beside its containers: it removes them when their clients are gone.

It speaks the protocol of `testcontainers/ryuk`: clients connect and send filters as lines ("label=a=b&label=c"), each
answered "ACK"; once the last connection has ended and none has come for a while, everything that a filter names is
removed by the engine, whose socket is mounted here. A program of its own, run in an image of Debian's Python.
"""

import http.client
import json
import os
import re
import socket
import threading
import time
import urllib.parse
from contextlib import suppress

SOCKET = "/var/run/docker.sock"
PORT = 8080
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """A duration in Go's notation, as "1m0.5s"."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(ms|s|m|h)", duration))


class _Engine(http.client.HTTPConnection):
    """A connection to the engine's socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def ask(method: str, path: str, **query: str) -> tuple[int, bytes]:
    """Status and body of one request."""
    connection = _Engine("localhost", timeout=60)
    try:
        connection.request(method, f"{path}?{urllib.parse.urlencode(query)}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Reaper:
    """Clients and their filters."""

    def __init__(self, timeout: float, first: float) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._clients = 0
        self._filters: set[str] = set()
        self._due = time.monotonic() + first

    def serve(self, client: socket.socket) -> None:
        """One client to its end."""
        with self._lock:
            self._clients += 1
        with client, client.makefile("rb") as lines, suppress(OSError):  # a client that left without its answers
            for line in lines:
                if text := line.decode().strip():
                    self._filters.add(text)
                    client.sendall(b"ACK\n")
        with self._lock:
            self._clients -= 1
            self._due = time.monotonic() + self._timeout

    def await_end(self) -> set[str]:
        """Until no client is left and none came for a while; the filters."""
        while True:
            with self._lock:
                if not self._clients and time.monotonic() >= self._due:
                    return self._filters
            time.sleep(0.05)


def remove(text: str) -> None:
    """All that a filter names: containers first, since they use the others."""
    named = {"filters": json.dumps(urllib.parse.parse_qs(text, keep_blank_values=True))}
    for each in _listed("/containers/json", all="1", **named):
        _remove(f"/containers/{each['Id']}", force="1", v="1")
    for each in _listed("/networks", **named):
        _remove(f"/networks/{each['Id']}")
    for each in _listed("/volumes", **named):
        _remove(f"/volumes/{each['Name']}", force="1")
    for each in _listed("/images/json", **named):
        _remove(f"/images/{each['Id']}", force="1")


def _listed(path: str, **query: str) -> list[dict[str, str]]:
    _, body = ask("GET", path, **query)
    found = json.loads(body)
    return (found["Volumes"] if isinstance(found, dict) else found) or []


def _remove(path: str, **query: str) -> None:
    status, body = ask("DELETE", path, **query)
    print("removed", path, status, body.decode(), flush=True)


def main() -> None:
    """Serve until the clients are gone, remove, end."""
    settings = os.environ
    status, _ = ask("GET", "/_ping")
    print("engine answers", status, flush=True)
    timeout, first = settings.get("RYUK_RECONNECTION_TIMEOUT", "10s"), settings.get("RYUK_CONNECTION_TIMEOUT", "1m")
    reaper = Reaper(seconds(timeout), seconds(first))
    listener = socket.create_server(("", PORT))
    print(f"listening on {PORT}: Started!", flush=True)
    threading.Thread(target=_accept, args=(listener, reaper), daemon=True).start()
    for text in reaper.await_end():
        remove(text)


def _accept(listener: socket.socket, reaper: Reaper) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=reaper.serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
