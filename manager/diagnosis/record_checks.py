"""What the records say of the cluster and its nodes. Pure."""

from collections import Counter
from collections.abc import Sequence

from manager.backups.schedule_rules import problem as backup_problem
from manager.membership.tolerance import Tolerance
from manager.store.tables import View
from shoal.api.v1.diagnosis_pb2 import DiagnosisCheck
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.host_checks.findings import failed, passed, warning
from shoal.node_states import is_restarting
from shoal.utc_text import utc_text

MAX_NAMED = 5
"""Problems of one node that are shown."""


def leader_check(view: View) -> DiagnosisCheck:
    """Whether anything is planned."""
    leader = view.leader.manager_id if view.leader is not None else ""
    if leader:
        return passed("leader", f"manager {leader} leads")
    return failed("leader", "no manager leads: nothing is planned", "start the managers that are down")


def tolerance_check(stands: Tolerance, running: int, registered: int) -> DiagnosisCheck:
    """How many managers may fail."""
    found = f"{running} of {registered} managers run; {stands.failures} may fail"
    if running < registered:
        action = "start the managers that are down, or remove them with `shoal manager rm`"
        return (warning if stands.failures else failed)("managers", found, action)
    if stands.warning:
        return warning("managers", stands.warning, "run three managers, or five")
    return passed("managers", found)


def version_check(view: View) -> DiagnosisCheck:
    """Whether all programs are of one release."""
    versions = Counter(each.version for each in view.managers.values())
    ready = [status for status in view.node_status.values() if status.state == NodeStatus.READY]
    versions.update(status.description.agent_version for status in ready)
    shown = ", ".join(f"{version or 'unknown'} ({count})" for version, count in sorted(versions.items()))
    if len(versions) > 1:
        return warning("versions", f"mixed: {shown}", "upgrade the managers first, then the agents, one by one")
    return passed("versions", shown)


def backup_checks(view: View, now_ms: int) -> list[DiagnosisCheck]:
    """How scheduled backups go; nothing where none are scheduled."""
    name, schedule, status = "backups", view.backup_schedule, view.backup_status
    if schedule is None:
        return []
    if found := backup_problem(schedule, status, now_ms):
        return [failed(name, found, "see `shoal cluster backup status`, and the log of the manager that leads")]
    last = status.succeeded_at_ms if status is not None else 0
    return [passed(name, f"the last one is of {utc_text(last)}" if last else "the first one is in progress")]


def node_state_check(status: NodeStatus | None) -> DiagnosisCheck:
    """Whether the node takes part."""
    name = "state"
    if status is not None and is_restarting(status):
        return warning(name, status.message, "wait for its agent, or see `systemctl status shoal-agent` on the node")
    if status is None or status.state == NodeStatus.UNKNOWN:
        action = "check on the node that the agent runs and reaches a manager: `systemctl status shoal-agent`"
        return failed(name, (status and status.message) or "it has not connected yet", action)
    if status.state == NodeStatus.DOWN:
        found = f"down: {status.message or 'no heartbeat'}"
        return failed(name, found, "start the host or its agent: `systemctl status shoal-agent`")
    return passed(name, f"ready, connected to manager {status.manager_id}")


def node_checks(status: NodeStatus) -> list[DiagnosisCheck]:
    """What a ready node has reported."""
    about, condition = status.description, status.network_condition
    checks = [
        passed("version", about.agent_version),
        _runtime(about.runtime),
        _apparmor(about.apparmor_unavailable_reason),
    ]
    if about.ipv6_unavailable_reason:
        checks.append(warning("IPv6", about.ipv6_unavailable_reason, "needed only for networks with IPv6"))
    if status.session_error:
        action = "check the agent's log; a changed identity is accepted with `shoal node update`"
        checks.append(failed("session", status.session_error, action))
    if condition.problems:
        found = _few(list(condition.problems))
        checks.append(failed("host", found, "see `shoal node inspect` for all, and the agent's log"))
    if condition.paths:
        found = f"{len(condition.paths)} paths to other nodes are faulty"
        checks.append(failed("paths", found, "run `shoal network check`"))
    if condition.HasField("repaired"):
        found = (
            f"another program changed the network {condition.repaired.count} times: {condition.repaired.description}"
        )
        checks.append(warning("network", found, "find the program that changes rules or links of Shoal"))
    checks.append(_mtu(condition.underlay_mtu or about.underlay_mtu))
    return checks


def _runtime(runtime: str) -> DiagnosisCheck:
    if runtime:
        return passed("runtime", runtime)
    return failed("runtime", "neither crun nor runc was found", "install crun")


def _apparmor(reason: str) -> DiagnosisCheck:
    if reason:
        return warning("AppArmor", reason, "containers are confined less; enable AppArmor in the kernel and install it")
    return passed("AppArmor", "available")


def _mtu(mtu: int) -> DiagnosisCheck:
    found = f"{mtu} bytes between nodes"
    if mtu < 1280:
        return failed("MTU", found, "raise it to 1500 or more: IPv6 needs 1280, and tunnels take 50 bytes of it")
    if mtu < 1500:
        return warning("MTU", found, "raise it to 1500 or more, where the network allows it")
    return passed("MTU", found)


def _few(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return "; ".join(texts[:MAX_NAMED]) + more
