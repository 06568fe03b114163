"""The host as managers are told of it: what stays as it is, the devices and the drivers that come and go,
and its tunnels' keys.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from agent.csi.drivers import Drivers
from agent.device_names import DeviceNames
from agent.network.encryption.keeper import Keeper
from shoal.api.v1.node_pb2 import NodeDescription


class HostDescription:
    """Made anew whenever it is asked for."""

    def __init__(self, fixed: NodeDescription, devices: DeviceNames, drivers: Drivers, encryption: Keeper) -> None:
        self._fixed = fixed
        self._devices = devices
        self._drivers = drivers
        self._encryption = encryption

    def now(self) -> NodeDescription:
        """As it is."""
        whole = NodeDescription()
        whole.CopyFrom(self._fixed)
        if self._devices.current is not None:
            whole.devices.CopyFrom(self._devices.current)
        whole.csi_drivers.extend(self._drivers.described())
        whole.overlay_keys.extend(self._encryption.current)
        return whole

    async def reports(self) -> AsyncGenerator[NodeDescription]:
        """As it is now, and again whenever a device or a driver has come, gone or changed, or keys have."""
        async with (
            aclosing(self._devices.changes()) as devices,
            aclosing(self._drivers.changes()) as drivers,
            aclosing(self._encryption.changes()) as keys,
            aclosing(whenever(devices, drivers, keys)) as changes,
        ):
            async for _ in changes:
                yield self.now()


async def whenever(*sources: AsyncGenerator[object]) -> AsyncGenerator[None]:
    """Once for each thing that one of these yields, or for several at once."""
    waiting = {asyncio.ensure_future(anext(source)): source for source in sources}
    try:
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                source = waiting.pop(each)
                each.result()
                waiting[asyncio.ensure_future(anext(source))] = source
            yield
    finally:
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
