"""Settings of the node's network."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from agent.network.nftables.rule_ports import CONTROL_PORTS, RulePorts
from shoal.errors import Fault, InvalidInput
from shoal.networks.network_modes import pool_error
from shoal.networks.overlay_encryption import AUTO, BACKENDS

_KEYS_DIRECTORY = Path("/run/shoal/keys")


@dataclass(frozen=True)
class NetworkSettings:
    """May differ between clusters; the same on all nodes except for `local_pool` and `upstream_resolvers`.

    Attributes:
        vni: VXLAN network identifier of the cluster, 24 bits (RFC 7348, 5).
        vxlan_port: UDP port of the tunnels, on every node (IANA's by default).
        wireguard_port: UDP port of WireGuard tunnels; the following port is used alternately with it.
        esp_port: UDP port of VXLAN packets in ESP; the following port is used alternately with it.
        overlay_encryption: method of encrypted networks: "auto", "wireguard" or "esp".
        keys_directory: for private ESP keys; on a tmpfs.
        agent_port: TCP port of the agent's server, which managers must reach.
        closed_ports: TCP ports of every host that containers must not reach: those of agents and managers.
        local_pool: subnet of this node only, for containers without a network; None to choose one automatically.
        spare_namespaces: how many network namespaces are kept ready; each holds one file descriptor and a veth pair.
        reconcile_seconds: how often the kernel's actual state is compared with the desired one.
        sweep_seconds: how long links of stopped tasks are collected, since deleting many costs as little as one.
        dns_ttl_seconds: of answers about the cluster; short, since tasks move, and since a task whose address its
            service's name resolves to is stopped this long after the name has changed.
        dns_queries_per_second: limit of one container; further queries are dropped and reported as a problem.
        dns_timeout_seconds: for an upstream resolver's answer, before the next one is tried.
        upstream_resolvers: for names outside the cluster; empty means those of /etc/resolv.conf.
    """

    vni: int = 4096
    vxlan_port: int = 4789
    wireguard_port: int = 51830
    esp_port: int = 51832
    overlay_encryption: str = AUTO
    keys_directory: Path = _KEYS_DIRECTORY
    agent_port: int = 7441
    closed_ports: tuple[int, ...] = CONTROL_PORTS
    local_pool: IPv4Network | None = None
    spare_namespaces: int = 8
    reconcile_seconds: float = 20.0
    sweep_seconds: float = 0.05
    dns_ttl_seconds: int = 5
    dns_queries_per_second: int = 4000
    dns_timeout_seconds: float = 3.0
    upstream_resolvers: tuple[IPv4Address, ...] = ()

    def __post_init__(self) -> None:
        checks = (
            ("vni", 0 < self.vni < 1 << 24, "must be between 1 and 16777215"),
            ("vxlan_port", 0 < self.vxlan_port < 1 << 16, "must be between 1 and 65535"),
            (
                "wireguard_port",
                0 < self.wireguard_port < (1 << 16) - 1,
                "must be between 1 and 65534 (the following port is used too)",
            ),
            (
                "esp_port",
                0 < self.esp_port < (1 << 16) - 1,
                "must be between 1 and 65534 (the following port is used too)",
            ),
            ("overlay_encryption", self.overlay_encryption in BACKENDS, f"must be one of {', '.join(BACKENDS)}"),
            ("spare_namespaces", 0 <= self.spare_namespaces <= 256, "must be between 0 and 256"),
            ("reconcile_seconds", self.reconcile_seconds > 0, "must be greater than 0"),
            ("closed_ports", all(0 < port < 1 << 16 for port in self.closed_ports), "must be between 1 and 65535"),
            (
                "dns_queries_per_second",
                100 <= self.dns_queries_per_second <= 1_000_000,
                "must be between 100 and 1,000,000",
            ),
            ("dns_ttl_seconds", 0 <= self.dns_ttl_seconds <= 60, "must be between 0 and 60"),
        )
        faults = [Fault(name, message) for name, good, message in checks if not good]
        if self.local_pool is not None and (why := pool_error(str(self.local_pool))):
            faults.append(Fault("local_pool", why))
        if faults:
            raise InvalidInput(faults)

    def rule_ports(self, esp_ports: tuple[int, ...]) -> RulePorts:
        """The ports that the nftables rules match.

        Args:
            esp_ports: UDP ports of VXLAN that is accepted and sent in ESP only; none where the kernel has no ESP.
        """
        pairs = (self.wireguard_port, self.esp_port)
        return RulePorts(
            vni=self.vni,
            vxlan=self.vxlan_port,
            esp=esp_ports,
            encrypted=tuple(port for first in pairs for port in (first, first + 1)),
            closed=self.closed_ports,
            queries=self.dns_queries_per_second,
        )
