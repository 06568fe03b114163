"""Waiting for the output of a container to reach the clients that are attached to it."""

import asyncio

import pytest

from engine.server.output_delivery import STALL_SECONDS, OutputDelivery
from tests.fakes.virtual_time import run_virtual


class Client:
    """A stream whose client needs a second to read the rest of the output, and never ends its input."""

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        pass

    async def end_output(self) -> None:
        await asyncio.sleep(1)

    async def close(self) -> None:
        await asyncio.sleep(60)


def test_it_lasts_until_the_client_has_read_the_output_and_no_longer() -> None:
    async def scenario() -> None:
        delivery, now = OutputDelivery(), asyncio.get_running_loop().time
        begin = now()
        with delivery.under_way("c", Client()) as stream:
            closing = asyncio.create_task(stream.close())
            await delivery.wait("other")
            assert now() == begin
            await delivery.wait("c")
            assert now() - begin == pytest.approx(1)
            closing.cancel()

    run_virtual(scenario())


def test_a_client_that_reads_nothing_is_not_waited_for() -> None:
    async def scenario() -> None:
        delivery, now = OutputDelivery(), asyncio.get_running_loop().time
        begin = now()
        with delivery.under_way("c", Client()) as stream:
            await asyncio.sleep(1)
            await stream.write(b"x")
            await delivery.wait("c")
            assert now() - begin == pytest.approx(1 + STALL_SECONDS)
        await delivery.wait("c")

    run_virtual(scenario())
