"""Reads the message with which an agent begins its session."""

import asyncio
from collections.abc import AsyncIterator

from shoal.api.v1.dispatcher_pb2 import AgentMessage, Hello
from shoal.errors import InvalidInput, Timeout

HELLO_SECONDS = 30.0
"""A session that has sent nothing by then ends. Agents send Hello at once; a busy manager may read it late."""


async def read_hello(requests: AsyncIterator[AgentMessage]) -> Hello:
    """The first message of a session. Raises Timeout, InvalidInput: it does not come, or is another one."""
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            async for message in requests:
                if message.WhichOneof("kind") == "hello":
                    return message.hello
                break
    except TimeoutError:
        raise Timeout(f"no Hello received within {HELLO_SECONDS:g} s") from None
    raise InvalidInput("the first message of a session must be Hello")
