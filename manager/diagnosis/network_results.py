"""`shoal network check` as a few checks. Pure."""

from collections.abc import Sequence

from shoal.api.v1.control_pb2 import CheckNetworkResponse, NodePair, PathReport, PortCheck
from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.host_checks.findings import failed, passed, warning

MAX_NAMED = 5
_ACTION = "run `shoal network check`; allow 4789/udp (encrypted: 51830 to 51833/udp, IP protocol 50) between all nodes"


def network_checks(response: CheckNetworkResponse) -> list[DiagnosisCheck]:
    """Of the paths between nodes, and of the published ports."""
    checks = [
        _paths("underlay", list(response.pairs), overlay=False),
        _paths("overlay", [pair for pair in response.pairs if pair.HasField("overlay")], overlay=True),
    ]
    if response.ports:
        checks.append(_ports(response.ports))
    return checks


def _paths(name: str, pairs: Sequence[NodePair], *, overlay: bool) -> DiagnosisCheck:
    paths = [(_name(pair), pair.overlay if overlay else pair.underlay) for pair in pairs]
    silent = [at for at, path in paths if not path.received]
    poor = [at for at, path in paths if path.received and _is_poor(path)]
    if silent:
        return failed(name, f"no response: {_few(silent)}", _ACTION)
    if poor:
        return warning(name, f"packets lost, or MTU too small: {_few(poor)}", "run `shoal network check`")
    return passed(name, f"{len(paths)} paths between nodes respond")


def _is_poor(path: PathReport) -> bool:
    return path.received < path.sent or path.mtu < path.expected_mtu


def _ports(ports: Sequence[PortCheck]) -> DiagnosisCheck:
    closed = [f"{each.port} of {each.service_name} at {each.node_hostname}" for each in ports if not each.open]
    if closed:
        return failed("published ports", f"closed: {_few(closed)}", "run `shoal network check`")
    return passed("published ports", f"{len(ports)} are open")


def _name(pair: NodePair) -> str:
    return f"{pair.from_hostname} to {pair.to_hostname}"


def _few(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return ", ".join(texts[:MAX_NAMED]) + more
