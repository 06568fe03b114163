"""Docker's names of the fields of listings (`--format` in its documentation), and where their values come from."""

from collections.abc import Mapping
from typing import Any

from cli.go_template.template_values import FieldRecord
from cli.render.table import FieldSource


def _capitalized(key: str) -> FieldSource:
    """As Docker writes states: "Running 5 minutes ago"."""

    def value(row: Mapping[str, Any]) -> str:
        text = str(row[key])
        return text[:1].upper() + text[1:]

    return value


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("name", "service", "node", "stack", "message") if row[key]}


def _constant(text: str) -> FieldSource:
    return lambda _: text


TASKS: Mapping[str, FieldSource] = {
    "DesiredState": _capitalized("desired"),
    "CurrentState": _capitalized("current"),
    "Error": "reason",
}
NODES: Mapping[str, FieldSource] = {
    "Status": _capitalized("status"),
    "Availability": _capitalized("availability"),
    "ManagerStatus": lambda row: "Reachable" if row["manager"] else "",
    "EngineVersion": "version",
    "TLSStatus": _constant("Ready"),
    "Self": lambda _: False,
}
FILES: Mapping[str, FieldSource] = {
    "CreatedAt": "created",
    "UpdatedAt": "updated",
    "Driver": _constant(""),
}
VOLUMES: Mapping[str, FieldSource] = {
    "Scope": lambda row: "local" if row["driver"] in ("", "local") else "global",
    "Mountpoint": _constant("N/A"),
    "Availability": _constant("N/A"),
    "Group": _constant("N/A"),
    "Links": lambda row: len(row["locations"]),
    "Size": lambda row: row["size"] or "N/A",
    "Status": "state",
}
NETWORKS: Mapping[str, FieldSource] = {
    "Scope": _constant("swarm"),
    "IPv6": lambda row: "true" if row["subnet6"] else "false",
    "Internal": lambda row: "true" if row["internal"] == "yes" else "false",
    "CreatedAt": "created_at",
}
STACKS: Mapping[str, FieldSource] = {"Orchestrator": _constant("Swarm"), "Namespace": _constant("")}
CONTEXTS: Mapping[str, FieldSource] = {
    "Current": lambda row: bool(row["current"]),
    "DockerEndpoint": "addresses",
    "Description": _constant(""),
    "Error": _constant(""),
}
EVENTS: Mapping[str, FieldSource] = {
    "Status": "action",
    "Scope": _constant("swarm"),
    "Actor": lambda row: FieldRecord({"ID": row["id"], "Attributes": _attributes(row)}),
}
STATS: Mapping[str, FieldSource] = {
    "Container": "id",
    "CPUPerc": "cpu",
    "MemUsage": lambda row: f"{row['memory']} / {row['limit'] or '--'}",
    "MemPerc": lambda row: row["percent"] or "--",
    "PIDs": "pids",
    "NetIO": "net_io",
    "BlockIO": "block_io",
}
