"""Connections that were taken over, byte by byte, over a Unix socket and over TLS: both halves, and departures."""

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from engine.protocol.frames import Output, split_frames
from tests.contract.engine.rig import raw_http
from tests.contract.engine.rig.docker_cli import wait_until
from tests.contract.engine.rig.served import Served, constant, served
from tests.contract.engine.rig.stand_in import StandIn
from tests.contract.engine.rig.tls_client import TlsClient

SECONDS = 60.0


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def engine(stand_in: StandIn, tmp_path: Path) -> Iterator[Served]:
    with served(constant(stand_in.routes()), tmp_path) as where:
        yield where


@pytest.fixture(params=["unix", "tls"])
def over_tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


def attach(
    engine: Served, program: str, *arguments: str, over_tls: bool, tty: bool = False
) -> socket.socket | TlsClient:
    """A connection to a program that runs, after the head of the answer."""
    body = json.dumps({"Cmd": [program, *arguments], "Tty": tty}).encode()
    identifier = json.loads(raw_http.request(engine.socket, "POST", "/containers/create", body=body)[2])["Id"]
    connection = _over_tls(engine) if over_tls else raw_http.connect(engine.socket)
    connection.sendall(f"POST /exec/{identifier}/start HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\r\n".encode())
    head, rest = raw_http.read_head(connection)
    assert head.startswith(b"HTTP/1.1 101 ") and not rest
    return connection


def _over_tls(engine: Served) -> TlsClient:
    context = ssl.create_default_context(cafile=str(engine.certificates / "ca.pem"))
    context.load_cert_chain(engine.certificates / "cert.pem", engine.certificates / "key.pem")
    plain = socket.create_connection(("127.0.0.1", engine.port), timeout=SECONDS)
    return TlsClient(plain, context, "localhost")


def end_input(connection: socket.socket | TlsClient) -> None:
    """As the docker command line does: over TLS by close_notify alone."""
    if isinstance(connection, TlsClient):
        connection.end_input()
    else:
        connection.shutdown(socket.SHUT_WR)


def test_binary_input_comes_back_whole(engine: Served, over_tls: bool) -> None:
    data = os.urandom(4_000_000)
    with attach(engine, "cat", over_tls=over_tls, tty=True) as connection:
        received: list[bytes] = []
        reading = threading.Thread(target=lambda: received.append(raw_http.read_all(connection)))
        if not over_tls:
            reading.start()
            connection.sendall(data)
            end_input(connection)
            reading.join(SECONDS)
        else:  # one thread at a time may use a connection of TLS
            for start in range(0, len(data), 100_000):
                piece = data[start : start + 100_000]
                connection.sendall(piece)
                rest = len(piece)
                while rest:
                    received.append(connection.recv(rest))
                    rest -= len(received[-1])
    assert sha256(b"".join(received)).hexdigest() == sha256(data).hexdigest()


def test_all_output_follows_the_end_of_input(engine: Served, over_tls: bool) -> None:
    with attach(engine, "seq", "200000", over_tls=over_tls) as connection:
        end_input(connection)
        frames = split_frames(raw_http.read_all(connection))
    assert b"".join(data for output, data in frames if output is Output.STDOUT) == b"".join(
        b"%d\n" % number for number in range(1, 200_001)
    )


@pytest.mark.parametrize("tty", [False, True])
def test_a_client_that_closes_leaves_nothing(engine: Served, stand_in: StandIn, over_tls: bool, tty: bool) -> None:
    with attach(engine, "forever", over_tls=over_tls, tty=tty):
        wait_until(lambda: stand_in.attached == 1)
    wait_until(lambda: stand_in.attached == 0)


def test_a_client_that_resets_the_connection_leaves_nothing(engine: Served, stand_in: StandIn) -> None:
    connection = attach(engine, "forever", over_tls=True)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_until(lambda: stand_in.attached == 0)


def test_a_client_that_leaves_after_the_end_of_its_input_leaves_nothing(
    engine: Served, stand_in: StandIn, over_tls: bool
) -> None:
    """Over TLS its socket says no more than that of one that reads on; what is sent to it is answered by a reset."""
    with attach(engine, "forever", over_tls=over_tls) as connection:
        end_input(connection)
    wait_until(lambda: stand_in.attached == 0)


def test_a_client_that_reads_on_after_both_ends_of_its_input_gets_the_output(engine: Served) -> None:
    """Close_notify, and the socket shut down too: what is sent to see whether it is there is no output."""
    with attach(engine, "later", "4", over_tls=True) as connection:
        assert isinstance(connection, TlsClient)
        end_input(connection)
        connection.shut_down()
        frames = split_frames(raw_http.read_all(connection))
    assert b"".join(data for _, data in frames) == b"later\n"


def test_a_client_that_reads_nothing_holds_no_other_and_the_program_waits(
    engine: Served, stand_in: StandIn, over_tls: bool
) -> None:
    with attach(engine, "seq", "3000000", over_tls=over_tls) as slow:
        with attach(engine, "seq", "1000", over_tls=over_tls) as quick:
            assert raw_http.read_all(quick).endswith(b"1000\n")
        assert stand_in.attached == 1
        total = sum(len(data) for _, data in split_frames(raw_http.read_all(slow)))
    assert total == sum(len(str(number)) + 1 for number in range(1, 3_000_001))
