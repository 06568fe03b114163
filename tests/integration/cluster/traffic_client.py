"""Clients that ask without end and count what they lost. Runs also in a container, by the standard library alone.

    python3 traffic_client.py FRESH KEPT host:port …

So many threads open a connection for each request, to the next of the addresses in turn; so many hold one open. It ends
when its standard input does, and prints what is new in a line of JSON a few times a second until then.
"""

import contextlib
import http.client
import itertools
import json
import select
import socket
import sys
import threading
import time
from collections import Counter

SOURCE_PORTS = range(10_000, 32_000)
"""Below those that kernels choose by themselves. Each connection has one of its own, so that none has to wait for the
end of an earlier one."""
SECONDS = 5.0
"""A request that takes longer is lost."""
REPORT_SECONDS = 0.1


class Clients:
    """All threads of one process. A connection that ends without a word before it is a loss, kept open or not."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._counts: Counter[str] = Counter()
        self._lost: list[str] = []
        self._pages: set[str] = set()
        self._sources = itertools.cycle(SOURCE_PORTS)

    def run(self, fresh: int, kept: int) -> None:
        """Ask, and report, until the standard input ends."""
        threads = [threading.Thread(target=self._ask_again, args=(number,)) for number in range(fresh)]
        threads += [threading.Thread(target=self._ask_on, args=(number,)) for number in range(kept)]
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
            report = {"counts": self._counts, "lost": self._lost, "pages": sorted(self._pages)}
            text = json.dumps(report)
            self._counts, self._lost = Counter(), []
        print(text, flush=True)

    def _ask_again(self, number: int) -> None:
        while not self._end.is_set():
            number += 1
            address = self._addresses[number % len(self._addresses)]
            connection = self._connection(address)
            self._ask(connection, address, "fresh", {"Connection": "close"})
            connection.close()

    def _ask_on(self, number: int) -> None:
        address = self._addresses[number % len(self._addresses)]
        connection = self._connection(address)
        kind = "kept, new"
        while not self._end.is_set():
            self._ask(connection, address, kind, {})
            kind = "kept, used"
            if connection.sock is None:  # the answer said that it ends, and http.client has closed it
                connection, kind = self._connection(address), "kept, new"
        connection.close()

    def _connection(self, address: str) -> http.client.HTTPConnection:
        """Not open yet, but with a port that nobody uses."""
        while True:
            with self._lock:
                source = "", next(self._sources)
            with socket.socket() as prober, contextlib.suppress(OSError):
                prober.bind(source)
                return http.client.HTTPConnection(address, timeout=SECONDS, source_address=source)

    def _ask(self, connection: http.client.HTTPConnection, address: str, kind: str, headers: dict[str, str]) -> None:
        try:
            connection.request("GET", "/", headers=headers)
            answer = connection.getresponse()
            page = answer.read().decode()
            if answer.status != http.client.OK:
                raise http.client.HTTPException(f"status {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with self._lock:
                self._lost.append(f"{time.strftime('%H:%M:%S')} {address}, {kind}: {type(error).__name__} {error}")
            return
        with self._lock:
            self._counts[kind] += 1
            self._pages.add(page)


if __name__ == "__main__":
    Clients(sys.argv[3:]).run(fresh=int(sys.argv[1]), kept=int(sys.argv[2]))
