"""Docker's API as its clients wait for it: commands of the docker command line, bytes of streams, requests, memory.

    python -m tests.bench.bench_engine [commands] [streams] [requests] [memory]

Beside the engine, in alternating rounds and with the same command line, a Docker daemon on the same host, where
Debian's `docker.io` is installed. Bytes are counted by this process too, since the command line itself needs more for
them than either side.
"""

import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.rig.bed import ARCHIVE
from tests.bench.rig.engine_bed import Endpoint, engine, of_docker, write_image
from tests.bench.rig.figures import Figure, p50, p99, table
from tests.bench.rig.swarm import IMAGE as DOCKER_IMAGE
from tests.bench.rig.swarm import installed, swarm

ROUNDS = 25
EXECS = 15
AIMS = {"run --rm … true": 100, "run -d": 70}
"""Milliseconds."""
OVER_TLS = "shoal TLS"
MANY = 1_000
LISTINGS = 9
MEGABYTES = 300
LINE = "x" * 99
IMAGE_BYTES = 100_000_000
REQUEST_SECONDS = 4.0
CLIENTS = 200
CLIENTS_OF_ONE = 50
IDLE_MB = 80
SETTLE_SECONDS = 3.0

Sides = Mapping[str, Endpoint]


@contextmanager
def sides() -> Generator[Sides]:
    """The engine on its socket and over TLS, and Docker where it is installed."""
    with ExitStack() as stack:
        other = stack.enter_context(swarm(ARCHIVE)) if installed() else None
        unix, tls = stack.enter_context(engine())
        found = {"shoal": unix, OVER_TLS: tls}
        if other is not None:
            found["docker"] = of_docker(other, DOCKER_IMAGE)
        yield found


def measure() -> list[Figure]:
    """All figures of this file."""
    with sides() as found:
        return [figure for part in PARTS.values() for figure in part(found)]


def commands(found: Sides) -> list[Figure]:
    """`docker run`, `exec`, and `ps` of many."""
    figures = []
    for network, options in (("default network", ()), ("no network", ("--network", "none"))):
        figures += _runs(found, network, options)
    figures += _execs(found)
    return figures + _listings(found)


def _runs(found: Sides, network: str, options: Sequence[str]) -> list[Figure]:
    seconds: dict[str, dict[str, list[float]]] = {name: {side: [] for side in found} for name in AIMS}
    for _ in range(ROUNDS):
        for name, side in found.items():
            seconds["run --rm … true"][name].append(side.seconds("run", "--rm", *options, side.image, "true"))
            seconds["run -d"][name].append(side.seconds("run", "-d", *options, side.image, "sleep", "1000"))
            side.remove_all()
    return [each for name, of in seconds.items() for each in _against(f"{name}, {network}", of, AIMS[name])]


def _execs(found: Sides) -> list[Figure]:
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for side in _different(found):
        side.docker("run", "-d", "--name", "box", side.image, "sleep", "1000")
    for _ in range(EXECS):
        for name, side in found.items():
            seconds[name].append(side.seconds("exec", "box", "true"))
    _remove_all(found)
    return _against("exec … true", seconds, None)


def _listings(found: Sides) -> list[Figure]:
    seconds: dict[str, list[float]] = {name: [] for name in found}
    _make_containers(found, MANY)
    for _ in range(LISTINGS):
        for name, side in found.items():
            seconds[name].append(side.seconds("ps", "-a"))
    _remove_all(found)
    return _against(f"ps -a of {MANY:,} containers", seconds, None)


def _against(name: str, seconds: Mapping[str, Sequence[float]], aim_ms: float | None) -> list[Figure]:
    aims = {"shoal": aim_ms}
    figures = [
        Figure(f"{side}: {name}, p50", p50(each) * 1000, "ms", at_most=aims.get(side)) for side, each in seconds.items()
    ]
    figures.append(Figure(f"shoal: {name}, p99", p99(seconds["shoal"]) * 1000, "ms"))
    if "docker" in seconds:
        figures.append(Figure(f"{name}, of Docker's time", p50(seconds["shoal"]) / p50(seconds["docker"]), ""))
    return figures


def streams(found: Sides) -> list[Figure]:
    """Megabytes a second of one client."""
    figures = []
    for name, side in found.items():
        box, log = _make_stream_sources(side)
        rates = {
            "logs": _rate(partial(_read_log, side, log)),
            "attach": _rate(partial(_read_attached, side)),
            "exec, output": _rate(partial(_read_exec, side, box)),
            "exec, input": _rate(partial(_write_exec, side, box)),
            "archive": _rate(partial(_read_archive, side, box)),
            "load": _load_rate(side),
            "docker logs": _rate(partial(side.docker, "logs", log)),
            "docker exec, output": _rate(partial(side.docker, "exec", box, "cat", "/file")),
        }
        figures += [Figure(f"{name}: {what}", rate, "MB/s", at_least=_aim(name, what)) for what, rate in rates.items()]
        side.remove_all()
    return figures


def _aim(side: str, what: str) -> float | None:
    return {"load": 150}.get(what, 100) if side == "shoal" and not what.startswith("docker") else None


def _rate(transfer: Callable[[], None]) -> float:
    begin = time.perf_counter()
    transfer()
    return MEGABYTES / (time.perf_counter() - begin)


def _program() -> list[str]:
    return ["sh", "-c", f"yes {LINE} | head -c {MEGABYTES}000000"]


