"""Requests byte by byte, for what no client library sends."""

import json
import socket
from pathlib import Path
from typing import Any

from tests.contract.engine.rig.tls_client import Connection

SECONDS = 60.0


def connect(path: Path) -> socket.socket:
    """A connection to the Unix socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(SECONDS)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def request(
    path: Path,
    method: str,
    target: str,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    upgrade: bool = False,
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers by lower-case name, body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: docker"]
    lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    with connect(path) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        return parse(read_all(connection))


def read_all(connection: Connection) -> bytes:
    """What comes until the other side ends."""
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def read_head(connection: Connection) -> tuple[bytes, bytes]:
    """The head of an answer, and what came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1 << 16)
        assert piece, data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def parse(data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a whole answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split(" ")[1]), headers, body


def message_of(body: bytes) -> str:
    """The text of an error."""
    document: Any = json.loads(body)
    return str(document["message"])


def document(headers: dict[str, str], body: bytes) -> Any:
    """The JSON of an answer; of a stream of documents `{"lines": […]}`."""
    text = unchunked(body) if headers.get("transfer-encoding") == "chunked" else body
    try:
        return json.loads(text)
    except ValueError:
        return {"lines": [json.loads(line) for line in text.splitlines() if line.strip()]}


def unchunked(body: bytes) -> bytes:
    """The content of a body in chunks (RFC 9112, section 7.1)."""
    pieces = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            break
        pieces.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(pieces)
