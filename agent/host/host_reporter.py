"""The node description that is reported to managers: a fixed part, devices, CSI drivers and overlay keys."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from agent.csi.driver_registry import DriverRegistry
from agent.host.device_scanner import DeviceScanner
from agent.network.encryption.key_rollover import KeyRollover
from shoal.api.v1.node_pb2 import NodeDescription


class OwnCertificate(Protocol):
    """The node's certificate of the cluster."""

    @property
    def expires_at_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def changes(self) -> AsyncGenerator[None]:
        """Yields once immediately, then after each renewal."""
        ...


class HostReporter:
    """Assembles the node description on each call."""

    def __init__(
        self,
        fixed: NodeDescription,
        devices: DeviceScanner,
        drivers: DriverRegistry,
        encryption: KeyRollover,
        certificate: OwnCertificate,
    ) -> None:
        self._certificate = certificate
        self._fixed = fixed
        self._devices = devices
        self._drivers = drivers
        self._encryption = encryption

    def current(self) -> NodeDescription:
        """The current description."""
        whole = NodeDescription()
        whole.CopyFrom(self._fixed)
        if self._devices.current is not None:
            whole.devices.CopyFrom(self._devices.current)
        whole.csi_drivers.extend(self._drivers.descriptions())
        whole.overlay_keys.extend(self._encryption.public_keys)
        whole.certificate_expires_at_ms = self._certificate.expires_at_ms
        return whole

    async def reports(self) -> AsyncGenerator[NodeDescription]:
        """The current description, and a new one after each change of devices, drivers, keys or certificate."""
        async with (
            aclosing(self._devices.changes()) as devices,
            aclosing(self._drivers.changes()) as drivers,
            aclosing(self._encryption.changes()) as keys,
            aclosing(self._certificate.changes()) as certificates,
            aclosing(any_of(devices, drivers, keys, certificates)) as changes,
        ):
            async for _ in changes:
                yield self.current()


async def any_of(*sources: AsyncGenerator[object]) -> AsyncGenerator[None]:
    """Merges the sources: yields whenever one or more of them do."""
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
