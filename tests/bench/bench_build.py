"""Images from Dockerfiles: `shoal build` on a playground, beside `docker build` with BuildKit, in alternating rounds.

    python -m tests.bench.bench_build [small] [context] [copy] [elsewhere] [export]

The Docker daemon is Debian's `docker.io`, where it is installed, with the BuildKit that is in it. Both have the same
base image, and both are measured from the start of the command to its end.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rig.bed import ARCHIVE, IMAGE, Bed, cluster
from tests.bench.rig.figures import Figure, p50, table
from tests.bench.rig.swarm import DOCKER, Swarm, installed, swarm
from tests.bench.rig.swarm import IMAGE as DOCKER_IMAGE

ROUNDS = 9
LARGE_ROUNDS = 3
FILES, PER_DIRECTORY = 20_000, 100
SMALL_BYTES, LARGE_BYTES = 1_000, 50_000
"""Of a file: 20 MB in 20,000 files, and 1 GB."""
LAYER_COPIES = round(1e9 / Path("/bin/busybox").stat().st_size)
"""Of a program, which compresses as programs do: a gigabyte."""
UNCACHED, CACHED, ONE_FILE = 0.6, 1.0, 0.5
"""What of Docker's time is to be reached."""
SAMPLE_SECONDS = 0.02
_PROGRAM = b"agent.build.program.main"

EIGHT = """\
FROM {base}
ARG N
ENV A=1
RUN echo $N > /n
RUN mkdir -p /srv/app && echo 1 > /srv/app/one
COPY f /srv/app/
RUN cat /srv/app/f > /srv/app/two
RUN chmod -R go-w /srv/app
RUN echo done > /done
"""
COPY_ALL = "FROM {base}\nCOPY . /files/\n"
COPY_SOME = "FROM {base}\nCOPY d0 /d\nCOPY changed /\n"
LARGE_LAYER = "FROM {base}\nARG N\nRUN for i in $(seq {copies}); do cat /bin/busybox; done > /large; echo $N > /n\n"


@dataclass(frozen=True)
class Side:
    """One builder. Attributes: build: a context's directory and further flags, to the end of the command."""

    base: str
    build: Callable[..., None]

    def seconds(self, context: Path, *flags: str) -> float:
        """How long one build takes."""
        begin = time.perf_counter()
        self.build(context, *flags)
        return time.perf_counter() - begin


Sides = Mapping[str, Side]
_Seconds = dict[str, list[float]]


@contextmanager
def sides() -> Generator[tuple[Sides, Bed]]:
    """A cluster of two hosts, and Docker where it is installed."""
    with ExitStack() as stack:
        other = stack.enter_context(swarm(ARCHIVE)) if installed() else None
        bed = stack.enter_context(cluster(hosts=2))
        found = {"shoal": Side(IMAGE, lambda context, *flags: _shoal(bed, context, *flags))}
        if other is not None:
            found["docker"] = Side(DOCKER_IMAGE, lambda context, *flags: _docker(other, context, *flags))
        yield found, bed


def _shoal(bed: Bed, context: Path, *flags: str) -> None:
    node = () if "--node" in flags else ("--node", "h1")
    bed.shoal("build", "--quiet", "--tag", "bench:1", *node, *flags, str(context))


def _docker(other: Swarm, context: Path, *flags: str) -> None:
    command = [str(DOCKER), "--host", f"unix://{other.socket}", "build", "-q", "-t", "bench:1", *flags, str(context)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "DOCKER_BUILDKIT": "1"})


def measure() -> list[Figure]:
    """All figures of this file."""
    return _figures(list(PARTS))


