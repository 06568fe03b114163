"""What an agent tells of its host's devices: names by which a container can be given some."""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import cast

from agent.csi.driver_registry import DriverRegistry
from agent.host.device_scanner import DeviceScanner, scan_devices
from agent.host.host_reporter import HostReporter
from agent.network.encryption.encrypted_tunnels import EncryptedTunnels
from agent.network.encryption.key_rollover import KeyRollover
from agent.runtime.spec.devices import nodes_at
from shoal.api.v1.node_pb2 import HostDevices, NodeDescription, OverlayKey
from shoal.notifier import Notifier

NULL = os.makedev(1, 3)


class NoTunnels:
    """Nothing is encrypted."""

    keys: Sequence[OverlayKey] = ()

    async def look(self) -> Sequence[str]:
        return ()


def device(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR | 0o600, NULL)
    return path


def paths(root: Path, most: int = 512) -> list[str]:
    found = scan_devices(root, max_names=most)
    assert found is not None
    return list(found.paths)


def test_device_nodes_links_to_them_and_directories_that_have_some(tmp_path: Path) -> None:
    device(tmp_path / "ttyUSB0")
    device(tmp_path / "bus/usb/001/002")
    (tmp_path / "serial/by-id").mkdir(parents=True)
    (tmp_path / "serial/by-id/usb-modem").symlink_to("../../ttyUSB0")
    (tmp_path / "all").symlink_to("bus")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "file").write_text("no device")
    (tmp_path / "empty").mkdir()
    found = paths(tmp_path)
    assert found == [
        *("/dev/all", "/dev/bus", "/dev/ttyUSB0"),
        *("/dev/all/usb", "/dev/bus/usb"),
        *("/dev/all/usb/001", "/dev/bus/usb/001", "/dev/serial/by-id/usb-modem"),
        *("/dev/all/usb/001/002", "/dev/bus/usb/001/002"),
    ]
    # Each is what a container that asks for it gets a device by.
    assert all(nodes_at(tmp_path / path.removeprefix("/dev/"), "/x", "rwm") for path in found)


def test_families_that_every_host_has_are_left_out(tmp_path: Path) -> None:
    for name in (
        "null",
        "tty",
        "tty12",
        "vcsa1",
        "loop3",
        "loop-control",
        "ram0",
        "pts/0",
        "shm/x",
        "char/4:1",
        "ptyp0",
    ):
        device(tmp_path / name)
    device(tmp_path / "ttyS0")
    assert paths(tmp_path) == ["/dev/ttyS0"]


def test_names_with_few_parts_come_first_when_there_are_too_many(tmp_path: Path) -> None:
    for name in ("a/b", "a/c", "z"):
        device(tmp_path / name)
    assert paths(tmp_path, most=2) == ["/dev/a", "/dev/z"]
    assert [scan_devices(tmp_path, max_names=most) for most in (3, 4)] == [
        HostDevices(paths=["/dev/a", "/dev/z", "/dev/a/b"], truncated=True),
        HostDevices(paths=["/dev/a", "/dev/z", "/dev/a/b", "/dev/a/c"]),
    ]


def test_of_a_host_with_too_much_to_look_at_nothing_is_told(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / str(number)).write_text("")
    assert scan_devices(tmp_path, max_entries=9) is None
    assert scan_devices(tmp_path, max_entries=10) == HostDevices()


def test_changes_are_told_once_and_only_changes() -> None:
    async def follow() -> None:
        host = HostDevices(paths=["/dev/kvm"])
        names = DeviceScanner(read=lambda: HostDevices(paths=host.paths), scan_seconds=0)
        await names.scan()
        assert names.current == host
        changes = names.changes()
        await anext(changes)
        waiting = asyncio.ensure_future(anext(changes))
        await names.scan()
        assert not waiting.done()
        host.paths.append("/dev/ttyUSB0")
        running = asyncio.ensure_future(names.run())
        async with asyncio.timeout(60):
            await waiting
        assert names.current == host
        running.cancel()
        await asyncio.wait([running])
        await changes.aclose()

    asyncio.run(follow())


class Certificate:
    """One that expires when a test says."""

    def __init__(self) -> None:
        self.expires_at_ms = 5
        self.renewals = Notifier()

    def changes(self) -> AsyncGenerator[None]:
        return self.renewals.wakeups()


def test_managers_are_told_again_when_a_device_comes_or_the_certificate_is_renewed() -> None:
    async def follow() -> None:
        host = HostDevices()
        names = DeviceScanner(read=lambda: HostDevices(paths=host.paths))
        drivers = DriverRegistry(directory=Path("/nowhere"), configured=(), call_seconds=1)
        reconciler = KeyRollover(tunnels=cast(EncryptedTunnels, NoTunnels()), reconcile=NoTunnels().look)
        certificate = Certificate()
        reported = HostReporter(NodeDescription(hostname="h1"), names, drivers, reconciler, certificate)
        assert not reported.current().HasField("devices")
        await names.scan()
        assert reported.current() == NodeDescription(hostname="h1", devices=HostDevices(), certificate_expires_at_ms=5)
        async with aclosing(reported.reports()) as reports, asyncio.timeout(60):
            await anext(reports)
            host.paths.append("/dev/ttyUSB0")
            await names.scan()
            assert (await anext(reports)).devices == host
            certificate.expires_at_ms = 6
            certificate.renewals.notify()
            assert (await anext(reports)).certificate_expires_at_ms == 6

    asyncio.run(follow())


def test_this_hosts_own() -> None:
    found = scan_devices()
    assert found is not None
    assert all(nodes_at(Path(path), path, "rwm") for path in found.paths)
