"""Users' programs in one container, and users attached to it, as many as they can start: what is left for others.

Bounds: 64 programs and 256 attached users for a container; another container of the node takes both then.
"""

import asyncio
from pathlib import Path

import pytest

from agent.runtime.exec.attach_session import MAX_SESSIONS_PER_CONTAINER
from agent.runtime.exec.exec_starter import MAX_EXECS_PER_CONTAINER
from shoal.api.v1.streams_pb2 import ExecStart
from shoal.errors import Exhausted
from tests.fakes.containers import build_image, container_request, real_runtime


def test_one_container_does_not_take_all_sessions_of_its_node(tmp_path: Path) -> None:
    async def body() -> None:
        async with real_runtime(tmp_path) as (runtime, _):
            image = build_image(tmp_path)
            crowded, quiet = (container_request(image, "/bin/sleep", "1000") for _ in range(2))
            for request in (crowded, quiet):
                await runtime.start(request)

            start = ExecStart(task=crowded.task_id, args=["/bin/cat"], stdin=True)
            programs = await asyncio.gather(*(runtime.start_exec(start) for _ in range(MAX_EXECS_PER_CONTAINER)))
            with pytest.raises(Exhausted, match=r"too many exec sessions in this container \(64\)"):
                await runtime.start_exec(start)
            programs.append(await runtime.start_exec(ExecStart(task=quiet.task_id, args=["/bin/cat"], stdin=True)))

            watchers = [runtime.attach(crowded.task_id) for _ in range(MAX_SESSIONS_PER_CONTAINER)]
            with pytest.raises(Exhausted, match=r"too many attach sessions in this container \(256\)"):
                runtime.attach(crowded.task_id)
            watchers.append(runtime.attach(quiet.task_id))

            await watchers.pop(0).close()
            watchers.append(runtime.attach(crowded.task_id))
            for watcher in watchers:
                await watcher.close()
            for program in programs:
                assert program is not None
                program.close_input()
            await asyncio.gather(*(program.exit_code() for program in programs if program))
            after = await runtime.start_exec(start)
            assert after is not None
            await after.close()

    asyncio.run(body())
