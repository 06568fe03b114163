"""Files of containers and archives of images: `shoal cp` of a gigabyte and of many files, `load` of a gigabyte.

    python -m tests.bench.bench_files

Beside them, in alternating rounds, `docker cp` and `docker load` where Debian's `docker.io` is installed: they go to a
daemon on the same host by a socket, ours by TLS to a manager and on to an agent, and to a registry. Half of the
gigabyte is random, the other half programs and libraries of this machine.
"""

import hashlib
import io
import json
import os
import resource
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.rig.bed import ARCHIVE, SHOAL, Bed, cluster
from tests.bench.rig.figures import Figure, p50, table
from tests.bench.rig.swarm import DOCKER, Swarm, installed, swarm
from tests.bench.rig.swarm import IMAGE as DOCKER_IMAGE

GIGABYTE = 1_000_000_000
PIECE = 10_000_000
SMALL_FILES, SMALL_BYTES = 10_000, 2_000
ROUNDS = 3
WORKS = 5
"""Commands of a round."""

AIM_MB = 150.0


@dataclass(frozen=True)
class Side:
    """A command line with a container `box` that runs.

    Attributes:
        daemons: what the command lines of its daemons have in them.
        processor: seconds of the processor, of the command and of the daemons, for each command.
    """

    command: tuple[str, ...]
    daemons: str
    processor: list[float] = field(default_factory=list)

    def run(self, *words: str) -> float:
        """Seconds from the start of a command to its end."""
        begin, before = time.perf_counter(), self._processor_seconds()
        subprocess.run([*self.command, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processor.append(self._processor_seconds() - before)
        return time.perf_counter() - begin

    def _processor_seconds(self) -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime + sum(map(_processor_seconds, self._pids()))

    def _pids(self) -> list[Path]:
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self.daemons.encode() in each.joinpath("cmdline").read_bytes():
                    found.append(each)
        return found


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """All figures of this file."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-bench-")))
        sides: dict[str, Side] = {}
        if installed():
            sides["docker"] = _docker(stack.enter_context(swarm(ARCHIVE)))
        sides = {"shoal": _ours(stack.enter_context(cluster(hosts=1))), **sides}
        seconds = _seconds(sides, _works(place), rounds)
    found = [figure for name, of in seconds.items() for figure in _figures(name, of)]
    return found + [
        _processor_figure(name, place, each) for place, name in enumerate(seconds) for each in sides.items()
    ]


def _processor_figure(name: str, place: int, side: tuple[str, Side]) -> Figure:
    """Firmer than seconds on a busy machine: two processors take half of them at least."""
    whole = side[1].processor
    return Figure(f"{side[0]} {name}, processor", p50(whole[place::WORKS]), "s")


def _works(place: Path) -> Mapping[str, Callable[[Side, int], float]]:
    """What is measured, by its name. Each round has files of its own: nothing is there already."""
    file, many = place / "file", place / "many"
    _write_mixed(file, 0)
    many.mkdir()
    for number in range(SMALL_FILES):
        (many / f"file-{number}").write_bytes(os.urandom(SMALL_BYTES))

    def load(side: Side, number: int) -> float:
        archive = _image(place, number)
        return side.run("load", "--quiet", "--input", str(archive))

    return {
        "cp of 1 GB into a container": lambda side, number: side.run("cp", str(file), f"box:/in-{number}"),
        "cp of 1 GB out of a container": lambda side, number: side.run("cp", f"box:/in-{number}", str(place / "out")),
        f"cp of {SMALL_FILES:,} files into a container": lambda side, number: side.run(
            "cp", str(many), f"box:/m{number}"
        ),
        f"cp of {SMALL_FILES:,} files out of a container": lambda side, number: side.run(
            "cp", f"box:/m{number}", str(place / f"out-{id(side)}-{number}")
        ),
        "load of 1 GB": load,
    }


def _seconds(
    sides: Mapping[str, Side], works: Mapping[str, Callable[[Side, int], float]], rounds: int
) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {name: {side: [] for side in sides} for name in works}
    for number in range(rounds):
        for name, work in works.items():
            for side, each in sides.items():
                found[name][side].append(work(each, number))
    return found


def _figures(name: str, seconds: Mapping[str, Sequence[float]]) -> list[Figure]:
    """MB/s of a gigabyte, seconds of files; and our time by Docker's."""
    is_rate = "1 GB" in name
    found = [
        Figure(f"{side} {name}", GIGABYTE / 1e6 / p50(each), "MB/s", at_least=AIM_MB if side == "shoal" else None)
        if is_rate
        else Figure(f"{side} {name}", p50(each), "s")
        for side, each in seconds.items()
    ]
    if "docker" in seconds:
        found.append(Figure(f"{name}, of Docker's time", p50(seconds["shoal"]) / p50(seconds["docker"]), ""))
    return found


def _processor_seconds(process: Path) -> float:
    """Of a process so far (proc(5), stat); 0 once it is gone."""
    try:
        fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _write_mixed(path: Path, seed: int) -> None:
    """Half random, half what programs are made of; another file for another seed."""
    sources = [each for each in Path("/usr/lib").rglob("*.so*") if each.is_file() and not each.is_symlink()]
    programs = b"".join(each.read_bytes() for each in sources[:200])[: GIGABYTE // 2]
    with path.open("wb") as file:
        file.write(str(seed).encode())
        while file.tell() < GIGABYTE // 2:
            file.write(programs[: GIGABYTE // 2 - file.tell()])
        while file.tell() < GIGABYTE:
            file.write(os.urandom(PIECE))


def _image(place: Path, number: int) -> Path:
    """What `docker save` writes, of an image of one large layer."""
    archive, layer, content = place / f"image-{number}.tar", place / "layer.tar", place / "content"
    if archive.exists():
        return archive
    _write_mixed(content, number + 1)
    with tarfile.open(layer, "w") as tar:
        tar.add(content, "content")
    with layer.open("rb") as file:
        diff_id = hashlib.file_digest(file, "sha256").hexdigest()
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]}}
    config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]}
    manifest = [{"Config": "config.json", "RepoTags": [f"big:{number}"], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        tar.add(layer, "layer.tar")
        for name, document in (("config.json", config), ("manifest.json", manifest)):
            data = json.dumps(document).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    layer.unlink()
    content.unlink()
    return archive


def _ours(bed: Bed) -> Side:
    bed.shoal("load", "--quiet", "--input", str(ARCHIVE))
    bed.shoal("run", "-d", "--name", "box", "hello:1", "sleep", "10000")
    return Side(("env", f"SHOAL_CONFIG={bed.config}", str(SHOAL)), str(bed.config.parent))


def _docker(other: Swarm) -> Side:
    other.docker("run", "-d", "--name", "box", DOCKER_IMAGE, "sleep", "10000")
    return Side((str(DOCKER), "--host", f"unix://{other.socket}"), str(other.socket.parent))


def main() -> None:
    """Measure and print."""
    print(table(measure()))


if __name__ == "__main__":
    main()
