"""The agent's side of a build program: what is left of one in the event loop."""

import asyncio
import socket

from agent.build.build_process import BuildProcess
from agent.build.frames import INPUT


def test_a_program_that_is_killed_with_data_on_its_way_leaves_nothing_in_the_event_loop() -> None:
    async def scenario() -> None:
        process = BuildProcess()
        await process.open()
        number = process._control.fileno()
        sending = asyncio.create_task(process.send(INPUT, bytes(8 << 20)))
        await asyncio.sleep(0)
        await process.end()
        await sending
        first, second = socket.socketpair()
        opened = [first, second]
        while number not in (first.fileno(), second.fileno()):  # the next ones have the numbers that are free
            first, second = socket.socketpair()
            opened += [first, second]
        if second.fileno() == number:
            first, second = second, first
        reader, writer = await asyncio.open_unix_connection(sock=first)
        second.send(b"read")
        async with asyncio.timeout(60):
            assert await reader.readexactly(4) == b"read"
        writer.close()
        for each in opened:
            each.close()

    asyncio.run(scenario())


def test_a_program_that_was_never_connected_ends() -> None:
    async def scenario() -> None:
        process = BuildProcess()
        await process.end()
        assert not process.is_running

    asyncio.run(scenario())
