"""Three managers and a node, a machine each that systemd runs, set up as docs/operations.md has it: upgraded from the
release before, powered off, removed, backed up.
"""

import json
import subprocess
from collections.abc import Callable
from typing import Any, TypeVar

from tests.vm.checking import Check
from tests.vm.cluster import until
from tests.vm.machines import SOURCE, Machine, machine, power_on, prepare, print_journals

PREVIOUS = f"{SOURCE}/build/vm/previous"
"""The release before this one."""
MACHINES = {each.name: each for each in (machine("m1", 11), machine("m2", 12), machine("m3", 13), machine("h1", 15))}
M1, M2, M3, H1 = MACHINES.values()
MANAGERS = (M1, M2, M3)
JOIN = f"--join {M1.address}:7442"
IMAGE = "registry:5000/hello:1"
REGISTRIES = f"""[registry."registry:5000"]
endpoint = "http://{H1.address}:5000"
plain_http = true
"""
HEARTBEATS = "SHOAL_MANAGER_HEARTBEAT_SECONDS=30\n"
"""A node that misses three is down: an emulated machine may take a minute to start an agent again."""
SECONDS = 1800.0
"""For what takes a few on a machine that is not emulated."""


T = TypeVar("T")


def install(on: Machine, *options: str, source: str = SOURCE) -> None:
    assert " is running" in on.run(f"{source}/deploy/install.sh {' '.join(options)}")


def token(*options: str) -> str:
    return "--token " + M1.run(f"shoal cluster join-token -q {' '.join(options)}").strip()


def listing(on: Machine, command: str) -> Any:
    return json.loads(on.run(f"shoal {command} --format json"))


def succeeds(work: Callable[[], T]) -> Callable[[], T | None]:
    """What it finds; nothing, if a command fails meanwhile, as while a leader has no successor."""

    def tried() -> T | None:
        try:
            return work()
        except (AssertionError, subprocess.TimeoutExpired):
            return None

    return tried


def wait_for(work: Callable[[], bool], what: str) -> None:
    until(succeeds(work), what, SECONDS)


def by_machine(on: Machine) -> dict[str, dict[str, Any]]:
    """What a machine says about the manager of each."""
    names = {each.address: each.name for each in MANAGERS}
    return {names[row["address"].rpartition(":")[0]]: row for row in listing(on, "manager ls")}


def all_ready(on: Machine) -> bool:
    rows = by_machine(on).values()
    return [(row["status"], row["etcd"]) for row in rows] == [("ready", "voter")] * 3 and leads(on) is not None


def leads(on: Machine) -> Machine | None:
    return next((MACHINES[name] for name, row in by_machine(on).items() if row["leader"]), None)


def leader_when_ready(on: Machine) -> Machine:
    """That of three managers which are ready."""

    def found() -> Machine | None:
        return leads(on) if all_ready(on) else None

    leader = until(succeeds(found), "three managers are ready", SECONDS)
    assert leader is not None
    return leader


def node_ready(on: Machine) -> bool:
    return [node["status"] for node in listing(on, "node ls")] == ["ready"]


def tasks(on: Machine) -> dict[str, int]:
    """The first process of each running task of the service."""
    running = [row["id"] for row in listing(on, "service ps web") if row["state"] == "running"]
    found = listing(on, f"task inspect {' '.join(running)}") if running else []
    return {each["status"]["task_id"]: each["status"]["pid"] for each in found}


def installed(on: Machine) -> str:
    """The release."""
    return on.run("shoal --version").split()[-1]


def scale(on: Machine, replicas: int) -> None:
    """Until they run; no task that ran before is replaced, unless it is one too many."""
    before = tasks(on)
    wait_for(lambda: bool(on.run(f"shoal service scale web={replicas}")), f"the service is scaled to {replicas}")
    wait_for(lambda: len(tasks(on)) == replicas, f"{replicas} tasks run")
    after = tasks(on)
    kept = before.items() & after.items()
    assert len(kept) == min(len(before), replicas), f"{before} before, {after} after"


def check_machines_start() -> None:
    prepare()
    for each in MACHINES.values():
        each.make()
        settings = each.root / "etc/shoal"
        settings.mkdir()
        (settings / "manager.env").write_text(HEARTBEATS)
        (settings / "registries.toml").write_text(REGISTRIES)
    power_on(*MACHINES.values())
    assert M1.run("cat /proc/1/comm") == "systemd\n"


def check_three_managers_of_the_release_before() -> None:
    install(M1, "manager", f"--advertise {M1.address}", source=PREVIOUS)
    for each in (M2, M3):
        install(each, "manager", JOIN, token("--manager"), f"--advertise {each.address}", source=PREVIOUS)
    wait_for(lambda: all_ready(M3), "three managers vote")
    assert {row["version"] for row in by_machine(M1).values()} == {installed(M1)}


