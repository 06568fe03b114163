"""The networks of running containers, for others to join and for changes."""

import asyncio
import os
from collections.abc import Callable, Collection

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.live import hosts_file
from agent.runtime.network_join import join_network, open_namespace
from agent.worker.sandbox import Sandbox


class NetworkAccess:
    """Args: find_running: the record of a running container, by its task's id; raises NotFound."""

    def __init__(self, paths: ContainerPaths, find_running: Callable[[str], ContainerRecord]) -> None:
        self._paths = paths
        self._find_running = find_running

    async def join(self, task_id: str) -> Sandbox:
        """As `Runtime.join_network`."""
        joining = asyncio.ensure_future(asyncio.to_thread(join_network, self._paths, self._find_running(task_id)))
        try:
            return await asyncio.shield(joining)
        except asyncio.CancelledError:
            await asyncio.wait([joining])
            if joining.exception() is None:  # nobody else has its descriptor
                os.close(joining.result().netns_fd)
            raise

    async def open(self, task_id: str) -> int:
        """As `Runtime.open_network`."""
        return open_namespace(self._find_running(task_id), "net")

    async def set_addresses(self, task_id: str, addresses: Collection[str]) -> None:
        """As `Runtime.set_addresses`."""
        await asyncio.to_thread(hosts_file.set_addresses, self._paths, self._find_running(task_id), addresses)
