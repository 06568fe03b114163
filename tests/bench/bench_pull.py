"""How long images take to pull from a registry on this machine. Run: python -m tests.bench.bench_pull

A small image in a process that has pulled nothing yet is what the first start on a node waits for. The others are
pulled several times by one process: the median, and for throughput the bytes of the uncompressed layer. They go into
new stores, each with a program that unpacks which has to start, as on a node that has pulled nothing for a minute; and
small ones into one store, too.
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

from agent.images.image_store import ImageStore
from cli.images.pack import PackedLayer, write_archive
from cli.images.push import push
from shoal.distribution.digests import digest_of
from shoal.distribution.registries import Registries
from shoal.tree_removal import delete_trees
from tests.bench.rig.figures import Figure, table
from tests.integration.images.rig import AMD64, Entry, directory, entry, image_of, layer_of, tar_of
from tests.integration.registry_fixture import running_registry

ROUNDS, LARGE_ROUNDS = 7, 3
FILES, FILE_BYTES = 5_000, 1500
LARGE_BYTES, LARGE_FILES = 200 << 20, 20


def small_layers() -> Sequence[PackedLayer]:
    """Two layers of a few files."""
    lower = layer_of(directory("bin"), *(entry(f"bin/{number}", os.urandom(3000), mode=0o755) for number in range(30)))
    return [lower, layer_of(entry("etc/app.conf", b"setting = 1\n"), entry("app", os.urandom(50_000)))]


def many_files() -> Sequence[PackedLayer]:
    """As the packages of a distribution: small files in many directories."""

    def entries() -> Iterator[Entry]:
        for place in range(FILES):
            if place % 20 == 0:
                yield directory(f"usr/share/{place // 20}")
            yield entry(f"usr/share/{place // 20}/file-{place}", os.urandom(FILE_BYTES // 3) * 3)

    return [layer_of(*entries())]


def large_files() -> Sequence[PackedLayer]:
    """Half of it compresses well."""
    half = LARGE_BYTES // LARGE_FILES // 2
    content = tar_of(entry(f"large-{place}", os.urandom(half) + bytes(half)) for place in range(LARGE_FILES))
    return [PackedLayer(gzip.compress(content, 1, mtime=0), digest_of(content))]


async def pulls(references: Sequence[str], directory_path: Path) -> list[float]:
    """Seconds of each pull into one store."""
    seconds = []
    store = ImageStore(directory_path, Registries(), AMD64, reserve_bytes=0)
    for reference in references:
        begin = time.perf_counter()
        await store.ensure(reference, lambda _: None)
        seconds.append(time.perf_counter() - begin)
    await store.aclose()
    delete_trees(directory_path)
    return seconds


async def into_new_stores(reference: str, scratch: Path, rounds: int) -> float:
    """Median seconds."""
    return statistics.median([(await pulls([reference], scratch / "store"))[0] for _ in range(rounds)])


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

        async def pushed(name: str, make: Callable[[], Sequence[PackedLayer]]) -> str:
            archive = scratch / f"{name}.tar"
            write_archive(archive, [image_of(*make())], tag="1")
            reference = f"127.0.0.1:{server.port}/{name}:1"
            await push(archive, reference, Registries(), lambda _: None)
            return reference

        small = [await pushed(f"small{number}", small_layers) for number in range(ROUNDS + 1)]
        many, large = await pushed("many", many_files), await pushed("large", large_files)
        firsts = [await asyncio.to_thread(first_pull, small[0], scratch) for _ in range(ROUNDS)]
        # The first of these loads the client.
        others = (await pulls(small, scratch / "store"))[1:]
        again = await into_new_stores(small[0], scratch, ROUNDS)
        of_many = await into_new_stores(many, scratch, LARGE_ROUNDS)
        of_large = await into_new_stores(large, scratch, LARGE_ROUNDS)
        return [
            Figure("pull of a small image, the first of a process", statistics.median(firsts) * 1e3, "ms"),
            Figure("pull of a small image, after a minute of quiet", again * 1e3, "ms"),
            Figure("pull of a small image, right after another", statistics.median(others) * 1e3, "ms"),
            Figure(f"pull of {FILES:,} small files", of_many * 1e3, "ms"),
            Figure("pull of large files", LARGE_BYTES / 1e6 / of_large, "MB/s"),
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
