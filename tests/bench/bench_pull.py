"""How long images take to pull from a registry on this machine. Run: python -m tests.bench.bench_pull

A small image in a process that has pulled nothing yet is what the first start on a node waits for. The others are
pulled several times into new stores by one process: the median, and for throughput the bytes of the uncompressed layer.
"""

import asyncio
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.images.store import ImageStore
from cli.images.pack import Layer, write_archive
from cli.images.push import push
from shoal.distribution.digests import digest_of
from shoal.distribution.registries import Registries
from shoal.trees import delete_trees
from tests.bench.figures import Figure, table
from tests.integration.images.rig import AMD64, Entry, directory, entry, image_of, layer_of, tar_of
from tests.integration.registry_fixture import running_registry

ROUNDS = 7
FILES, FILE_BYTES = 20_000, 1500
LARGE_BYTES, LARGE_FILES = 200 << 20, 20


def small_layers() -> Sequence[Layer]:
    """Two layers of a few files."""
    lower = layer_of(directory("bin"), *(entry(f"bin/{number}", os.urandom(3000), mode=0o755) for number in range(30)))
    return [lower, layer_of(entry("etc/app.conf", b"setting = 1\n"), entry("app", os.urandom(50_000)))]


def many_files() -> Sequence[Layer]:
    """As the packages of a distribution: small files in many directories."""

    def entries() -> Iterator[Entry]:
        for place in range(FILES):
            if place % 20 == 0:
                yield directory(f"usr/share/{place // 20}")
            yield entry(f"usr/share/{place // 20}/file-{place}", os.urandom(FILE_BYTES // 3) * 3)

    return [layer_of(*entries())]


def large_files() -> Sequence[Layer]:
    """Half of it compresses well."""
    half = LARGE_BYTES // LARGE_FILES // 2
    content = tar_of(entry(f"large-{place}", os.urandom(half) + bytes(half)) for place in range(LARGE_FILES))
    return [Layer(gzip.compress(content, 1, mtime=0), digest_of(content))]


async def pulls(reference: str, scratch: Path, rounds: int = ROUNDS) -> list[float]:
    """Seconds of each pull into a store of its own; the first loads the client and is left out."""
    seconds = []
    for number in range(rounds + 1):
        store = ImageStore(scratch / f"store{number}", Registries(), AMD64, reserve_bytes=0)
        begin = time.perf_counter()
        await store.ensure(reference, lambda _: None)
        seconds.append(time.perf_counter() - begin)
        await store.aclose()
        delete_trees(scratch / f"store{number}")
    return seconds[1:]


def first_pull(reference: str, scratch: Path) -> float:
    """Seconds of a pull by a process that has loaded the store and nothing else."""
    command = [sys.executable, "-m", "tests.bench.bench_pull", reference, str(scratch / "first")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    delete_trees(scratch / "first")
    return float(done.stdout)


async def _first(reference: str, directory_path: Path) -> None:
    store = ImageStore(directory_path, Registries(), AMD64, reserve_bytes=0)
    begin = time.perf_counter()
    await store.ensure(reference, lambda _: None)
    print(time.perf_counter() - begin)
    await store.aclose()


async def _measure(scratch: Path) -> list[Figure]:
    async with running_registry(scratch / "registry") as server:

        async def pushed(name: str, make: Callable[[], Sequence[Layer]]) -> str:
            archive = scratch / f"{name}.tar"
            write_archive(archive, [image_of(*make())], tag="1")
            reference = f"127.0.0.1:{server.port}/{name}:1"
            await push(archive, reference, Registries(), lambda _: None)
            return reference

        small = await pushed("small", small_layers)
        many, large = await pushed("many", many_files), await pushed("large", large_files)
        firsts = [await asyncio.to_thread(first_pull, small, scratch) for _ in range(ROUNDS)]
        median = statistics.median
        return [
            Figure("pull of a small image, the first of a process", median(firsts) * 1e3, "ms"),
            Figure("pull of a small image, median", median(await pulls(small, scratch)) * 1e3, "ms"),
            Figure(f"pull of {FILES:,} small files, median", median(await pulls(many, scratch)) * 1e3, "ms"),
            Figure("pull of large files", LARGE_BYTES / 1e6 / median(await pulls(large, scratch)), "MB/s"),
        ]


def measure() -> list[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory() as scratch:
        return asyncio.run(_measure(Path(scratch)))


def main() -> None:
    """Measure and print; with a reference and a directory, one pull alone."""
    if sys.argv[1:]:
        asyncio.run(_first(sys.argv[1], Path(sys.argv[2])))
    else:
        print(table(measure()))


if __name__ == "__main__":
    main()
