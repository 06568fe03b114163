"""Programs of the host that listen on ports, and would lose their clients to a published port."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from agent.network.netlink.sock_diag import Socket
from agent.network.well_known import GATEWAY
from shoal.api.v1.node_pb2 import HostListener
from shoal.api.v1.service_pb2 import PublishedPort

_PROC = Path("/proc")
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PROTOCOLS = {6: PublishedPort.TCP, 17: PublishedPort.UDP}


def ephemeral_ports() -> range:
    """Ports that the kernel assigns to sockets that request none: a UDP socket there is most likely a client's."""
    first, last = map(int, _PORT_RANGE.read_text().split())
    return range(first, last + 1)


def foreign_sockets(sockets: Iterable[Socket], own_inodes: Collection[int], ephemeral: range) -> list[Socket]:
    """Listening sockets that are not ours. Pure.

    Args:
        own_inodes: inodes of the sockets that reserve our ports.
    """
    return [
        each
        for each in sockets
        if each.inode not in own_inodes
        and each.address != GATEWAY
        and not (each.protocol == 17 and each.port in ephemeral)
    ]


def listeners(sockets: Iterable[Socket], names: Mapping[int, str]) -> list[HostListener]:
    """One for each port and address, in order. Pure.

    Args:
        names: of programs, by inode.
    """
    found: dict[tuple[int, int, str], str] = {}
    for each in sockets:
        bound = getattr(each.address, "ipv4_mapped", None) or each.address
        address = "" if bound.is_unspecified else str(bound)
        key = each.port, each.protocol, address
        found[key] = found.get(key) or names.get(each.inode, "")
    return [
        HostListener(protocol=_PROTOCOLS[protocol], port=port, address=address, program=program)
        for (port, protocol, address), program in sorted(found.items())
    ]


def programs_at(listening: Iterable[HostListener], protocol: int, port: int) -> str:
    """Names of the programs that listen on a port, for example "nginx, haproxy".

    Args:
        protocol: IANA's number.
    """
    names = {each.program for each in listening if (each.protocol, each.port) == (_PROTOCOLS.get(protocol), port)}
    return ", ".join(sorted(filter(None, names))) or "another program"


class ProgramNames:
    """Names of the programs that own sockets, looked up once per socket: a look-up reads all processes."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._known: dict[int, str] = {}

    def names_of(self, inodes: Collection[int]) -> Mapping[int, str]:
        """By inode; empty where none is found, as for the kernel's own tunnel sockets. Blocking."""
        self._known = {inode: name for inode, name in self._known.items() if inode in inodes}
        if missing := {inode for inode in inodes if inode not in self._known}:
            self._known.update(dict.fromkeys(missing, ""))
            self._search({f"socket:[{inode}]": inode for inode in missing})
        return self._known

    def _search(self, inodes: Mapping[str, int]) -> None:
        for process in self._proc.iterdir():
            if process.name.isdecimal():
                with suppress(OSError):  # the process has ended, or may not be read
                    for link in (process / "fd").iterdir():
                        with suppress(OSError):
                            if (inode := inodes.get(str(link.readlink()))) is not None:
                                self._known[inode] = _process_name(process)


def _process_name(process: Path) -> str:
    """The process's own name, which may contain any bytes."""
    return (process / "comm").read_text(errors="replace").strip()
