"""A process of the agent that starts two containers, prints their IDs, and waits for its SIGKILL."""

import asyncio
import sys
from pathlib import Path

from agent.worker.interfaces import Image, ImageConfig
from tests.fakes.containers import Ends, open_test_runtime, shell

LIVES = "trap 'exit 6' TERM; i=0; while :; do echo line-$i; i=$((i+1)); sleep 0.02; done"


async def main(directory: Path, cgroup: str) -> None:
    image = Image("busybox:test", "sha256:0", ImageConfig(), (directory / "layer",))
    async with open_test_runtime(directory, Ends(), cgroup) as runtime:
        lives, ends = shell(image, LIVES), shell(image, "sleep 0.3; exit 5")
        running = await runtime.start(lives)
        await runtime.start(ends)
        print(lives.task_id, ends.task_id, running.pid, flush=True)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
