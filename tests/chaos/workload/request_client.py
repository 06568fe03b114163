"""A client that sends a request each 20 ms, on a new connection and on one that it keeps, and tells what was lost.

    python3 request_client.py host:port …            to the next of the addresses in turn
    python3 request_client.py --name NAME SERVER PORT  to the address that a name server says, asked each second

By the standard library alone, in whatever network namespace it is started in. It prints a line of JSON a second: how
many requests had the whole answer, and of each other one when, where and why. It ends when its standard input does.
"""

import http.client
import itertools
import json
import random
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

PERIOD_SECONDS = 0.02
REQUEST_SECONDS = 2.0
"""A request that takes longer is lost."""
REPORT_SECONDS = 1.0

Address = Callable[[], str]


class Asking:
    """Both kinds of requests, and what became of them since the last report."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._answered: Counter[str] = Counter()
        self._lost: list[tuple[float, str, str, str]] = []
        self._last: dict[str, float] = {}
        self._gaps: dict[str, tuple[float, float]] = {}

    def run(self) -> None:
        threads = [threading.Thread(target=target) for target in (self._ask_again, self._ask_on)]
        for thread in threads:
            thread.start()
        while not select.select([sys.stdin], [], [], REPORT_SECONDS)[0]:
            self._report()
        self._end.set()
        for thread in threads:
            thread.join()
        self._report()

    def _report(self) -> None:
        with self._lock:
            report = {"at": time.time(), "answered": self._answered, "lost": self._lost, "gaps": self._gaps}
            text = json.dumps(report)
            self._answered, self._lost, self._gaps = Counter(), [], {}
        print(text, flush=True)

    def _ask_again(self) -> None:
        for _ in self._ticks():
            self._ask("new", self._address(), None)

    def _ask_on(self) -> None:
        """One connection, until a request on it fails or the server says that it ends; at most 5 s."""
        kept: http.client.HTTPConnection | None = None
        address, until = "", 0.0
        for _ in self._ticks():
            if kept is None or kept.sock is None or time.monotonic() > until:
                if kept is not None:
                    kept.close()
                address, until = self._address(), time.monotonic() + 5.0
                kept = http.client.HTTPConnection(address, timeout=REQUEST_SECONDS) if address else None
            self._ask("kept", address, kept)

    def _ticks(self) -> "itertools.takewhile[int]":
        due = time.monotonic()

        def goes_on(_: int) -> bool:
            nonlocal due
            due = max(due + PERIOD_SECONDS, time.monotonic() - PERIOD_SECONDS)
            return not self._end.wait(max(0.0, due - time.monotonic()))

        return itertools.takewhile(goes_on, itertools.count())

    def _ask(self, kind: str, address: str, kept: http.client.HTTPConnection | None) -> None:
        begun = time.time()
        if not address:
            self._note_loss(begun, kind, "", "no address")
            return
        connection = kept or http.client.HTTPConnection(address, timeout=REQUEST_SECONDS)
        try:
            connection.request("GET", "/", headers={} if kept else {"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise http.client.HTTPException(f"status {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._note_loss(begun, kind, address, f"{type(error).__name__} {error}")
            return
        if kept is None:
            connection.close()
        self._note_answer(kind)

    def _note_loss(self, begun: float, kind: str, address: str, why: str) -> None:
        with self._lock:
            self._lost.append((round(begun, 3), kind, address, why))

    def _note_answer(self, kind: str) -> None:
        now = time.time()
        with self._lock:
            self._answered[kind] += 1
            gap = now - self._last.get(kind, now)
            if gap > self._gaps.get(kind, (0.0, 0.0))[0]:
                self._gaps[kind] = (round(gap, 3), round(now, 3))
            self._last[kind] = now


class ByName:
    """The address of a name, asked again each second; the last known one while the server does not answer."""

    def __init__(self, name: str, server: str, port: int) -> None:
        self._name, self._server, self._port = name, server, port
        self._known, self._due = "", 0.0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            if time.monotonic() > self._due:
                self._due = time.monotonic() + 1.0
                self._known = resolve(self._name, self._server) or self._known
            return f"{self._known}:{self._port}" if self._known else ""


def resolve(name: str, server: str) -> str:
    """The first IPv4 address of a name (RFC 1035); empty: there is none, or no answer in a second."""
    number = random.randrange(1 << 16)
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    question = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        try:
            client.sendto(question, (server, 53))
            answer = client.recv(4096)
        except OSError:
            return ""
    return address_in(answer, len(question))


def address_in(answer: bytes, start: int) -> str:
    """The address of the first A record of an answer; empty: it has none.

    Args:
        start: where its answers begin: the question is repeated before them.
    """
    count = struct.unpack_from(">H", answer, 6)[0] if len(answer) >= 12 else 0
    for _ in range(count):
        while answer[start] and answer[start] < 0xC0:
            start += answer[start] + 1
        start += 2 if answer[start] else 1
        kind, _, _, length = struct.unpack_from(">HHIH", answer, start)
        start += 10
        if kind == 1 and length == 4:
            return socket.inet_ntoa(answer[start : start + 4])
        start += length
    return ""


def main(arguments: list[str]) -> None:
    if arguments[0] == "--name":
        Asking(ByName(arguments[1], arguments[2], int(arguments[3]))).run()
    else:
        turns = itertools.cycle(arguments)
        Asking(lambda: next(turns)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