def _make_stream_sources(side: Endpoint) -> tuple[str, str]:
    """A container with a large file, and one that has ended with a large log."""
    side.docker("run", "-d", "--name", "box", side.image, "sleep", "1000")
    side.docker("exec", "box", "sh", "-c", f"yes {LINE} | head -c {MEGABYTES}000000 > /file")
    side.docker("run", "-d", "--name", "log", "--log-opt", "max-size=2g", side.image, *_program())
    side.docker("wait", "log")
    return "box", "log"


def _get(side: Endpoint, path: str) -> socket.socket:
    connection = side.connect()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n".encode())
    return connection


def _read(connection: socket.socket) -> None:
    received, buffer = 0, bytearray(1 << 20)
    while size := connection.recv_into(buffer):
        received += size
    connection.close()
    assert received >= MEGABYTES * 1_000_000, received


def _read_log(side: Endpoint, log: str) -> None:
    _read(_get(side, f"/containers/{log}/logs?stdout=1&stderr=1"))


def _read_archive(side: Endpoint, box: str) -> None:
    _read(_get(side, f"/containers/{box}/archive?path=/file"))


def _read_attached(side: Endpoint) -> None:
    body = {"Image": side.image, "Cmd": _program(), "HostConfig": {"LogConfig": {"Type": "none"}}}
    container = side.request("POST", "/containers/create", body)["Id"]
    connection = side.hijack(f"/containers/{container}/attach?stream=1&stdout=1&stderr=1")
    side.request("POST", f"/containers/{container}/start")
    _read(connection)


def _read_exec(side: Endpoint, box: str) -> None:
    _read(_exec(side, box, {"Cmd": ["cat", "/file"], "AttachStdout": True}))


def _write_exec(side: Endpoint, box: str) -> None:
    command = ["sh", "-c", f"head -c {MEGABYTES}000000 > /dev/null; echo end"]
    connection = _exec(side, box, {"Cmd": command, "AttachStdin": True, "AttachStdout": True})
    piece = bytes(1_000_000)
    for _ in range(MEGABYTES):
        connection.sendall(piece)
    while connection.recv(1 << 16):
        pass
    connection.close()


def _exec(side: Endpoint, box: str, request: Mapping[str, object]) -> socket.socket:
    identifier = side.request("POST", f"/containers/{box}/exec", request)["Id"]
    return side.hijack(f"/exec/{identifier}/start", {"Detach": False, "Tty": False})


def _load_rate(side: Endpoint) -> float:
    """Of an image that no side has, whose bytes no compression makes smaller."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        archive = Path(directory, "image.tar")
        write_image(archive, IMAGE_BYTES)
        return IMAGE_BYTES / 1e6 / side.seconds("load", "--quiet", "--input", str(archive))


def requests(found: Sides) -> list[Figure]:
    """`GET /containers/json` on one connection, one after the other."""
    figures, made = [], 0
    for many in (0, 100, MANY):
        _make_containers(found, many - made)
        made = many
        figures += [
            Figure(f"{name}: GET /containers/json of {many:,}", _requests_a_second(side), "a second")
            for name, side in found.items()
        ]
    _remove_all(found)
    return figures


def _requests_a_second(side: Endpoint) -> float:
    connection, count = side.http(), 0
    end = time.perf_counter() + REQUEST_SECONDS
    while time.perf_counter() < end:
        connection.request("GET", "/containers/json?all=1")
        connection.getresponse().read()
        count += 1
    connection.close()
    return count / REQUEST_SECONDS


def memory(found: Sides) -> list[Figure]:
    """Of the engine alone, before anything else is measured, and with clients that are attached."""
    side = found["shoal"]
    side.request("GET", "/containers/json")
    time.sleep(SETTLE_SECONDS)
    idle = _resident_mb(side)
    request = {"Image": side.image, "Cmd": ["sleep", "1000"]}
    containers = [side.request("POST", "/containers/create", request)["Id"] for _ in range(CLIENTS // CLIENTS_OF_ONE)]
    for each in containers:
        side.request("POST", f"/containers/{each}/start")
    attached = [
        side.hijack(f"/containers/{each}/attach?stream=1&stdout=1&stderr=1")
        for each in containers
        for _ in range(CLIENTS_OF_ONE)
    ]
    time.sleep(SETTLE_SECONDS)
    with_clients = _resident_mb(side)
    for connection in attached:
        connection.close()
    side.remove_all()
    return [
        Figure("shoal: engine idle, RSS", idle, "MB", at_most=IDLE_MB),
        Figure(f"shoal: engine with {CLIENTS} attached clients, RSS", with_clients, "MB"),
        Figure("… a client", (with_clients - idle) * 1000 / CLIENTS, "kB"),
    ]


def _resident_mb(side: Endpoint) -> float:
    status = Path(f"/proc/{side.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _make_containers(found: Sides, count: int) -> None:
    """In the state created, on each side that is one of its own."""
    for side in _different(found):
        request = {"Image": side.image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}

        def make(_: int, side: Endpoint = side, request: Mapping[str, object] = request) -> None:
            side.request("POST", "/containers/create", request)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(make, range(count)))


def _remove_all(found: Sides) -> None:
    for side in _different(found):
        side.remove_all()


def _different(found: Sides) -> list[Endpoint]:
    """One of each engine."""
    return [side for name, side in found.items() if name != OVER_TLS]


PARTS: Mapping[str, Callable[[Sides], list[Figure]]] = {
    "memory": memory,
    "commands": commands,
    "streams": streams,
    "requests": requests,
}


def main() -> None:
    """Measure what is named, all by default, and print."""
    names = sys.argv[1:] or list(PARTS)
    with sides() as found:
        print(table([figure for name in names for figure in PARTS[name](found)]))


if __name__ == "__main__":
    main()
