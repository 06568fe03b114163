"""A node whose certificate is in the wrong hands: it floods its manager, or claims to be another node."""

import asyncio
import contextlib
import threading

from grpc import aio

from shoal.api.v1.dispatcher_pb2 import AgentMessage, Heartbeat
from shoal.api.v1.node_pb2 import NetworkCondition, NodeDescription
from shoal.rpc.channel import connect_aio
from shoal.rpc.join import JoinedIdentity, join
from tests.hostile.nodes.node_rig import HostileNode

NAME = "evil"
_ADDRESS = "192.0.2.66"


class HostileAgent:
    """Joins once; misbehaves in a thread of its own while it is told to.

    Args:
        joining: host:port where nodes join.
        apis: host:port of managers.
        victim: the hostname that it claims.
    """

    def __init__(self, joining: str, token: str, apis: list[str], victim: str) -> None:
        self._joined: JoinedIdentity = asyncio.run(join(joining, token, NAME))
        self._apis = apis
        self._victim = victim

    def misbehave(self, how: str, stopping: threading.Event) -> None:
        """Until the event is set. `how`: "flood" or "claims"."""
        asyncio.run(self._run(how, stopping))

    async def _run(self, how: str, stopping: threading.Event) -> None:
        async with connect_aio(self._apis, self._joined.identity) as channel:
            node = HostileNode(self._joined, channel, NAME, _ADDRESS)
            number = 0
            while not stopping.is_set():
                with contextlib.suppress(aio.AioRpcError, aio.UsageError, asyncio.InvalidStateError, TimeoutError):
                    async with asyncio.timeout(5.0), node.session(_description(node)) as stream:
                        while not stopping.is_set():
                            number += 1
                            await stream.write(self._message(node, how, number))
                            if not number % 50:
                                await asyncio.sleep(0.01)
                await asyncio.sleep(0.2)

    def _message(self, node: HostileNode, how: str, number: int) -> AgentMessage:
        if how == "claims":
            about = _description(node)
            about.hostname = self._victim
            return AgentMessage(description=about)
        if number % 2:
            return AgentMessage(heartbeat=Heartbeat())
        return AgentMessage(network=NetworkCondition(problems=[f"{number} {'x' * 400}"] * 20))


def _description(node: HostileNode) -> NodeDescription:
    """Of a platform for which no image exists, so that it gets no task."""
    about = node.description()
    about.platform.architecture = "s390x"
    return about
