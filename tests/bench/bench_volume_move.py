"""How fast a volume goes from one agent to another one, beside tar over TCP and `rsync`, over loopback.

    python -m tests.bench.bench_volume_move [--megabytes 1024] [--small 20000] [--directory /var/tmp]

Ours is mutual TLS, on the disk at the end, and read once more on both sides to be verified; tar sends in the clear,
and neither is the others' to compare.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.volume_moves.nodes import Pair

MIB = 1 << 20
FILE_BYTES = 64 * MIB
SMALL_BYTES = 4096


def fill(data: Path, *, megabytes: int, small: int) -> None:
    """Large files, and small ones a hundred to a directory."""
    block = os.urandom(MIB)
    for number in range(max(0, megabytes * MIB // FILE_BYTES)):
        with (data / f"large{number}").open("wb") as file:
            for _ in range(FILE_BYTES // MIB):
                file.write(block)
    for number in range(small):
        directory = data / f"d{number // 100}"
        if number % 100 == 0:
            directory.mkdir()
        (directory / f"f{number}").write_bytes(block[:SMALL_BYTES])
    os.sync()


def timed(what: str, amount: float, run: Callable[[], object]) -> None:
    """Print megabytes a second."""
    begun = time.monotonic()
    run()
    os.sync()
    took = time.monotonic() - begun
    print(f"{what:32} {took:7.2f} s {amount / MIB / took:8.0f} MB/s", flush=True)


async def move(root: Path, data: Path) -> tuple[float, float]:
    """Seconds of copying, and of verifying."""
    pair = Pair(root)
    made = pair.h1.data()
    made.rmdir()
    data.rename(made)
    try:
        async with pair.serving():
            begun = time.monotonic()
            request = await pair.request()
            copied = await pair.fetch(request)
            assert copied
            whole = time.monotonic() - begun
            begun = time.monotonic()
            assert await pair.fetch(request)
            return whole, time.monotonic() - begun
    finally:
        made.rename(data)


def tar_over_tcp(data: Path, target: Path) -> None:
    """As people do it by hand with `tar | nc`."""
    target.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        send = f"tar -cf - -C {data} . > /dev/tcp/127.0.0.1/{port}"
        with subprocess.Popen(["bash", "-c", send]) as sender:
            connection, _ = listener.accept()
            with connection:
                unpack = ["tar", "-xpf", "-", "-C", str(target)]
                subprocess.run(unpack, stdin=connection.fileno(), check=True)
        assert sender.returncode == 0


def compare(root: Path, *, megabytes: int, small: int) -> None:
    """One tree by each way."""
    data = root / "data"
    data.mkdir()
    fill(data, megabytes=megabytes, small=small)
    amount = float(megabytes * MIB + small * SMALL_BYTES)
    print(f"{megabytes} MiB in files of 64 MiB, {small} files of 4 KiB")
    whole, verified = asyncio.run(move(root / "nodes", data))
    print(f"{'move: copy':32} {whole - verified:7.2f} s {amount / MIB / (whole - verified):8.0f} MB/s")
    print(f"{'move: copy and verify':32} {whole:7.2f} s {amount / MIB / whole:8.0f} MB/s")
    timed("tar over TCP, then sync", amount, lambda: tar_over_tcp(data, root / "tar"))
    if shutil.which("rsync"):
        timed(
            "rsync -aHAX, then sync",
            amount,
            lambda: subprocess.run(["rsync", "-aHAX", f"{data}/", str(root / "rsync")], check=True),
        )
    timed("cp -a, then sync", amount, lambda: subprocess.run(["cp", "-a", str(data), str(root / "cp")], check=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--directory", default=tempfile.gettempdir())
    options = parser.parse_args()
    for megabytes, small in ((options.megabytes, 0), (0, options.small)):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            compare(Path(directory), megabytes=megabytes, small=small)


if __name__ == "__main__":
    main()
