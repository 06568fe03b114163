"""Archives on their way to who builds."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from agent.build.program.agent_connection import AgentConnection
from shoal.api.v1.builds_pb2 import BuildOutput

MIN_PIECE = 256 << 10


async def send_pieces(
    connection: AgentConnection, pieces: AsyncGenerator[bytes], as_output: Callable[[bytes], BuildOutput]
) -> None:
    """Small pieces in larger messages. Raises what the pieces raise."""
    buffer = bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            buffer += piece
            if len(buffer) >= MIN_PIECE:
                await connection.output(as_output(bytes(buffer)))
                buffer.clear()
    if buffer:
        await connection.output(as_output(bytes(buffer)))
