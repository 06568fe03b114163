"""A web server that keeps connections and ends as a good one does. Runs in a container, by the standard library alone.

At its stop signal it takes no new connection, answers the request in progress and the next one on each connection,
says in that response that the connection ends (RFC 9112, 9.6), and ends when all have.
"""

import os
import selectors
import signal
import socket
import threading
import time
from typing import BinaryIO

PORT = 80
WORK_SECONDS = 0.003
"""Of each request, so that stops meet requests in progress."""
LINGER_SECONDS = 3.0
"""For connections that stay idle after the stop signal."""

_PAGE = f"version: {os.environ.get('VERSION', '?')}\n".encode()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n" % len(_PAGE)


class Server:
    """One thread a connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("", PORT), backlog=1024)
        self._listener.setblocking(False)
        self._stopping = threading.Event()
        self._threads: set[threading.Thread] = set()

    def serve(self) -> None:
        """Until the stop signal, and as long as it takes to end well."""
        woken, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())
        ready = selectors.DefaultSelector()
        ready.register(self._listener, selectors.EVENT_READ)
        ready.register(woken, selectors.EVENT_READ)
        while not self._stopping.is_set():
            ready.select()
            self._accept_all()
        self._accept_all()
        self._listener.close()
        self._finish()

    def _accept_all(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            self._threads.add(thread)
            thread.start()

    def _finish(self) -> None:
        deadline = time.monotonic() + LINGER_SECONDS
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _converse(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb") as lines:
                while head := _head(lines):
                    time.sleep(WORK_SECONDS)
                    last = self._stopping.is_set() or b"connection: close" in head.lower()
                    connection.sendall(_HEAD + (b"Connection: close\r\n" if last else b"") + b"\r\n" + _PAGE)
                    if last:
                        return
        except ConnectionError:
            pass  # the client is gone
        finally:
            self._threads.discard(threading.current_thread())


def _head(lines: BinaryIO) -> bytes:
    """Of the next request; empty when the client has closed the connection."""
    head = b""
    while (line := lines.readline()) not in (b"\r\n", b""):
        head += line
    return head if line else b""


if __name__ == "__main__":
    Server().serve()
