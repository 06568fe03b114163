"""The node's network from its start to its end."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agent.network.network_settings import NetworkSettings
from agent.network.node_network import NodeNetwork
from shoal.task_group import TaskGroup


@asynccontextmanager
async def run_node_network(
    *, underlay_address: str, node_id: str, settings: NetworkSettings
) -> AsyncGenerator[NodeNetwork]:
    """The network of this node, with its periodic work in the background. Containers keep their network when it ends.

    Args:
        underlay_address: this host's address, by which other nodes reach it.
        node_id: this node's id, as in peers and endpoints.
    Raises:
        InvalidInput: the address is not this host's.
        Unavailable: the kernel lacks a feature; the text names it.
    """
    network = NodeNetwork(underlay_address=underlay_address, node_id=node_id, settings=settings)
    try:
        await network.start()
        async with TaskGroup() as work:
            background = work.create_task(network.run(), name="network")
            yield network
            background.cancel()
    finally:
        await network.stop()
