"""Numbers and texts at and beyond the bounds, in every parameter that the description has: refused or taken, no 500."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.contract.engine.rig.described_api import DescribedApi, DescribedOperation
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.raw_http import connect, request
from tests.contract.engine.rig.served import served

NUMBERS = [str(sign * ((1 << bits) + more)) for bits in (31, 32, 63) for sign in (1, -1) for more in (-1, 0)]
TEXTS = [
    "",
    "-1",
    "0",
    "1e9",
    "0x10",
    " 1",
    "nan",
    "\0",
    "é",
    "x" * 5000,
    "{}",
    "[]",
    '{"a":{"b":false}}',
    "a=b",
    "../..",
]
SECONDS = 0.3
"""For the head of an answer; some operations wait for what does not come."""
MAX_UNANSWERED = 3
INTERNAL_ERROR = 500
OUT_OF_SEQUENCE = b"update out of sequence"
"""Which is Docker's 500 for a version that is not the newest."""
API = DescribedApi()
ENDS = ("ContainerDelete", "VolumeDelete", "NetworkDelete", "SwarmLeave", "NodeDelete", "ImageDelete")
"""What would remove what other operations need; their parameters are switches."""


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with served(lambda: rig_routes(lambda _: None), tmp_path_factory.mktemp("extreme")) as engine:
        for target, body in (
            ("/containers/create?name=web", {"Image": "alpine", "Cmd": ["cat"], "OpenStdin": True}),
            ("/containers/web/start", {}),
            ("/networks/create", {"Name": "web"}),
            ("/volumes/create", {"Name": "web"}),
        ):
            assert request(engine.socket, "POST", target, body=json.dumps(body).encode())[0] < INTERNAL_ERROR
        yield engine.socket


def status_of(path: Path, method: str, target: str) -> int | None:
    """Of the answer; None where none has come in time."""
    with connect(path) as connection:
        connection.settimeout(SECONDS)
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
        try:
            data = connection.recv(1 << 16)
        except TimeoutError:
            return None
    return 0 if OUT_OF_SEQUENCE in data else int(data.split(b" ", 2)[1])


@pytest.mark.parametrize("operation", [each for name, each in API.operations.items() if name not in ENDS], ids=str)
def test_no_parameter_is_an_internal_error(socket: Path, operation: DescribedOperation) -> None:
    path = re.sub(r"\{\w+\}", "web", operation.path)
    for name in (name for name, place in operation.parameters.items() if place == "query"):
        unanswered = 0
        for value in (*NUMBERS, *TEXTS):
            target = f"{path}?{quote(name)}={quote(value)}"
            status = status_of(socket, operation.method, target)
            assert status != INTERNAL_ERROR, target
            unanswered += status is None
            if unanswered == MAX_UNANSWERED:
                break
    assert request(socket, "GET", "/_ping")[0] == 200
