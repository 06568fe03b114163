"""The agent's settings: read once, checked at construction."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from agent.cdi.cdi_registry import DIRECTORIES
from agent.csi.driver_sockets import socket_faults
from agent.options.declared_resources import resource_faults
from agent.options.engine_labels import label_faults
from shoal.errors import Fault, InvalidInput
from shoal.monitoring.settings import (
    AGENT_PORT,
    MonitoringOptions,
    MonitoringSettings,
    monitoring_faults,
    monitoring_settings,
)
from shoal.networks.network_modes import pool_error
from shoal.networks.overlay_encryption import AUTO, BACKENDS
from shoal.rpc import host_port
from shoal.telemetry.log_formatters import FORMATS, LEVELS
from shoal.telemetry.log_settings import LogOptions

STATE_DIRECTORY = Path("/var/lib/shoal/agent")
RUN_DIRECTORY = Path("/run/shoal")
REGISTRIES_FILE = Path("/etc/shoal/registries.toml")
STREAM_PORT = 7441
VXLAN_PORT = 4789
ON_OFF = ON, OFF = "on", "off"
CLOSED_PORTS = "7440,7441,7442"

MAX_RUN_DIRECTORY = 60
"""Characters: paths of sockets below it have at most 108 (unix(7))."""
_AN_ADDRESS = "must be an IPv4 or IPv6 address of this host, not a link-local one"


@dataclass(frozen=True)
class AgentSettings(MonitoringOptions, LogOptions):
    """Settings of one agent, with those of health, metrics and logs.

    Attributes:
        state_directory: identity, journal, images, containers' data. On disk.
        run_directory: bundles and runtime state; a tmpfs is mounted on it.
        join: `host:port` of a manager's join endpoint; required until the node has an identity.
        token: join token; never printed. token_file: file to read it from instead.
        hostname: the node's name; empty: the host name.
        advertise_address: address at which others reach this node, IPv4 or IPv6; empty: that of
            `advertise_interface`, else the source address of the route to the manager.
        stream_port: TCP port of the agent's own server, on the advertised address.
        local_pool: IPv4 subnet of this node for containers without a network, with address translation; empty: one that
            does not overlap the host's routes.
        vxlan_port: UDP port of the tunnels between nodes; the same on every node.
        closed_ports: comma-separated TCP ports of hosts that containers cannot connect to: the managers' and the
            agents'.
            Empty: none.
        registries_file: credentials and certificates of registries, TOML.
        resource: generic resources that tasks may reserve: `gpu=2`, or by name, `gpu=GPU-1,GPU-2`. Names that
            are device paths become devices of the containers.
        label: labels that constraints name as `engine.labels.<name>`: `rack=r1`.
        cdi_directory: directories of CDI specs, in ascending precedence.
        csi: sockets of CSI drivers, `NAME=unix:///run/driver/csi.sock`, beside those in `csi_directory`.
        csi_timeout_seconds: timeout of one call to a CSI driver, which is then retried.
        overlay_encryption: encryption between this node and others: "auto" for whatever the kernel supports,
            "wireguard" or "esp" for one of them only.
        parallel_starts: maximum number of concurrent starts; 4 keep two cores busy, and more only wait.
        runtime_optimizations: "on", or "off" if containers do not start with a new version of crun.
    Raises:
        InvalidInput: with all errors at once.
    """

    state_directory: Path = STATE_DIRECTORY
    run_directory: Path = RUN_DIRECTORY
    join: str = ""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    hostname: str = ""
    advertise_address: str = ""
    advertise_interface: str = ""
    stream_port: int = STREAM_PORT
    local_pool: str = ""
    vxlan_port: int = VXLAN_PORT
    closed_ports: str = CLOSED_PORTS
    registries_file: Path = REGISTRIES_FILE
    parallel_starts: int = 4
    runtime_optimizations: str = ON
    overlay_encryption: str = AUTO
    resource: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    cdi_directory: tuple[Path, ...] = DIRECTORIES
    csi: tuple[str, ...] = ()
    csi_timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "advertise_address", self.advertise_address.removeprefix("[").removesuffix("]"))
        checks = (
            ("--state-directory", self.state_directory.is_absolute(), "must be an absolute path"),
            ("--run-directory", self.run_directory.is_absolute(), "must be an absolute path"),
            (
                "--run-directory",
                len(str(self.run_directory)) <= MAX_RUN_DIRECTORY,
                f"must not be longer than {MAX_RUN_DIRECTORY} characters (socket paths are limited to 108 bytes)",
            ),
            ("--token", not (self.token and self.token_file), "use --token or --token-file, not both"),
            ("--hostname", len(self.hostname) <= 253 and self.hostname.isprintable(), "must be a valid host name"),
            ("--advertise-address", _is_address(self.advertise_address), _AN_ADDRESS),
            ("--stream-port", 0 < self.stream_port < 1 << 16, "must be from 1 to 65535"),
            ("--vxlan-port", 0 < self.vxlan_port < 1 << 16, "must be from 1 to 65535"),
            (
                "--closed-ports",
                _are_ports(self.closed_ports),
                "must be comma-separated TCP ports from 1 to 65535",
            ),
            ("--parallel-starts", 0 < self.parallel_starts <= 64, "must be from 1 to 64"),
            ("--runtime-optimizations", self.runtime_optimizations in ON_OFF, f"must be one of {', '.join(ON_OFF)}"),
            ("--overlay-encryption", self.overlay_encryption in BACKENDS, f"must be one of {', '.join(BACKENDS)}"),
            ("--csi-timeout-seconds", 1 <= self.csi_timeout_seconds <= 300, "must be from 1 to 300"),
            ("--log-level", self.log_level in LEVELS, f"must be one of {', '.join(LEVELS)}"),
            ("--log-format", self.log_format in FORMATS, f"must be one of {', '.join(FORMATS)}"),
        )
        faults = [Fault(name, text) for name, holds, text in checks if not holds]
        faults += _address_faults(self.join)
        faults += monitoring_faults(self.monitoring, has_identity=True)
        if self.local_pool and (why := pool_error(self.local_pool)):
            faults.append(Fault("--local-pool", why))
        faults += resource_faults(self.resource)
        faults += label_faults(self.label)
        faults += socket_faults(self.csi)
        if faults:
            raise InvalidInput(faults)

    @property
    def monitoring(self) -> MonitoringSettings:
        """Where health and metrics are served."""
        return monitoring_settings(self, AGENT_PORT)

    @property
    def identity_directory(self) -> Path:
        return self.state_directory / "identity"

    @property
    def journal_directory(self) -> Path:
        return self.state_directory / "journal"

    @property
    def images_directory(self) -> Path:
        return self.state_directory / "images"

    @property
    def volumes_directory(self) -> Path:
        return self.state_directory / "volumes"

    @property
    def keys_directory(self) -> Path:
        """Private keys of encrypted networks, until the next reboot."""
        return self.run_directory / "keys"

    @property
    def csi_directory(self) -> Path:
        """Directory of CSI drivers' sockets: `<name>.sock` or `<name>/csi.sock`."""
        return self.state_directory / "csi"

    @property
    def attached_directory(self) -> Path:
        """Directory below which CSI drivers mount volumes."""
        return self.state_directory / "attached"

    @property
    def runtime_directory(self) -> Path:
        return self.state_directory / "runtime"

    @property
    def managers_file(self) -> Path:
        return self.state_directory / "managers.json"


def _are_ports(text: str) -> bool:
    words = text.split(",") if text else []
    return len(words) <= 64 and all(word.isascii() and word.isdigit() and 0 < int(word) < 1 << 16 for word in words)


def _is_address(text: str) -> bool:
    """Whether it is an address of a host; a link-local one is useless without its interface."""
    try:
        return not text or not ("%" in text or ip_address(text).is_link_local or ip_address(text).is_unspecified)
    except ValueError:
        return False


def _address_faults(join: str) -> list[Fault]:
    if not join:
        return []
    try:
        host_port.parse(join)
    except InvalidInput as error:
        return [Fault("--join", str(error))]
    return []
