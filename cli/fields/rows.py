"""Docker's names of the fields of listings (`--format` in its documentation), and where their values come from."""

from collections.abc import Mapping
from typing import Any

from cli.go_template.values import Record
from cli.render.table import Name


def _capital(key: str) -> Name:
    """As Docker writes states: "Running 5 minutes ago"."""

    def value(row: Mapping[str, Any]) -> str:
        text = str(row[key])
        return text[:1].upper() + text[1:]

    return value


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("name", "service", "node", "stack", "message") if row[key]}


def _always(text: str) -> Name:
    return lambda _: text


TASKS: Mapping[str, Name] = {
    "DesiredState": _capital("desired"),
    "CurrentState": _capital("current"),
    "Error": "reason",
}
NODES: Mapping[str, Name] = {
    "Status": _capital("status"),
    "Availability": _capital("availability"),
    "ManagerStatus": lambda row: "Reachable" if row["manager"] else "",
    "EngineVersion": "version",
    "TLSStatus": _always("Ready"),
    "Self": lambda _: False,
}
FILES: Mapping[str, Name] = {
    "CreatedAt": "created",
    "UpdatedAt": "updated",
    "Driver": _always(""),
}
VOLUMES: Mapping[str, Name] = {
    "Scope": lambda row: "local" if row["driver"] in ("", "local") else "global",
    "Mountpoint": _always("N/A"),
    "Availability": _always("N/A"),
    "Group": _always("N/A"),
    "Links": lambda row: len(row["places"]),
    "Size": lambda row: row["size"] or "N/A",
    "Status": "state",
}
NETWORKS: Mapping[str, Name] = {
    "Scope": _always("swarm"),
    "IPv6": lambda row: "true" if row["subnet6"] else "false",
    "Internal": lambda row: "true" if row["internal"] == "yes" else "false",
    "CreatedAt": "created_at",
}
STACKS: Mapping[str, Name] = {"Orchestrator": _always("Swarm"), "Namespace": _always("")}
CONTEXTS: Mapping[str, Name] = {
    "Current": lambda row: bool(row["current"]),
    "DockerEndpoint": "addresses",
    "Description": _always(""),
    "Error": _always(""),
}
EVENTS: Mapping[str, Name] = {
    "Status": "action",
    "Scope": _always("swarm"),
    "Actor": lambda row: Record({"ID": row["id"], "Attributes": _attributes(row)}),
}
STATS: Mapping[str, Name] = {
    "Container": "id",
    "CPUPerc": "cpu",
    "MemUsage": lambda row: f"{row['memory']} / {row['of'] or '--'}",
    "MemPerc": lambda row: row["share"] or "--",
    "PIDs": "pids",
    "NetIO": _always("--"),
    "BlockIO": _always("--"),
}
