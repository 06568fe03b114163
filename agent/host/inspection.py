"""Inspects the host: its part of the node description, and the underlay address."""

import os
import platform
import shutil
import socket
import struct
import subprocess
from fcntl import ioctl
from importlib import metadata
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from agent.cdi import cdi_registry
from agent.options.declared_resources import parse_resources
from agent.options.engine_labels import parse_labels
from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.safe_paths.mountinfo import read_mountinfo
from agent.settings import AgentSettings
from shoal.api.v1.meta_pb2 import Platform, Resources
from shoal.api.v1.node_pb2 import NodeDescription
from shoal.distribution.manifests import host_platform
from shoal.errors import InvalidInput, Unavailable
from shoal.oci_runtimes import RUNTIMES
from shoal.rpc import host_port

_SIOCGIFADDR = 0x8915
"""netdevice(7)."""


def hostname(settings: AgentSettings) -> str:
    """The node's name: as configured, else the host name."""
    return settings.hostname or platform.node()


def boot_id() -> str:
    """Another one after each boot of this host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def describe(settings: AgentSettings, network: NodeDescription, *, without_apparmor: str) -> NodeDescription:
    """The complete node description, with the network's part merged in. Reads files, runs crun once.

    Args:
        without_apparmor: why containers have no AppArmor profiles; empty if they have.
    """
    kind = host_platform()
    description = NodeDescription(
        hostname=hostname(settings),
        platform=Platform(os=kind.os, architecture=kind.architecture, variant=kind.variant),
        resources=Resources(
            nano_cpus=len(os.sched_getaffinity(0)) * 1_000_000_000,
            memory_bytes=memory_bytes(Path("/proc/meminfo").read_text()),
            generic_resources=[
                *parse_resources(settings.resource),
                *cdi_registry.read_specs(settings.cdi_directory).resources(),
            ],
        ),
        engine_labels=parse_labels(settings.label),
        stream_port=settings.stream_port,
        agent_version=metadata.version("shoal"),
        kernel=platform.release(),
        boot_id=boot_id(),
        runtime=_runtime(),
        runtimes=_runtimes(),
        cgroup_version=parse_layout(read_mountinfo()).version,
        security_options=security_options(
            apparmor=not without_apparmor,
            seccomp=Path("/proc/sys/kernel/seccomp").exists(),
            cgroup_namespaces=Path("/proc/self/ns/cgroup").exists(),
        ),
        apparmor_unavailable_reason=without_apparmor,
    )
    description.MergeFrom(network)
    return description


def security_options(*, apparmor: bool, seccomp: bool, cgroup_namespaces: bool) -> list[str]:
    """Security options in the notation of `docker info`. Pure."""
    named = (
        (apparmor, "name=apparmor"),
        (seccomp, "name=seccomp,profile=builtin"),
        (cgroup_namespaces, "name=cgroupns"),
    )
    return [name for there, name in named if there]


def memory_bytes(meminfo: str) -> int:
    """MemTotal of /proc/meminfo (proc(5)): usable memory in bytes."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemTotal:"))
    return int(line.split()[1]) * 1024


def underlay_address(settings: AgentSettings, manager: str) -> str:
    """The address at which others reach this host.

    Args:
        manager: `host:port`; by default the address from which packets to it are sent.
    Raises:
        InvalidInput: the interface does not exist, or has no address.
        Unavailable: there is no route.
    """
    if settings.advertise_address:
        return str(ip_address(settings.advertise_address))
    if settings.advertise_interface:
        return _address_of(settings.advertise_interface)
    where = host_port.parse(manager)
    try:
        # IPv4 if the manager has both: an underlay has one family, and most are IPv4.
        found = sorted(socket.getaddrinfo(where.host, where.port, type=socket.SOCK_DGRAM))
    except OSError as error:
        raise Unavailable(f"cannot resolve {where.host}: {error}; set --advertise-address") from error
    failure: OSError | None = None
    for family, kind, _, _, place in found:
        with socket.socket(family, kind) as probe:
            try:
                probe.connect(place)
            except OSError as error:
                failure = error
                continue
            return str(probe.getsockname()[0])
    raise Unavailable(f"no route to manager {manager}: {failure}; set --advertise-address") from failure


def resolv_conf(path: Path = Path("/etc/resolv.conf")) -> str:
    """Content of /etc/resolv.conf (resolv.conf(5)). Empty if there is none, or a dangling link, as before the first
    DHCP lease. Bytes that are not UTF-8 are replaced: they can only be in comments."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _address_of(interface: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError as error:
            if (six := _ipv6_address_of(interface)) is not None:
                return six
            raise InvalidInput(f"--advertise-interface: {interface} has no address: {error.strerror}") from error
    return str(IPv4Address(answer[20:24]))


def _ipv6_address_of(interface: str, listing: Path = Path("/proc/self/net/if_inet6")) -> str | None:
    """Its first global IPv6 address (proc(5), net/if_inet6)."""
    lines = (line.split() for line in listing.read_text().splitlines()) if listing.exists() else ()
    found = (IPv6Address(bytes.fromhex(words[0])) for words in lines if (words[3], words[5]) == ("00", interface))
    return next(map(str, found), None)


def _runtimes() -> list[str]:
    """Names of the OCI runtimes that are installed, the preferred first."""
    return [name for name in RUNTIMES if shutil.which(name)]


def _runtime() -> str:
    """ "crun 1.8.1": the first line of its version, shortened."""
    found = _runtimes()
    if not found:
        return ""
    program = found[0]
    output = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    words = (output.splitlines() or [""])[0].split()
    return f"{program} {words[-1]}" if words else program