def check_node_and_service() -> None:
    install(H1, "registry", f"--address {H1.address}:5000")
    install(H1, "agent", JOIN, token(), f"--advertise {H1.address}", source=PREVIOUS)
    wait_for(lambda: node_ready(M2), "the node is ready")
    push = f"shoal image push -q --registries /etc/shoal/registries.toml {SOURCE}/images/hello-1.tar {IMAGE}"
    M1.run(push)
    M1.run(f"shoal service create -d --name web --replicas 2 {IMAGE}")
    wait_for(lambda: len(tasks(M1)) == 2, "both tasks run")


def check_upgrade_one_by_one() -> None:
    """Releases beside each other, and containers that nothing happens to."""
    earlier, before = installed(M1), tasks(M1)
    for count, each in enumerate(MANAGERS, 1):
        install(each, "manager")
        assert installed(each) != earlier
        wait_for(lambda: all_ready(M1), "three managers are ready")
        versions = [row["version"] for row in by_machine(M1).values()]
        assert sorted(versions) == sorted([installed(each)] * count + [earlier] * (3 - count))
        if count < len(MANAGERS):
            scale(M3, 2 + count)
    install(H1, "agent")
    wait_for(lambda: listing(M1, "node ls")[0]["version"] == installed(M1) and node_ready(M1), "the node is upgraded")
    assert before.items() <= tasks(M1).items()


def check_orderly_stop() -> None:
    """Of the unit: its etcd ends when the manager has handed over, not before."""
    leader = leader_when_ready(M1)
    since = leader.run("date +%s").strip()
    leader.run("systemctl stop shoal-manager")
    said = leader.run(f"journalctl --no-pager -o cat -u shoal-manager --since @{since}")
    leader.run("systemctl start shoal-manager")
    assert "stopped" in said, said
    assert " ERROR " not in said, said
    wait_for(lambda: all_ready(leader), "three managers are ready")


def outage(end: Callable[[Machine], None], replicas: int) -> None:
    """The leader's machine is off, a service is scaled meanwhile, and it is on again."""
    leader = leader_when_ready(M1)
    other = next(each for each in MANAGERS if each is not leader)
    identity = by_machine(other)[leader.name]["id"]
    end(leader)
    scale(other, replicas)
    wait_for(lambda: by_machine(other)[leader.name]["status"] == "down", "its manager is seen to be down")
    assert leads(other) not in (leader, None)
    power_on(leader)
    wait_for(lambda: all_ready(other) and all_ready(leader), "three managers are ready")
    assert by_machine(other)[leader.name]["id"] == identity
    assert node_ready(leader)


def check_leader_is_powered_off() -> None:
    outage(Machine.power_off, 5)


def check_power_of_leader_fails() -> None:
    outage(Machine.cut_power, 3)


def check_node_is_powered_off() -> None:
    """Its tasks run again, and its manager-side state is that of the same node."""
    (before,) = listing(M1, "node ls")
    H1.cut_power()
    wait_for(lambda: not node_ready(M1), "the node is seen to be down")
    power_on(H1)
    wait_for(lambda: node_ready(M1) and len(tasks(M1)) == 3, "its tasks run again")
    assert listing(M1, "node ls")[0]["id"] == before["id"]


def ended_for_good(on: Machine) -> bool:
    """Whether its manager ended since it was removed, and systemd does not start it again: that would be the state
    `activating (auto-restart)`.
    """
    state = on.unit("shoal-manager", "ActiveState", "SubState", "ExecMainStatus", "NRestarts")
    return state == ["failed", "failed", "3", "0"]


def check_removed_manager_stays_off() -> None:
    """Also after its machine was off again; a new token makes it a manager again."""
    M3.power_off()
    wait_for(lambda: by_machine(M1)["m3"]["status"] == "down", "its manager is seen to be down")
    removed = by_machine(M1)["m3"]["id"]
    wait_for(lambda: removed in M1.run(f"shoal manager rm {removed}"), "it is removed")
    power_on(M3)
    wait_for(lambda: ended_for_good(M3), "the removed manager ends")
    M3.cut_power()
    power_on(M3)
    wait_for(lambda: ended_for_good(M3), "the removed manager ends again")
    assert sorted(by_machine(M1)) == ["m1", "m2"]
    install(M3, "manager", JOIN, token("--manager"), f"--advertise {M3.address}")
    wait_for(lambda: all_ready(M3), "three managers vote again")
    assert by_machine(M1)["m3"]["id"] != removed


def check_backups_on_a_schedule() -> None:
    """By the leader's unit, to a directory that it need not know."""
    for each in MANAGERS:
        each.run("mkdir -p /backup/shoal")
    M1.run("shoal cluster backup --every 6h --keep 28 --to /backup/shoal")
    wait_for(lambda: listing(M1, "cluster backup status")[0]["backups"] == 1, "there is a backup")


CHECKS: tuple[Check, ...] = (
    check_machines_start,
    check_three_managers_of_the_release_before,
    check_node_and_service,
    check_upgrade_one_by_one,
    check_orderly_stop,
    check_leader_is_powered_off,
    check_power_of_leader_fails,
    check_node_is_powered_off,
    check_removed_manager_stays_off,
    check_backups_on_a_schedule,
)


def print_logs() -> None:
    print_journals(MACHINES.values())
