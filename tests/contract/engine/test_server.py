"""What the server does with requests, byte by byte."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.server import peer_sockets
from tests.contract.engine.rig import raw_http
from tests.contract.engine.rig.raw_http import message_of, request
from tests.contract.engine.rig.served import Served, constant, served
from tests.contract.engine.rig.stand_in import StandIn


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def engine(stand_in: StandIn, tmp_path: Path) -> Iterator[Served]:
    with served(constant(stand_in.routes()), tmp_path) as where:
        yield where


@pytest.fixture
def socket(engine: Served) -> Path:
    return engine.socket


def test_ping_has_the_headers_that_clients_read(socket: Path) -> None:
    status, headers, body = request(socket, "HEAD", "/_ping")
    assert (status, body, headers["content-length"]) == (200, b"", "0")
    assert headers["api-version"] == "1.50"
    assert headers["ostype"] == "linux"
    assert headers["docker-experimental"] == "false"
    assert headers["builder-version"] == "2"
    assert headers["swarm"] == "inactive"
    assert headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert headers["pragma"] == "no-cache"
    assert headers["server"].startswith("Docker/")
    assert request(socket, "GET", "/v1.24/_ping")[2] == b"OK"


def test_versions_are_checked_with_dockers_words(socket: Path) -> None:
    status, headers, body = request(socket, "GET", "/v1.51/_ping")
    assert (status, message_of(body)) == (
        400,
        "client version 1.51 is too new. Maximum supported API version is 1.50",
    )
    assert headers["api-version"] == "1.50"
    status, headers, body = request(socket, "GET", "/v1.23/_ping")
    assert (status, headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert body.startswith(b"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nosuch"), ("GET", "/v1.50/nosuch"), ("DELETE", "/_ping"), ("GET", "/v1.x/_ping"), ("GET", "/v./_ping")],
)
def test_an_unknown_path_or_method_is_no_page(socket: Path, method: str, path: str) -> None:
    status, _, body = request(socket, method, path)
    assert (status, message_of(body)) == (404, "page not found")


def test_names_in_paths_may_have_slashes_plain_and_escaped(socket: Path) -> None:
    for path in ("/v1.40/echo/a/b:c", "/echo/a%2Fb%3Ac"):
        assert json.loads(request(socket, "POST", path)[2])["name"] == "a/b:c"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "invalid JSON"),
        (b"[]", "invalid JSON: must be an object"),
        (b'{"a": NaN}', "invalid JSON"),
        (b"{} {}", "unexpected content after JSON"),
        (b"\xff\xfe", "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
    ],
)
def test_a_body_that_is_no_object_is_refused(socket: Path, body: bytes, text: str) -> None:
    status, _, answer = request(socket, "POST", "/echo/x", body=body)
    assert status == 400
    assert message_of(answer).startswith(text)


def test_bodies_are_bounded_and_of_json(socket: Path) -> None:
    body = b'{"a": "' + b"x" * (4 << 20) + b'"}'
    assert request(socket, "POST", "/echo/x", body=body)[0] == 413
    with raw_http.connect(socket) as connection:
        connection.sendall(b"POST /echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        status, _, answer = raw_http.parse(raw_http.read_all(connection))
    assert (status, message_of(answer)) == (400, "unsupported Content-Type header (): must be 'application/json'")


def test_a_chunked_body_without_an_end_is_read_to_the_end_of_its_value(socket: Path) -> None:
    """docker-modem announces chunks beside an upgrade, and never ends them."""
    with raw_http.connect(socket) as connection:
        head = (
            b"POST /echo/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head + b'8\r\n{"a": 1}\r\n')
        assert raw_http.read_head(connection)[0].startswith(b"HTTP/1.1 200 ")


def test_headers_and_lines_are_bounded(socket: Path) -> None:
    assert request(socket, "GET", "/_ping?x=" + "y" * 20_000)[0] == 200
    assert request(socket, "GET", "/_ping?x=" + "y" * 100_000)[0] == 431
    assert request(socket, "GET", "/_ping", headers={"X-Large": "y" * 100_000})[0] == 431
    assert request(socket, "GET", "/_ping", headers={f"X-{n}": "y" for n in range(300)})[0] == 431


def test_what_is_no_http_is_refused(socket: Path) -> None:
    with raw_http.connect(socket) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b" 400 " in raw_http.read_all(connection).split(b"\r\n")[0]


def create(socket: Path, program: str, *arguments: str, tty: bool = False) -> str:
    body = json.dumps({"Cmd": [program, *arguments], "Tty": tty}).encode()
    return str(json.loads(request(socket, "POST", "/containers/create", body=body)[2])["Id"])


def test_wait_sends_its_head_before_the_end(socket: Path) -> None:
    identifier = create(socket, "both", "5")
    with raw_http.connect(socket) as waiting, raw_http.connect(socket) as attached:
        waiting.sendall(f"POST /containers/{identifier}/wait HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, rest = raw_http.read_head(waiting)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert rest == b""
        attached.sendall(f"POST /containers/{identifier}/attach HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\r\n".encode())
        raw_http.read_head(attached)
        assert request(socket, "POST", f"/containers/{identifier}/start")[0] == 204
        assert b'{"StatusCode":5}\n' in waiting.recv(1000)


@pytest.mark.parametrize("upgrade", [True, False])
def test_the_head_of_a_connection_that_is_taken_over(socket: Path, upgrade: bool) -> None:
    identifier = create(socket, "cat", tty=True)
    more = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
    with raw_http.connect(socket) as connection:
        connection.sendall(f"POST /exec/{identifier}/start HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        head, rest = raw_http.read_head(connection)
        lines = head.decode().split("\r\n")
        assert rest == b""
        assert lines[0] == ("HTTP/1.1 101 UPGRADED" if upgrade else "HTTP/1.1 200 OK")
        assert "Content-Type: application/vnd.docker.raw-stream" in lines
        assert ("Upgrade: tcp" in lines) == upgrade
        connection.sendall(b"GET /_ping HTTP/1.1\r\n\r\n")
        assert connection.recv(1000) == b"GET /_ping HTTP/1.1\r\n\r\n"


def test_input_in_chunks_without_an_upgrade_comes_without_the_chunks(socket: Path) -> None:
    identifier = create(socket, "cat", tty=True)
    with raw_http.connect(socket) as connection:
        connection.sendall(
            f"POST /containers/{identifier}/attach HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        request(socket, "POST", f"/containers/{identifier}/start")
        raw_http.read_head(connection)
        connection.sendall(b"5\r\nhello\r\n")
        assert connection.recv(100) == b"hello"
        connection.sendall(b"3\r\nbye\r\n0\r\n\r\n")
        assert raw_http.read_all(connection) == b"bye"


def test_output_waits_for_a_client_that_does_not_read(socket: Path, stand_in: StandIn) -> None:
    identifier = create(socket, "seq", "1000000", tty=True)
    with raw_http.connect(socket) as connection:
        connection.sendall(f"POST /exec/{identifier}/start HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\r\n".encode())
        raw_http.read_head(connection)
        assert request(socket, "GET", "/_ping")[0] == 200
        assert not stand_in.containers[identifier].ended.is_set()
        tail = raw_http.read_all(connection)
    assert tail.endswith(b"\n999999\n1000000\n")


def test_output_comes_after_the_head_was_read(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some clients read the head with a buffer and the output from the socket below it."""
    monkeypatch.setattr(peer_sockets, "_HEAD_CHECKS", 1 << 20)  # it does not wait for long, and this may read late
    identifier = create(socket, "seq", "3", tty=True)
    with raw_http.connect(socket) as connection:
        connection.sendall(f"POST /exec/{identifier}/start HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\r\n".encode())
        time.sleep(0.02)
        assert connection.recv(1 << 16).endswith(b"\r\n\r\n")
        assert raw_http.read_all(connection) == b"1\n2\n3\n"


def test_certificates_of_other_roles_are_refused(engine: Served) -> None:
    import http.client
    import ssl

    context = ssl.create_default_context(cafile=str(engine.certificates / "ca.pem"))
    context.load_cert_chain(engine.certificates / "agent.pem", engine.certificates / "agent-key.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", engine.port, context=context, timeout=60)
    connection.request("GET", "/_ping")
    answer = connection.getresponse()
    assert answer.status == 403
    assert "role agent may not use this API" in message_of(answer.read())
    connection.close()


def test_without_a_certificate_there_is_no_connection(engine: Served) -> None:
    import http.client
    import ssl

    context = ssl.create_default_context(cafile=str(engine.certificates / "ca.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", engine.port, context=context, timeout=60)
    with pytest.raises(OSError):
        connection.request("GET", "/_ping")
        connection.getresponse()
    connection.close()
