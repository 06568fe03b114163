"""The etcd that this manager runs, as one that other managers' etcds can join."""

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from manager.etcd.client import Etcd
from manager.etcd.layout import PEER_DIRECTORY, EtcdLayout, load_layout, save_layout
from manager.etcd.server import EtcdServer
from shoal.errors import Unavailable
from shoal.rpc import host_port
from shoal.rpc.host_port import HostPort

START_SECONDS = 30.0


@dataclass(frozen=True)
class PeerAddresses:
    """Where other managers' etcds reach this one.

    Attributes:
        advertised: host:port that they are given.
        listening: host:port, an IP address.
    """

    advertised: str
    listening: str


class OwnEtcd:
    """Implements `manager.membership.membership_controller.OwnMember`.

    Args:
        client: of the server.
        name: the manager's id.
        write_certificate: writes the identity of this etcd into a directory, for a host; called before it is needed.
        opened: called when it listens for other members.
    """

    def __init__(
        self,
        *,
        server: EtcdServer,
        client: Etcd,
        name: str,
        addresses: PeerAddresses,
        write_certificate: Callable[[Path, str], None],
        opened: Callable[[], None],
    ) -> None:
        self._server = server
        self._client = client
        self._name = name
        self._addresses = addresses
        self._write_certificate = write_certificate
        self._opened = opened

    @property
    def peer_address(self) -> str:
        return self._addresses.advertised

    @property
    def peers_open(self) -> bool:
        """Whether it listens for other members."""
        return load_layout(self._server.directory) is not None

    async def member_id(self) -> int:
        """Its id among etcd's members."""
        return await self._client.member_changes.own_id()

    async def open_peers(self) -> None:
        self.renew_certificate()
        self._save_layout()
        await self._server.restart()
        self._opened()  # Whatever comes now: etcd is started so from here on.
        await self._responding()

    def renew_certificate(self) -> None:
        """Have the certificate written if it has to be another one; etcd reads it at the next handshake."""
        host = host_port.parse(self.peer_address).host
        self._write_certificate(peer_directory(self._server.directory), host)

    def _save_layout(self) -> None:
        known = load_layout(self._server.directory)
        advertised, listening = self._addresses.advertised, self._addresses.listening
        known = known or EtcdLayout(self._name, advertised, listening)
        save_layout(self._server.directory, replace(known, peer_address=advertised, listen_address=listening))

    async def _responding(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    try:
                        await self._client.read([b"/"])
                        return
                    except Unavailable:
                        await asyncio.sleep(0.1)
        except TimeoutError:
            raise Unavailable("etcd did not respond after it was started again for other managers to join") from None


def peer_directory(etcd_directory: Path) -> Path:
    """Where the certificate for other members is."""
    return etcd_directory / PEER_DIRECTORY


def listen_address(advertised: str, listening: str) -> str:
    """Where etcd listens: the configured address, or where that is every one, every one of the advertised IP version.

    Args:
        advertised: host:port.
        listening: host:port; a wildcard stands for both versions, of which a host may lack one.
    """
    where, host = host_port.parse(listening), host_port.parse(advertised).host
    if where.host not in ("::", "0.0.0.0"):  # noqa: S104  # compared with
        return str(where)
    return str(HostPort("::" if _is_ipv6(host) else "0.0.0.0", where.port))  # noqa: S104  # other members connect to it


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
