"""`version` and `info`: the cluster as if it were one engine. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.protocol.versions import FIREWALL_BACKEND, NEWEST, OLDEST, SECURITY_OPTIONS_AS_PAIRS, ApiVersion
from engine.translate.containers.host_config import DEFAULT_RUNTIME
from engine.translate.swarm.swarm_cluster import cluster_document
from shoal.api.v1.control_pb2 import ClusterView, ManagerView, NodeView
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.docker_units import docker_size
from shoal.node_states import node_state
from shoal.oci_runtimes import runtimes_of

VOLUME_DRIVERS = ("local",)
NETWORK_DRIVERS = ("bridge", "host", "null", "overlay")
LOG_DRIVERS = ("json-file", "local", "none")

MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "arm": "armv7l", "386": "i686"}
"""Of uname(2), by the name that images have for the architecture."""


def version_document(
    *, engine_version: str, shoal_version: str, cluster: ClusterView, home: NodeView | None
) -> dict[str, Any]:
    """`GET /version`: the parts that a request meets, from the engine to the container runtime of the home node."""
    kernel, runtime = "", ""
    architecture = "amd64"
    if home is not None:
        description = home.status.description
        kernel, runtime = description.kernel, description.runtime
        architecture = description.platform.architecture or architecture
    details = {
        "ApiVersion": str(NEWEST),
        "Arch": architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel,
        "MinAPIVersion": str(OLDEST),
        "Os": "linux",
    }
    components = [
        {"Name": "Engine", "Version": engine_version, "Details": details},
        {"Name": "shoal-engine", "Version": shoal_version, "Details": {"GitCommit": ""}},
        {"Name": "shoal-manager", "Version": cluster.manager_version, "Details": {"GitCommit": ""}},
    ]
    if runtime:
        name, _, number = runtime.partition(" ")
        components.append({"Name": name, "Version": number, "Details": {"GitCommit": ""}})
    return {
        "Platform": {"Name": f"Shoal {shoal_version}"},
        "Components": components,
        "Version": engine_version,
        "ApiVersion": str(NEWEST),
        "MinAPIVersion": str(OLDEST),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": kernel,
        "BuildTime": "",
    }


@dataclass(frozen=True)
class ClusterSummary:
    """What `info` is made of.

    Attributes:
        home: the home node; None: there is none.
        states: containers by Docker's word for their state.
        listeners: clients that follow events.
        now: RFC 3339.
    """

    cluster: ClusterView
    nodes: Sequence[NodeView]
    home: NodeView | None
    states: Mapping[str, int]
    images: int
    swarm: Mapping[str, Any]
    listeners: int
    now: str


def info_document(summary: ClusterSummary, *, version: ApiVersion, engine_version: str) -> dict[str, Any]:
    """`GET /info`: sums over the nodes that are ready; `DriverStatus` has rows of each node, which the CLI prints."""
    document: dict[str, Any] = {
        **_FIXED,
        **_containers(summary.states),
        **_home_facts(summary.home, summary.cluster),
        **_resources([node for node in summary.nodes if node.status.state == NodeStatus.READY]),
        "ID": summary.cluster.id,
        "Images": summary.images,
        "DriverStatus": [
            ["Nodes", str(len(summary.nodes))],
            *(row for node in summary.nodes for row in _node_rows(node)),
        ],
        "SystemTime": summary.now,
        "NEventsListener": summary.listeners,
        "OperatingSystem": f"Shoal {summary.cluster.manager_version}",
        "OSVersion": summary.cluster.manager_version,
        "ServerVersion": engine_version,
        "Swarm": dict(summary.swarm),
    }
    if version >= FIREWALL_BACKEND:
        document["FirewallBackend"] = {"Driver": "nftables"}
    else:
        document |= _former_facts(document)
    if version < SECURITY_OPTIONS_AS_PAIRS:
        options = [each.partition(",")[0].removeprefix("name=") for each in document["SecurityOptions"]]
        document |= {"SecurityOptions": options, "ExecutionDriver": "<not supported>"}
    return document


def _former_facts(document: Mapping[str, Any]) -> dict[str, Any]:
    """What clients of older versions read."""
    commits = {key: document[key] for key in ("ContainerdCommit", "RuncCommit", "InitCommit")}
    return {
        "BridgeNfIptables": False,
        "BridgeNfIp6tables": False,
        **{key: {**commit, "Expected": commit["ID"]} for key, commit in commits.items()},
    }


def inactive_swarm() -> dict[str, Any]:
    """`Swarm` of `info` where the swarm side is hidden."""
    return {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    }


def active_swarm(
    *, node_id: str, node_address: str, cluster: ClusterView, nodes: int, managers: Sequence[ManagerView]
) -> dict[str, Any]:
    """`Swarm` of `info`: the cluster, seen from the home node.

    Args:
        node_id: Docker's form of the home node's id.
    """
    return {
        "NodeID": node_id,
        "NodeAddr": node_address,
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "Error": "",
        "RemoteManagers": [
            {"NodeID": each.manager.id, "Addr": each.manager.api_address} for each in managers if each.alive
        ],
        "Nodes": nodes,
        "Managers": len(managers),
        "Cluster": cluster_document(cluster),
    }


_FIXED: Mapping[str, Any] = {
    "Driver": "overlay2",
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsPeriod": True,
    "CpuCfsQuota": True,
    "CPUShares": True,
    "CPUSet": True,
    "PidsLimit": True,
    "IPv4Forwarding": True,
    "Debug": False,
    "NFd": 0,
    "OomKillDisable": False,
    "NGoroutines": 0,
    "LoggingDriver": "json-file",
    "CgroupDriver": "cgroupfs",
    "OSType": "linux",
    "IndexServerAddress": "https://index.docker.io/v1/",
    "RegistryConfig": {
        "IndexConfigs": {"docker.io": {"Mirrors": [], "Name": "docker.io", "Official": True, "Secure": True}},
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "Mirrors": [],
    },
    "GenericResources": None,
    "DockerRootDir": "/var/lib/shoal",
    "HttpProxy": "",
    "HttpsProxy": "",
    "NoProxy": "",
    "ExperimentalBuild": False,
    "DefaultRuntime": DEFAULT_RUNTIME,
    "LiveRestoreEnabled": True,
    "Isolation": "",
    "InitBinary": "docker-init",
    "ContainerdCommit": {"ID": ""},
    "InitCommit": {"ID": ""},
    "CDISpecDirs": [],
    "Warnings": None,
}
"""The same of every cluster."""


def _containers(states: Mapping[str, int]) -> dict[str, int]:
    active = sum(states.get(state, 0) for state in ("running", "paused", "restarting"))
    total = sum(states.values())
    return {
        "Containers": total,
        "ContainersRunning": states.get("running", 0),
        "ContainersPaused": states.get("paused", 0),
        "ContainersStopped": total - active,
    }


def _home_facts(home: NodeView | None, cluster: ClusterView) -> dict[str, Any]:
    """What is of one host with Docker: of the home node."""
    if home is None:
        return {
            "KernelVersion": "",
            "Architecture": MACHINES["amd64"],
            "CgroupVersion": "2",
            "Name": cluster.id,
            "Labels": [],
            "RuncCommit": {"ID": ""},
            "SecurityOptions": [],
        }
    description = home.status.description
    architecture = description.platform.architecture or "amd64"
    return {
        "KernelVersion": description.kernel,
        "Architecture": MACHINES.get(architecture, architecture),
        "CgroupVersion": str(description.cgroup_version or 2),
        "Name": _hostname(home),
        "Labels": _labels(home),
        "RuncCommit": {"ID": description.runtime},
        "SecurityOptions": list(description.security_options),
    }


def _resources(ready: Sequence[NodeView]) -> dict[str, Any]:
    """Sums of nodes, and what any of them has."""
    resources = [node.status.description.resources for node in ready]
    runtimes = {DEFAULT_RUNTIME, *(name for node in ready for name in runtimes_of(node.status.description))}
    return {
        "Runtimes": {name: {"path": name} for name in sorted(runtimes)},
        "NCPU": sum(each.nano_cpus for each in resources) // 10**9,
        "MemTotal": sum(each.memory_bytes for each in resources),
        "Plugins": {
            "Volume": sorted({*VOLUME_DRIVERS, *_csi_drivers(ready)}),
            "Network": list(NETWORK_DRIVERS),
            "Authorization": None,
            "Log": list(LOG_DRIVERS),
        },
    }


def _node_rows(node: NodeView) -> list[list[str]]:
    description = node.status.description
    resources = description.resources
    state = node_state(node.status)
    cpus = f"{node.reserved.nano_cpus / 1e9:g} / {resources.nano_cpus / 1e9:g}"
    memory = f"{docker_size(node.reserved.memory_bytes)} / {docker_size(resources.memory_bytes)}"
    return [
        [f" {_hostname(node)}", description.address or node.node.spec.identity.address],
        ["  └ Status", state],
        ["  └ Tasks", str(node.tasks)],
        ["  └ Reserved CPUs", cpus],
        ["  └ Reserved Memory", memory],
    ]


def _hostname(node: NodeView) -> str:
    return node.node.spec.identity.hostname or node.status.description.hostname or node.node.meta.id


def _labels(home: NodeView) -> list[str]:
    labels = home.node.spec.identity.engine_labels
    return [f"{name}={labels[name]}" for name in sorted(labels)]


def _csi_drivers(nodes: Sequence[NodeView]) -> set[str]:
    return {driver.name for node in nodes for driver in node.status.description.csi_drivers}
