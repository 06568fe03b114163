"""Containers of one's own, the image present: `shoal run`, `logs`, `cp` and `ps`, as a user waits for them.

    python -m tests.bench.bench_run [run] [files] [ps]

Beside `run`, in alternating rounds, `docker run` where Debian's `docker.io` is installed, which asks a daemon on the
same host where ours asks a manager that plans, commits and tells an agent. Each is measured with the network that it
has by default, a bridge of the host, and without one. `ps` lists the containers of a whole manager with simulated
agents.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cli.client import Client
from shoal.api.v1.engine_pb2 import CreateContainerRequest, StartContainerRequest
from shoal.api.v1.engine_pb2_grpc import ContainersStub
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.contexts.context_store import ContextStore
from shoal.identity.identity import Identity
from tests.bench.rig.bed import ARCHIVE, SHOAL, Bed, cluster
from tests.bench.rig.figures import Figure, p50, p99, table
from tests.bench.rig.simulated_cluster import SimulatedCluster, simulated_cluster
from tests.bench.rig.swarm import DOCKER, Swarm, installed, swarm
from tests.bench.rig.swarm import IMAGE as DOCKER_IMAGE

IMAGE = "hello:1"
ROUNDS = 25
AT_ONCE = 50
ROUNDS_AT_ONCE = 3
OF_DOCKER = {"run --rm … true": 0.65, "run -d": 0.5}
GIGABYTE = 1_000_000_000
LINE = "x" * 100
MANY, NODES, CALLS_AT_ONCE = 10_000, 20, 100
LISTINGS = 9


@dataclass(frozen=True)
class Side:
    """A command line and the name of its image."""

    command: tuple[str, ...]
    image: str

    def run(self, *options: str, program: Sequence[str] = ("true",)) -> Sequence[str]:
        """`… run OPTIONS IMAGE PROGRAM`."""
        return [*self.command, "run", *options, self.image, *program]

    def remove_all(self) -> None:
        """All containers."""
        listed = subprocess.run([*self.command, "ps", "-aq"], check=True, capture_output=True, text=True)
        if names := listed.stdout.split():
            subprocess.run([*self.command, "rm", "-f", *names], check=True, stdout=subprocess.DEVNULL)


def measure() -> list[Figure]:
    """All figures of this file."""
    return [figure for part in PARTS.values() for figure in part()]


def runs(rounds: int = ROUNDS) -> list[Figure]:
    """`run`, of ours and of Docker's."""
    with ExitStack() as stack:
        other = stack.enter_context(swarm(ARCHIVE)) if installed() else None
        bed = stack.enter_context(cluster(hosts=1))
        bed.shoal("load", "--quiet", "--input", str(ARCHIVE))
        sides = {"shoal": _ours(bed)}
        if other is not None:
            sides["docker"] = _docker(other)
        found = []
        found += _one_by_one(sides, "bridge", (), rounds, OF_DOCKER)
        found += _one_by_one(sides, "no network", ("--network", "none"), rounds, {})
        found += _together(sides)
    return found


def _one_by_one(
    sides: Mapping[str, Side], network: str, options: Sequence[str], rounds: int, targets: Mapping[str, float]
) -> list[Figure]:
    seconds: dict[str, dict[str, list[float]]] = {name: {side: [] for side in sides} for name in OF_DOCKER}
    for _ in range(rounds):
        for name, side in sides.items():
            seconds["run --rm … true"][name].append(_seconds(side.run("--rm", *options)))
            seconds["run -d"][name].append(_seconds(side.run("-d", *options, program=("sleep", "1000"))))
            side.remove_all()
    return [figure for name, of in seconds.items() for figure in _against(f"{name}, {network}", of, targets.get(name))]


def _against(name: str, seconds: Mapping[str, Sequence[float]], target: float | None) -> list[Figure]:
    found = [Figure(f"{side} {name}, p50", p50(each) * 1000, "ms") for side, each in seconds.items()]
    found.append(Figure(f"shoal {name}, p99", p99(seconds["shoal"]) * 1000, "ms"))
    if "docker" in seconds:
        ratio = p50(seconds["shoal"]) / p50(seconds["docker"])
        found.append(Figure(f"{name}, of Docker's time", ratio, "", at_most=target))
    return found