def _figures(names: Sequence[str]) -> list[Figure]:
    """Of the parts named; one that fails is told of, and the others are measured."""
    figures: list[Figure] = []
    with sides() as (found, bed):
        for name in names:
            begin = time.monotonic()
            try:
                figures += PARTS[name](found, bed)
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                output = getattr(error, "stderr", None) or b""
                print(f"build, {name}: {error} {output.decode()[-500:]}", file=sys.stderr, flush=True)
            print(f"build, {name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return figures


def small(found: Sides, bed: Bed) -> list[Figure]:
    """Eight instructions, of which five are RUN: nothing is in the cache, then all of it."""
    del bed
    uncached: dict[str, list[float]] = {name: [] for name in found}
    cached: dict[str, list[float]] = {name: [] for name in found}
    with _contexts(found, EIGHT, {"f": b"f"}) as contexts:
        for number in range(-1, ROUNDS):
            for name, side in found.items():
                argument = ("--build-arg", f"N={number}")
                first, second = (side.seconds(contexts[name], *argument) for _ in range(2))
                if number >= 0:  # the first one is for whatever is loaded once
                    uncached[name].append(first)
                    cached[name].append(second)
    return [
        *_against("8 instructions, nothing cached", uncached, UNCACHED),
        *_against("8 instructions, all cached", cached, CACHED),
    ]


def context(found: Sides, bed: Bed) -> list[Figure]:
    """A gigabyte in 20,000 files, all of which are copied: for the first time, and after one of them was changed.

    Then the same where only 101 of them are copied: BuildKit looks at no others.
    """
    del bed
    with _contexts(found, COPY_ALL, _many(LARGE_BYTES)) as contexts:
        time.sleep(2.5)  # what was written just now is not believed to be at rest
        first, changed = _changes(found, contexts)
        for name, side in found.items():
            (contexts[name] / "Dockerfile").write_text(COPY_SOME.replace("{base}", side.base))
        _, some = _changes(found, contexts)
    return [
        *_against("1 GB in 20,000 files, all copied, first time", first, None),
        *_against("1 GB in 20,000 files, all copied, one changed", changed, ONE_FILE),
        *_against("1 GB in 20,000 files, 101 copied, one changed", some, None),
    ]


def _changes(found: Sides, contexts: Mapping[str, Path]) -> tuple[_Seconds, _Seconds]:
    """Seconds of builds as the contexts are, and after each of some changes of one file."""
    first = {name: [side.seconds(contexts[name])] for name, side in found.items()}
    changed: _Seconds = {name: [] for name in found}
    for number in range(LARGE_ROUNDS):
        for name, side in found.items():
            (contexts[name] / "changed").write_text(f"{number} {time.time_ns()}")
            changed[name].append(side.seconds(contexts[name]))
    return first, changed


def copy(found: Sides, bed: Bed) -> list[Figure]:
    """COPY of 20,000 small files, none of which was there before."""
    del bed
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(LARGE_ROUNDS):
        for name, side in found.items():
            with _contexts({name: side}, COPY_ALL, _many(SMALL_BYTES)) as contexts:
                seconds[name].append(side.seconds(contexts[name]))
    figures = _against("COPY of 20,000 small files, with their transfer", seconds, None)
    return [*figures, Figure("shoal: … files a second", FILES / p50(seconds["shoal"]), "/s")]


def elsewhere(found: Sides, bed: Bed) -> list[Figure]:
    """A node that has built nothing finds all in the image repository's cache."""
    side, seconds, again = found["shoal"], [], []
    for number in range(LARGE_ROUNDS):
        with _contexts({"shoal": side}, EIGHT, {"f": b"elsewhere"}) as contexts:
            argument = ("--build-arg", f"N=elsewhere-{number}-{time.time_ns()}")
            side.build(contexts["shoal"], *argument)
            time.sleep(5)  # the cache is written behind the build
            seconds.append(side.seconds(contexts["shoal"], *argument, "--node", "h2"))
            bed.shoal("build", "prune", "--all", "--force")
            again.append(side.seconds(contexts["shoal"], *argument))
    return [
        Figure(
            "shoal: 8 instructions on a node that has none, all in the registry's cache, p50", p50(seconds) * 1000, "ms"
        ),
        Figure("shoal: … on the node that built them, after a prune, p50", p50(again) * 1000, "ms"),
    ]


def export(found: Sides, bed: Bed) -> list[Figure]:
    """A layer of a gigabyte: written by RUN, hashed, compressed and put into the registry; memory of the program."""
    del bed
    seconds: dict[str, list[float]] = {name: [] for name in found}
    peak = 0.0
    with _contexts(found, LARGE_LAYER.replace("{copies}", str(LAYER_COPIES)), {}) as contexts:
        for number in range(LARGE_ROUNDS):
            for name, side in found.items():
                with _peaks() as sampled:
                    seconds[name].append(side.seconds(contexts[name], "--build-arg", f"N={time.time_ns()}-{number}"))
                peak = max([peak, *sampled]) if name == "shoal" else peak
    size = LAYER_COPIES * Path("/bin/busybox").stat().st_size / 1e6
    rate = Figure("shoal: … megabytes a second, with the command", size / p50(seconds["shoal"]), "MB/s")
    figures = _against(f"a layer of {size / 1000:.1f} GB, RUN to registry", seconds, None)
    return [*figures, rate, Figure("shoal: … build program, peak RSS", peak, "MB")]


@contextmanager
def _contexts(found: Sides, dockerfile: str, files: Mapping[str, bytes]) -> Generator[Mapping[str, Path]]:
    """A directory for each side with the same files."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-build-") as made:
        contexts = {name: Path(made) / name for name in found}
        for name, directory in contexts.items():
            directory.mkdir()
            (directory / "Dockerfile").write_text(dockerfile.replace("{base}", found[name].base))
            for path, content in files.items():
                (directory / path).parent.mkdir(exist_ok=True)
                (directory / path).write_bytes(content)
        yield contexts


def _many(size: int) -> Mapping[str, bytes]:
    """So many files of a size, which nothing has seen before, in directories."""
    seed, head = os.urandom(size - 32), os.urandom(16).hex()
    names = (f"d{number // PER_DIRECTORY}/f{number}" for number in range(FILES - 1))
    return {"changed": b"0", **{name: f"{head}{number:08x}".encode()[-32:] + seed for number, name in enumerate(names)}}


@contextmanager
def _peaks() -> Generator[list[float]]:
    """Peaks of the resident memory of build programs, in megabytes, while something goes on."""
    found: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            found.extend(_peak(each) for each in Path("/proc").glob("[0-9]*"))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _peak(process: Path) -> float:
    try:
        if _PROGRAM not in (process / "cmdline").read_bytes():
            return 0.0
        status = (process / "status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def _against(name: str, seconds: Mapping[str, Sequence[float]], aim: float | None) -> list[Figure]:
    figures = [Figure(f"{side}: {name}, p50", p50(each) * 1000, "ms") for side, each in seconds.items()]
    if "docker" in seconds:
        ratio = p50(seconds["shoal"]) / p50(seconds["docker"])
        figures.append(Figure(f"{name}, of Docker's time", ratio, "", at_most=aim))
    return figures


PARTS: Mapping[str, Callable[[Sides, Bed], list[Figure]]] = {
    "small": small,
    "context": context,
    "copy": copy,
    "elsewhere": elsewhere,
    "export": export,
}


def main() -> None:
    """Measure what is named, all by default, and print."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := [each for each in names if each not in PARTS]:
        sys.exit(f"{', '.join(unknown)}: unknown; available: {', '.join(PARTS)}")
    print(table(_figures(names)))


if __name__ == "__main__":
    main()
