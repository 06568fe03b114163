"""Settings of the agent's components, from those of the agent."""

import logging
from ipaddress import IPv4Network

from agent.host import inspection
from agent.network.network_settings import NetworkSettings
from agent.runtime.launch.optimizations import ALL_OPTIMIZATIONS, NO_OPTIMIZATIONS
from agent.runtime.open_runtime import RuntimeConfig
from agent.settings import ON, AgentSettings

_log = logging.getLogger(__name__)


def cgroup_parent(node_id: str) -> str:
    """The cgroup below which this node's containers have theirs; several agents may share a host."""
    return f"/shoal/{node_id}"


def network_settings(settings: AgentSettings) -> NetworkSettings:
    """Of the network package."""
    pool = IPv4Network(settings.local_pool) if settings.local_pool else None
    return NetworkSettings(
        vxlan_port=settings.vxlan_port,
        agent_port=settings.stream_port,
        closed_ports=tuple(map(int, filter(None, settings.closed_ports.split(",")))),
        local_pool=pool,
        overlay_encryption=settings.overlay_encryption,
        keys_directory=settings.keys_directory,
    )


def runtime_config(settings: AgentSettings, node_id: str) -> RuntimeConfig:
    """Of the container runtime."""
    is_optimized = settings.runtime_optimizations == ON
    if not is_optimized:
        _log.info("runtime optimizations are off")
    return RuntimeConfig(
        state_directory=settings.runtime_directory,
        run_directory=settings.run_directory,
        cgroup_parent=cgroup_parent(node_id),
        hidden_mount=settings.attached_directory,
        cdi_directories=settings.cdi_directory,
        hostname=inspection.hostname(settings),
        optimizations=ALL_OPTIMIZATIONS if is_optimized else NO_OPTIMIZATIONS,
    )
