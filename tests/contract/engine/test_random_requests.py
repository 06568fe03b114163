"""Requests of random shape to every operation: each is answered, none by an internal error, and the engine lives on."""

import json
import logging
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.engine.rig.docker_cli import docker, environment_of
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.raw_http import connect, request
from tests.contract.engine.rig.recorded_calls import recorded_calls
from tests.contract.engine.rig.served import served

TOP = Path(__file__).parents[3]
REQUESTS = int(os.environ.get("RANDOM_REQUESTS", "10"))
"""Of each operation."""
MAX_UNANSWERED = 3
"""Of an operation that waits, after which it is left alone."""
INTERNAL_ERROR = 500
SECONDS = 0.5
"""For the head of an answer; some operations wait for what does not come."""

NAMES = [
    "web",
    "front",
    "data",
    "api",
    "nosuch",
    "alpine",
    "alpine:latest",
    "0" * 64,
    "a",
    "../x",
    "%00",
    "é",
    "x" * 300,
]
SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 1 << 31, 1 << 40, 1 << 63, -(1 << 63), 1 << 70, 1.5, "", "0", "x",
    "web", "front", "80/tcp", "/a:/b", "a=b", "\x00",
    "é" * 40, "container:web", "1s", "always", "-1", "127.0.0.1",
]  # fmt: skip
QUERIES = (
    "all", "condition", "dangling", "details", "detachKeys", "digests", "filters", "follow", "force", "fromImage",
    "fromSrc", "h", "insertDefaults", "limit", "link", "logs", "name", "names", "noOverwriteDirNonDir", "one-shot",
    "path", "platform", "ps_args", "registryAuthFrom", "repo", "rollback", "scope", "shared-size", "signal", "since",
    "size", "stderr", "stdin", "stdout", "stream", "t", "tag", "tail", "timestamps", "type", "until", "v", "verbose",
    "version", "w",
)  # fmt: skip
REFERENCES = ("Secrets", "Configs", "Networks", "NetworkingConfig")
FILTER_KEYS = ("name", "id", "label", "status", "dangling", "until", "type", "exited", "volume", "network", "all", "x")


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("random")
    with served(lambda: rig_routes(lambda _: None), directory) as engine:
        environment = environment_of(engine, directory, tls=False)
        command = ("service", "create", "--detach", "--name", "api", "alpine", "sleep", "9")
        assert docker(environment, *command).returncode == 0
        yield engine.socket


def prepare(path: Path) -> None:
    """What other requests may have removed."""
    for target, document in (
        ("/containers/create?name=web", {"Image": "alpine", "Cmd": ["sleep", "9"]}), ("/containers/web/start", {}),
        ("/networks/create", {"Name": "front"}), ("/volumes/create", {"Name": "data"}),
    ):  # fmt: skip
        request(path, "POST", target, body=json.dumps(document).encode())


def operations() -> list[tuple[str, str, str]]:
    """Name, method and path of each."""
    text = (TOP / "engine" / "OPERATIONS.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (\w+) \| `([A-Z]+) (/\S*)` \|", text, re.MULTILINE)


def keys_of(document: object) -> set[str]:
    """All keys in a document, at any depth."""
    if isinstance(document, dict):
        return set(document).union(*map(keys_of, document.values()))
    return set().union(*map(keys_of, document)) if isinstance(document, list) else set()


SENT = [(each.path, each.request) for each in recorded_calls() if each.request]
KEYS = sorted(keys_of([document for _, document in SENT]))


def without_references(document: Any) -> Any:
    """Without ids of that cluster."""
    if isinstance(document, dict):
        return {key: without_references(each) for key, each in document.items() if key not in REFERENCES}
    return [without_references(each) for each in document] if isinstance(document, list) else document


def sent_to(template: str) -> list[Any]:
    """Recorded requests of an operation; all of them where there is none."""
    pattern = re.compile(r"/v1\.\d+" + re.sub(r"\{\w+\}", "[^/?]+", template) + r"(\?.*)?")
    return [document for path, document in SENT if pattern.fullmatch(path)] or [document for _, document in SENT]


def value(rng: random.Random, depth: int = 3) -> Any:
    """Anything JSON can say, with keys that mean something."""
    kind = rng.random()
    if depth and kind < 0.3:
        return {rng.choice(KEYS): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    if depth and kind < 0.45:
        return [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return rng.choice(SCALARS)


def changed(rng: random.Random, document: Any) -> Any:
    """A document with one place changed."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        key = rng.choice(sorted(document))
        return {**document, key: changed(rng, document[key])}
    if isinstance(document, list) and document and rng.random() < 0.7:
        return [changed(rng, document[0]), *document[1:]]
    return value(rng)


def body(rng: random.Random, template: str) -> bytes:
    kind = rng.random()
    if kind < 0.1:
        return rng.choice([b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 5000, b"1e999", b'{"Image":NaN}'])
    if kind < 0.7:
        sent = rng.choice(sent_to(template))
        return json.dumps(changed(rng, without_references(sent) if rng.random() < 0.7 else sent)).encode()
    document: dict[str, Any] = {"Image": "alpine", "Cmd": ["sh"], "Name": "n", "Container": "web"}
    document |= {rng.choice(KEYS): value(rng) for _ in range(rng.randrange(6))}
    return json.dumps(document).encode()


def query(rng: random.Random) -> str:
    pairs = []
    for _ in range(rng.randrange(4)):
        key = rng.choice(QUERIES)
        text = str(rng.choice([*NAMES, "1", "0", "true", "false", "-5", "x", "9" * 30, "1.5"]))
        if key == "filters":
            document = {rng.choice(FILTER_KEYS): rng.choice([["web"], {"a=b": True}, [1], "x", [], ["true"], None])}
            text = rng.choice([json.dumps(document), "{", "[]", "1"])
        pairs.append(f"{quote(key)}={quote(text, safe='')}")
    return "?" + "&".join(pairs) if pairs else ""


def status_of(path: Path, method: str, target: str, content: bytes) -> int | None:
    """Of the answer; None where none has come in time."""
    with connect(path) as connection:
        connection.settimeout(SECONDS)
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(content)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
        try:
            data = connection.recv(1 << 16)
        except (TimeoutError, ConnectionResetError):
            return None
    return int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/1.1 ") else None


@pytest.mark.parametrize(
    ("operation", "method", "template"), operations(), ids=lambda each: str(each).replace("/", ".")
)
def test_no_request_is_an_internal_error(
    socket_path: Path, operation: str, method: str, template: str, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(operation)  # the same each time
    prepare(socket_path)
    failed, waits = [], 0
    for _ in range(REQUESTS):
        path = re.sub(
            r"\{\w+\}", lambda _: quote(rng.choice(NAMES[: rng.choice([4, 4, len(NAMES)])]), safe="%"), template
        )
        target, content = path + query(rng), body(rng, template) if method in ("POST", "PUT") else b""
        if rng.random() < 0.3:
            target = f"/v1.{rng.randrange(22, 53)}{target}"
        status = status_of(socket_path, method, target, content)
        if status == INTERNAL_ERROR:
            failed.append((target, content))
        waits += status is None
        if waits > MAX_UNANSWERED:
            break
    assert not failed, failed[:3]
    assert request(socket_path, "GET", "/_ping")[0] == 200
    assert not [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
