"""A layer unpacked as an agent does it, by an agent's process of its own, and what that took.

`python -m tests.hostile.layers.attempt BLOB DIFF_ID STORE` prints an `Attempt`: a program of its own, since the kernel
reports the largest child of a process over its whole life only.
"""

import asyncio
import json
import resource
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.images.content_store import ContentStore
from agent.images.unpacker import Unpacker
from shoal.errors import ShoalError

ANY = "sha256:" + "0" * 64
_SECONDS = 150.0


@dataclass(frozen=True)
class Attempt:
    """How it went.

    Attributes:
        error, text: the error and what it says; empty where the layer is in its place.
        agent_growth, memory: bytes by which the agent's own process grew, and that the largest of its children had.
        processor_seconds: of all its children.
        left: what is left where nothing may be.
    """

    error: str
    text: str
    agent_growth: int
    memory: int
    processor_seconds: float
    left: list[str]


def attempt(blob: bytes, scratch: Path, diff_id: str = ANY) -> Attempt:
    """Unpack a layer."""
    path = scratch / "layer.blob"
    path.write_bytes(blob)
    command = [sys.executable, "-m", "tests.hostile.layers.attempt", str(path), diff_id, str(scratch / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return Attempt(**json.loads(done.stdout))


async def _attempt(blob: Path, diff_id: str, store: Path) -> Attempt:
    content = ContentStore(store)
    content.open()
    unpacker = Unpacker(content, reserve_bytes=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    copy = Path(shutil.copy(blob, content.partial("registry.example", diff_id, diff_id)))
    error = text = ""
    try:
        await unpacker.unpack(copy, diff_id)
    except ShoalError as found:
        error, text = type(found).__name__, str(found)
    await unpacker.aclose()
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    left = [str(path) for path in content.temporary.iterdir()]
    seconds = children.ru_utime + children.ru_stime
    return Attempt(error, text, growth << 10, children.ru_maxrss << 10, seconds, left)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_attempt(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))))))