def _together(sides: Mapping[str, Side]) -> list[Figure]:
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS_AT_ONCE):
        for name, side in sides.items():
            seconds[name].append(_at_once(side.run("-d", program=("sleep", "1000"))))
            side.remove_all()
    return _against(f"run -d, {AT_ONCE} at once", seconds, None)


def files() -> list[Figure]:
    """A gigabyte of log and of a file, there and back."""
    with cluster(hosts=1) as bed, tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        bed.shoal("load", "--quiet", "--input", str(ARCHIVE))
        side, file = _ours(bed), Path(directory, "file")
        _write_random(file)
        write = f"yes {LINE} | head -c {GIGABYTE}"
        bed.shoal("run", "-d", "--name", "box", IMAGE, "sleep", "1000")
        bed.shoal("run", "-d", "--name", "log", "--log-opt", "max-size=2g", IMAGE, "sh", "-c", write)
        bed.shoal("wait", "log")
        commands = {
            "logs of 1 GB": ["logs", "log"],
            "cp of 1 GB into a container": ["cp", str(file), "box:/file"],
            "cp of 1 GB out of a container": ["cp", "box:/file", str(Path(directory, "copy"))],
        }
        return [
            Figure(name, GIGABYTE / 1e6 / _seconds([*side.command, *words]), "MB/s", at_least=150)
            for name, words in commands.items()
        ]


def _write_random(path: Path) -> None:
    piece = os.urandom(10_000_000)
    with path.open("wb") as file:
        for _ in range(GIGABYTE // len(piece)):
            file.write(piece)


def listings() -> list[Figure]:
    """`ps` of many containers that run."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as directory:
        return asyncio.run(_listings(Path(directory)))


async def _listings(directory: Path) -> list[Figure]:
    async with simulated_cluster(directory, NODES) as (many, _):
        many.start_agents()
        await many.until(lambda: many.counts().connected == NODES, "all nodes connected", 60)
        config = _context(directory, many)
        begin = time.perf_counter()
        await asyncio.to_thread(_make_many, config)
        rate = MANY / (time.perf_counter() - begin)
        seconds = await asyncio.to_thread(_list_all, config)
    return [
        Figure(f"ps of {MANY:,} containers, p50", p50(seconds), "s", at_most=0.3, scope="control plane"),
        Figure("containers created and started", rate, "a second", scope="control plane"),
    ]


def _context(directory: Path, many: SimulatedCluster) -> Path:
    config = directory / "config"
    contexts = ContextStore(config)
    contexts.create("bench", Identity.load(many.manager.state / "admin"), [many.manager.api])
    contexts.use("bench")
    return config


def _list_all(config: Path) -> list[float]:
    environment, seconds = {**os.environ, "SHOAL_CONFIG": str(config)}, []
    for _ in range(LISTINGS):
        begin = time.perf_counter()
        done = subprocess.run([SHOAL, "ps"], env=environment, check=True, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begin)
        assert len(done.stdout.splitlines()) == MANY + 1
    return seconds


def _make_many(config: Path) -> None:
    definition = ContainerDefinition()
    definition.task.container.image = "registry:5000/hello:1"
    with Client(ContextStore(config).resolve(None, {})) as client, ThreadPoolExecutor(CALLS_AT_ONCE) as threads:
        stub = ContainersStub(client.channel)

        def make(number: int) -> None:
            request = CreateContainerRequest(name=f"c{number}", definition=definition, no_resolve_image=True)
            stub.CreateContainer(request, timeout=60)
            stub.StartContainer(StartContainerRequest(container=f"c{number}"), timeout=60)

        list(threads.map(make, range(MANY)))


def _ours(bed: Bed) -> Side:
    return Side(("env", f"SHOAL_CONFIG={bed.config}", str(SHOAL)), IMAGE)


def _docker(other: Swarm) -> Side:
    return Side((str(DOCKER), "--host", f"unix://{other.socket}"), DOCKER_IMAGE)


def _seconds(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def _at_once(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(AT_ONCE)]
    for process in running:
        assert process.wait() == 0
    return time.perf_counter() - begin


PARTS: Mapping[str, Callable[[], list[Figure]]] = {"run": runs, "files": files, "ps": listings}


def main() -> None:
    """Measure what is named, all by default, and print."""
    names = sys.argv[1:] or list(PARTS)
    print(table([figure for name in names for figure in PARTS[name]()]))


if __name__ == "__main__":
    main()
