"""The build program: `main` with two sockets, the agent's process, and nothing else.

It is started by the agent (`agent.build.build_process`), and says so by what it sends.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence

from agent.build.program.isolation import enter_namespaces, hide

_UMASK = 0o022
_IDLE_SECONDS = 0.1
"""After which modules are loaded that most builds need only at their end."""


def main(arguments: Sequence[str]) -> None:
    """Serve one build on inherited sockets, given by their descriptors."""
    control, descriptors, parent = map(int, arguments)
    os.umask(_UMASK)
    enter_namespaces(parent)
    code = 1
    try:
        asyncio.run(_run(socket.socket(fileno=control), socket.socket(fileno=descriptors)))
        code = 0
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(code)  # skips Python's slow shutdown


async def _run(control: socket.socket, descriptors: socket.socket) -> None:
    from agent.build.program.agent_connection import AgentConnection
    from agent.build.program.session import run_session

    connection = await AgentConnection.open(control, descriptors)
    waiting = asyncio.create_task(connection.settings())
    await asyncio.wait([waiting], timeout=_IDLE_SECONDS)
    if not waiting.done():  # it was started before it is needed
        from agent.build.program.publication.repository_upload import load_connections

        await load_connections()
    settings = await waiting
    hide(settings.hidden_mount)
    await run_session(connection, settings)
