"""Who is let in over TLS: handshakes as openssl's clients make them, and certificates that are not good."""

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.server import listeners
from engine.server.tls_transport import HANDSHAKE_SECONDS
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from tests.contract.engine.rig.raw_http import message_of, parse, read_all
from tests.contract.engine.rig.raw_http import request as request_by_unix_socket
from tests.contract.engine.rig.served import Served, constant, served
from tests.contract.engine.rig.stand_in import StandIn

SECONDS = 60.0
PING = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SILENT = 100
"""Connections that begin a handshake and say no more."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(constant(StandIn().routes()), tmp_path_factory.mktemp("tls"), cluster="test") as where:
        yield where


def client(engine: Served, name: str) -> ssl.SSLContext:
    """A client with this certificate of the test's authority."""
    context = ssl.create_default_context(cafile=str(engine.certificates / "ca.pem"))
    certificate, key = ("cert.pem", "key.pem") if name == "admin" else (f"{name}.pem", f"{name}-key.pem")
    context.load_cert_chain(engine.certificates / certificate, engine.certificates / key)
    return context


def ping(engine: Served, context: ssl.SSLContext) -> tuple[int, bytes]:
    """Status and body of an answer."""
    with (
        socket.create_connection(("127.0.0.1", engine.port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(PING)
        status, _, body = parse(read_all(connection))
        return status, body


def test_an_administrator_is_let_in(engine: Served) -> None:
    assert ping(engine, client(engine, "admin")) == (200, b"OK")


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("agent", 403, "role agent may not use this API"),
        ("server", 403, "role manager may not use this API"),
        ("other", 401, "of another cluster"),
        ("nobody", 401, "not issued by a Shoal cluster"),
    ],
)
def test_certificates_of_others_are_told_why_not(engine: Served, name: str, status: int, words: str) -> None:
    found, body = ping(engine, client(engine, name))
    assert (found, words in message_of(body)) == (status, True), body


def foreign(directory: Path) -> ssl.SSLContext:
    """An administrator of a cluster of the same name, with another authority."""
    authority = Authority.create("test", datetime.now(UTC))
    identity = authority.issue(CertificateSubject("ada", Role.ADMIN, "test"), datetime.now(UTC))
    identity.save(directory)
    return with_identity(directory)


def with_identity(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


def test_other_authorities_and_expired_certificates_are_refused_by_tls(engine: Served, tmp_path: Path) -> None:
    for context in (foreign(tmp_path), client(engine, "expired")):
        with pytest.raises(OSError, match=r"alert|reset|EOF"):
            ping(engine, context)
    without = ssl.create_default_context(cafile=str(engine.certificates / "ca.pem"))
    with pytest.raises(OSError, match=r"alert|reset|EOF"):
        ping(engine, without)


def test_clients_check_the_server(engine: Served, tmp_path: Path) -> None:
    foreign(tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(engine.certificates / "cert.pem", engine.certificates / "key.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        ping(engine, context)


def test_a_certificate_to_serve_with_lets_nobody_in(tmp_path: Path) -> None:
    """What the authority issues for an engine's TLS is no client's."""
    now = datetime.now(UTC)
    authority = Authority.create("test", now)
    subject, key = CertificateSubject("gate", Role.ADMIN, "test"), certificates.new_key()
    certificate = authority.sign_server(certificates.request(key), subject, ["localhost", "127.0.0.1"], now)
    paths = {"ca.pem": authority.certificate, "server.pem": certificate, "server-key.pem": key}
    for name, content in paths.items():
        (tmp_path / name).write_bytes(content)
    verify = ["openssl", "verify", "-CAfile", str(tmp_path / "ca.pem"), "-purpose"]
    for purpose, good in (("sslserver", True), ("sslclient", False)):
        done = subprocess.run([*verify, purpose, str(tmp_path / "server.pem")], capture_output=True, check=False)
        assert (done.returncode == 0) == good, (purpose, done)


@pytest.mark.parametrize(("protocol", "good"), [("-tls1_2", False), ("-tls1_3", True)])
def test_openssl_speaks_tls_1_3_alone(engine: Served, protocol: str, good: bool) -> None:
    files = {"-CAfile": "ca.pem", "-cert": "cert.pem", "-key": "key.pem"}
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{engine.port}",
        protocol,
        "-quiet",
        "-verify_return_error",
    ]
    command += [part for option, name in files.items() for part in (option, str(engine.certificates / name))]
    done = subprocess.run(command, input=PING, capture_output=True, timeout=SECONDS, check=False)
    assert (b"200 OK" in done.stdout) == good, (done.stdout, done.stderr)


def test_what_is_no_handshake_is_closed(engine: Served) -> None:
    for content in (PING, b"\x16\x03\x01" + b"\xff" * 200, os.urandom(500), b"\x16\x03\x01\x40\x00" + b"\x01" * 100):
        with socket.create_connection(("127.0.0.1", engine.port), timeout=SECONDS) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                assert b"HTTP" not in read_all(connection)
    assert ping(engine, client(engine, "admin"))[0] == 200


def test_handshakes_are_bounded(engine: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MAX_HANDSHAKES", 5)
    deadline = time.monotonic() + SECONDS
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(socket.create_connection(("127.0.0.1", engine.port), timeout=SECONDS))
        with pytest.raises(OSError):
            while time.monotonic() < deadline:  # the engine may have yet to see the others
                ping(engine, client(engine, "admin"))
    while True:
        with suppress(OSError):
            assert ping(engine, client(engine, "admin"))[0] == 200
            break
        assert time.monotonic() < deadline


def test_those_that_say_nothing_keep_nobody_out(engine: Served) -> None:
    silent = [socket.create_connection(("127.0.0.1", engine.port), timeout=SECONDS) for _ in range(SILENT)]
    assert ping(engine, client(engine, "admin"))[0] == 200
    assert request_by_unix_socket(engine.socket, "GET", "/_ping")[0] == 200
    silent[0].settimeout(HANDSHAKE_SECONDS + SECONDS)
    with suppress(ConnectionResetError):
        assert silent[0].recv(1) == b""
    for each in silent:
        each.close()
