"""A client that asks without end while the cluster changes under it, and counts what it lost."""

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SECONDS = 5.0
"""A request that takes longer is lost."""


class Traffic:
    """Requests from several threads, each to the next of the addresses in turn.

    Attributes:
        answered: how many requests had the whole answer.
        losses: why each of the others had not.
        versions: what the page said, in the order of its first appearance.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.answered = 0
        self.losses: list[str] = []
        self.pages: list[str] = []

    @contextmanager
    def running(self, *, fresh: int, kept: int) -> Iterator["Traffic"]:
        """Ask until the end of the block: `fresh` threads with a connection each time, `kept` with one kept open."""
        threads = [threading.Thread(target=self._ask_anew, args=(number,)) for number in range(fresh)]
        threads += [threading.Thread(target=self._ask_on, args=(number,)) for number in range(kept)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            for thread in threads:
                thread.join()

    def until(self, answered: int, seconds: float = 60.0) -> None:
        """Wait until so many requests have been answered in all."""
        deadline = time.monotonic() + seconds
        while self.answered < answered and time.monotonic() < deadline:
            time.sleep(0.01)

    def _ask_anew(self, first: int) -> None:
        number = first
        while not self._end.is_set():
            number += 1
            address = self._addresses[number % len(self._addresses)]
            try:
                self._note(_get(http.client.HTTPConnection(address, timeout=SECONDS)))
            except (OSError, http.client.HTTPException) as error:
                self._lose(f"{address}: {type(error).__name__} {error}")

    def _ask_on(self, number: int) -> None:
        address = self._addresses[number % len(self._addresses)]
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        while not self._end.is_set():
            used = connection.sock is not None
            try:
                self._note(_get(connection, keep=True))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # A server may close a connection between two requests (RFC 9112, 9.3.1); a client then asks anew.
                if not used or not isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
                    self._lose(f"{address}, kept open: {type(error).__name__} {error}")
        connection.close()

    def _note(self, page: str) -> None:
        with self._lock:
            self.answered += 1
            if page not in self.pages:
                self.pages.append(page)

    def _lose(self, why: str) -> None:
        with self._lock:
            self.losses.append(why)


def _get(connection: http.client.HTTPConnection, *, keep: bool = False) -> str:
    try:
        connection.request("GET", "/", headers={} if keep else {"Connection": "close"})
        answer = connection.getresponse()
        page = answer.read().decode()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")
        return page
    finally:
        if not keep:
            connection.close()
