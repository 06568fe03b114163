"""What is no HTTP, or hardly: each connection is answered or closed, its bytes are not logged, the engine lives on."""

import contextlib
import logging
import os
import random
import socket as sockets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.server import listeners
from tests.contract.engine.rig.raw_http import connect, read_all, request
from tests.contract.engine.rig.served import Served, constant, served
from tests.contract.engine.rig.stand_in import StandIn

CASES = int(os.environ.get("HOSTILE_REQUESTS", "400"))
SEED = int(os.environ.get("HOSTILE_SEED", "12"))
SECONDS = 60.0
SECRET = "hunter2-hunter2"

PING = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
CREATE = (
    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    b'{"Cmd":["cat"]}'
)
CHUNKED = (
    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n8\r\n" + b'{"Cmd":[' + b'\r\n7\r\n"cat"]}\r\n0\r\n\r\n'
)
ATTACH = b"POST /containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
SEEDS = (PING, CREATE, CHUNKED, ATTACH)

LINES = (
    b"", b"\r\n", b"\n\n", b" ", b"GET", b"GET /", b"GET /_ping", b"GET /_ping HTTP/9.9", b"GET /_ping HTTP/1.0",
    b"GET  /_ping HTTP/1.1", b"get /_ping HTTP/1.1", b"G\x00T /_ping HTTP/1.1", b"GET /_ping\x00 HTTP/1.1",
    b"PRI * HTTP/2.0", b"CONNECT x:80 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET http://other/_ping HTTP/1.1",
    b"GET //_ping HTTP/1.1", b"GET /../../_ping HTTP/1.1", b"GET /%2e%2e/_ping HTTP/1.1", b"GET /%zz HTTP/1.1",
    b"GET /v1.99999999999999999999/_ping HTTP/1.1", b"GET /v/_ping HTTP/1.1", b"GET /v1.50 HTTP/1.1",
    b"GET /containers/%ff%fe/json HTTP/1.1", b"GET /_ping?a=%00&a&&=;#x HTTP/1.1", b"TRACE /_ping HTTP/1.1",
    b"M" * 5000 + b" / HTTP/1.1", b"GET /" + b"a" * 40_000 + b" HTTP/1.1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2", b"GET /_ping HTTP/1.1\rHost: x", b"\xff\xfe\xfd",
)  # fmt: skip
HEADERS = (
    b"Content-Length: -1", b"Content-Length: +5", b"Content-Length: 5, 5", b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 99999999999999999999999", b"Content-Length: 0x10", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 3",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b" folded: x", b"X: y\r\n folded", b": empty",
    b"X\x00: y", b"X: \x00", b"X: \x7f\xff", b"X" * 40_000 + b": y", b"X: " + b"y" * 40_000, b"Host: a\r\nHost: b",
    b"Connection: close, upgrade, keep-alive", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
    b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: tcp, websocket\r\nConnection: upgrade",
    b"Expect: 100-continue", b"Expect: 200-ok", b"Content-Encoding: gzip", b"Content-Type: multipart/form-data",
    b"\r\n".join(b"X-%d: y" % number for number in range(300)), b"X-Registry-Auth: \xff\xff", b"Trailer: X",
)  # fmt: skip
CHUNKS = (
    b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n", b"-1\r\n", b"f" * 17 + b"\r\n",
    b"5\r\nhel", b"5\nhello\n0\n\n", b"0x5\r\nhello\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n",
    b"1\r\n{\r\n" * 50, b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"5;" + b"x" * 70_000 + b"\r\nhello\r\n", b"\r\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(constant(StandIn().routes()), tmp_path_factory.mktemp("hostile")) as where:
        yield where


def structured(rng: random.Random) -> bytes:
    """A request of odd parts."""
    headers = [b"Host: x", *rng.sample(HEADERS, rng.randrange(3))]
    line = rng.choice(LINES) if rng.random() < 0.5 else rng.choice(SEEDS).split(b"\r\n")[0]
    if rng.random() < 0.3:
        headers.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join([line, *headers]) + b"\r\n\r\n" + rng.choice([b"", b"{}", *CHUNKS])


def mutated(rng: random.Random) -> bytes:
    """A good request with some bytes changed, taken out, or repeated."""
    content = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(content))
        kind = rng.random()
        if kind < 0.4:
            content[at] = rng.randrange(256)
        elif kind < 0.7:
            del content[at : at + rng.randrange(1, 8)]
        else:
            content[at:at] = content[at : at + rng.randrange(1, 40)] * rng.randrange(1, 4)
        if not content:
            break
    return bytes(content)


def conversation(rng: random.Random) -> bytes:
    """What a client sends on one connection."""
    kind = rng.random()
    if kind < 0.45:
        return structured(rng)
    if kind < 0.85:
        return mutated(rng)
    if kind < 0.95:  # pipelined
        return b"".join(rng.choice([PING, CREATE, structured(rng), mutated(rng)]) for _ in range(rng.randrange(2, 6)))
    return rng.randbytes(rng.randrange(1, 3000))


def send(path: Path, content: bytes, rng: random.Random) -> bytes:
    """Send in pieces, end one half or all, and return what comes back within a moment."""
    answer = b""
    with connect(path) as connection, contextlib.suppress(TimeoutError, ConnectionError):
        connection.settimeout(0.05)
        cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.randrange(3)))
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            connection.sendall(content[start:end])
        if rng.random() < 0.5:
            connection.shutdown(sockets.SHUT_WR)
        elif rng.random() < 0.2:
            return b""
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def test_odd_connections_are_answered_or_closed(engine: Served, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(SEED)
    for number in range(CASES):
        content = conversation(rng)
        answer = send(engine.socket, content, rng)
        assert b" 500 " not in answer.partition(b"\r\n")[0], (number, content[:300])
        assert not answer or answer.startswith(b"HTTP/"), (number, content[:300], answer[:100])
        assert b"Traceback" not in answer
    assert request(engine.socket, "GET", "/_ping")[0] == 200
    assert not [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET /_ping HTTP/1.1\r\nAuthorization: " + SECRET.encode() + b"\x00\r\n\r\n", b"400 Bad Request"),
        (b"GET /_ping HTTP/1.1\r\nX-Registry-Auth: " + SECRET.encode() * 5000 + b"\r\n\r\n", b"431 Request Header"),
        (b"GET /_ping HTTP/1.1\r\n" + b"X-Auth: " + SECRET.encode() + b"\r\n" + b"A: b\r\n" * 300 + b"\r\n", b"431 "),
        (SECRET.encode() + b" /_ping\r\n\r\n", b"400 Bad Request"),
    ],
    ids=["header", "large", "many", "line"],
)
def test_what_is_no_request_is_neither_logged_nor_told_back(
    engine: Served, caplog: pytest.LogCaptureFixture, content: bytes, status: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    with connect(engine.socket) as connection:
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(content)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.0 " + status), answer[:200]
    assert SECRET.encode() not in answer
    assert SECRET not in caplog.text


def test_connections_are_bounded(engine: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MAX_CONNECTIONS", 5)
    held = [connect(engine.socket) for _ in range(5)]
    for each in held:
        each.sendall(PING)
        each.recv(1000)
    with connect(engine.socket) as refused:
        assert read_all(refused).startswith(b"HTTP/1.1 503 ")
    for each in held:
        each.close()
    deadline = time.monotonic() + SECONDS
    while request(engine.socket, "GET", "/_ping")[0] != 200:
        assert time.monotonic() < deadline
