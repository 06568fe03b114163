"""Containers of one's own on a machine that boots several times: once by itself, once after its power has failed.

systemd runs the manager, the registry and the agent by their units, from this tree: `deploy/install.sh`, which the
group `systemd` checks, takes a quarter of an hour here. Each boot goes on where the one before has ended; what it has
to know of that is on the disk.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cli.client import Client
from cli.commands.container.container_calls import containers
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.engine_pb2 import (
    ContainerView,
    CreateContainerRequest,
    GetContainerRequest,
    ListContainersRequest,
    ListProcessesRequest,
    PauseContainerRequest,
    RemoveContainerRequest,
    StartContainerRequest,
    StopContainerRequest,
    UpdateContainerRequest,
)
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.standalone_pb2 import ContainerDefinition, ContainerRestart
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import AlreadyExists, NotFound, ShoalError, Timeout, Unauthenticated, Unavailable
from tests.vm.checking import Check, run_checks
from tests.vm.cluster import COMMAND_SECONDS, until
from tests.vm.power import POWER_OFF, STAGES
from tests.vm.under_systemd import ADDRESS, active, print_journal, ready, run

SHOAL = "/usr/local/bin/shoal"
SETTINGS = Path("/etc/shoal")
REGISTRIES = SETTINGS / "registries.toml"
STATE = Path("/var/lib/shoal/checks.json")
GOES_ON = Path("/run/goes-on")
"""Keeps systemd from ending the machine after the checks: it reboots by itself, or its power fails."""
IMAGE = f"{ADDRESS}:5000/hello:1"
AGENT = Path("/var/lib/shoal/agent")
CGROUPS = Path("/sys/fs/cgroup")
COUNT = "echo run >> /runs; echo run $(wc -l < /runs); "
ON = COUNT + "echo run >> /data/runs; echo x > /file && dd if=/file of=/durable conv=fsync 2>/dev/null; echo flushed; "
ON += "trap 'exit 0' TERM; while :; do sleep 0.2; done"
R = ContainerRestart


def call(method: str, request: Any, *, seconds: float = 120) -> Any:
    """One call of the service `Containers`; a manager that is starting, or too slow to shake hands, is asked again."""
    for _ in range(120):
        try:
            with Client.of_context(None) as client:
                return client.call(getattr(containers(client), method), request, seconds=seconds)
        except (Unavailable, Unauthenticated, Timeout):
            time.sleep(1)
    raise AssertionError(f"{method}: no manager")


def create(name: str, script: str = ON, restart: R.Condition.ValueType = R.NO, *, auto_remove: bool = False) -> str:
    """Create one with a volume of its own; its id."""
    definition = ContainerDefinition(restart=ContainerRestart(condition=restart), auto_remove=auto_remove)
    spec = definition.task.container
    spec.image = IMAGE
    spec.command.extend(["/bin/sh", "-c", script])
    spec.mounts.add(type=Mount.VOLUME, source=f"{name}-data", target="/data")
    with suppress(AlreadyExists):  # by an earlier attempt, whose answer was lost
        call("CreateContainer", CreateContainerRequest(name=name, definition=definition))
    return str(get(name).container.meta.id)


def start(name: str) -> None:
    call("StartContainer", StartContainerRequest(container=name))


def get(name: str) -> ContainerView:
    view: ContainerView = call("GetContainer", GetContainerRequest(container=name))
    return view


def is_running(name: str) -> bool:
    return get(name).task_status.state == TaskState.RUNNING


def names() -> set[str]:
    found = call("ListContainers", ListContainersRequest(all=True)).containers
    return {view.container.name for view in found}


def log(name: str) -> list[str]:
    done = subprocess.run([SHOAL, "logs", name], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    return done.stdout.split("\n") if not done.returncode else []


def said(name: str, *lines: str) -> None:
    """Wait until its log, over all runs, has these lines, in this order and no others beside `flushed`."""
    expected = list(lines)

    def has() -> bool:
        return [line for line in log(name) if line and line != "flushed"] == expected and "flushed" in log(name)

    until(has, f"{name} says {expected}; it says {log(name)}")


def in_volume(name: str) -> list[str]:
    (data,) = AGENT.glob(f"volumes/*{name}-data*/_data/runs")
    return data.read_text().split()


def check_units() -> None:
    run("systemctl", "disable", "--now", "docker-registry")
    SETTINGS.mkdir()
    (SETTINGS / "registry").mkdir()
    REGISTRIES.write_text(f'[registry."{ADDRESS}:5000"]\nendpoint = "http://{ADDRESS}:5000"\nplain_http = true\n')
    config = Path("deploy/registry/config.yml").read_text().replace("127.0.0.1:5000", f"{ADDRESS}:5000")
    (SETTINGS / "registry/config.yml").write_text(config)
    (SETTINGS / "manager.env").write_text(f"SHOAL_MANAGER_ADVERTISE_ADDRESS={ADDRESS}\n")
    Path("/usr/local/bin/shoal").symlink_to("/opt/shoal/venv/bin/shoal")
    _enable("deploy/registry/shoal-registry.service")
    _enable("deploy/systemd/shoal-manager.service")
    run(SHOAL, "context", "create", "--admin", "/var/lib/shoal/manager/admin", "default")
    token = run(SHOAL, "cluster", "join-token", "-q").strip()
    (SETTINGS / "join-token").write_text(f"{token}\n")
    (SETTINGS / "join-token").chmod(0o600)
    (SETTINGS / "agent.env").write_text(
        f"SHOAL_AGENT_JOIN={ADDRESS}:7442\nSHOAL_AGENT_TOKEN_FILE={SETTINGS}/join-token\n"
        f"SHOAL_AGENT_ADVERTISE_ADDRESS={ADDRESS}\n"
    )
    _enable("deploy/systemd/shoal-agent.service")
    until(ready, "the node is ready")
    run(SHOAL, "image", "push", "-q", "--registries", str(REGISTRIES), "images/hello-1.tar", IMAGE)


def _enable(unit: str) -> None:
    """Install a unit that runs this tree, and start it, now and after each boot."""
    name = Path(unit).name
    directory = Path("/etc/systemd/system")
    (directory / name).write_text(Path(unit).read_text())
    (directory / f"{name}.d").mkdir()
    (directory / f"{name}.d/tree.conf").write_text("[Service]\nTimeoutStartSec=900\nEnvironment=PYTHONPATH=/src\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", name)


def check_containers_of_every_kind() -> None:
    """One was only created, one was stopped, one stays, one has no restart policy, one is removed at its end."""
    ids = {"created": create("created")}
    for name, restart in (("stopped", R.UNLESS_STOPPED), ("stays", R.UNLESS_STOPPED), ("once", R.NO)):
        ids[name] = create(name, restart=restart)
        start(name)
        said(name, "run 1")
    call("StopContainer", StopContainerRequest(container="stopped"))
    ids["passing"] = create("passing", auto_remove=True)
    start("passing")
    definitions = {name: get(name).container.definition.SerializeToString().hex() for name in ids}
    STATE.write_text(json.dumps({"stage": 1, "ids": ids, "definitions": definitions}))


def check_a_pause_on_version_2() -> None:
    group = _cgroup("stays")
    call("PauseContainer", PauseContainerRequest(container="stays"))
    assert get("stays").task_status.paused
    assert (group / "cgroup.freeze").read_text().strip() == "1"
    assert "frozen 1" in (group / "cgroup.events").read_text()
    call("PauseContainer", PauseContainerRequest(container="stays", unpause=True))
    assert "frozen 0" in (group / "cgroup.events").read_text()


def check_limits_on_version_2() -> None:
    group = _cgroup("stays")
    limits = Resources(memory_bytes=96 << 20, nano_cpus=500_000_000)
    call("UpdateContainer", UpdateContainerRequest(container="stays", limits=limits))
    until(lambda: (group / "memory.max").read_text().strip() == str(96 << 20), "the limit of memory changes")
    until(lambda: (group / "cpu.max").read_text().split()[0] == "50000", "the limit of processor time changes")
    assert (group / "cgroup.procs").read_text(), "in the same container"


def check_processes_and_usage_on_version_2() -> None:
    table = call("ListProcesses", ListProcessesRequest(container="stays"))
    assert "PID" in table.titles
    assert any("while :" in row.cells[-1] for row in table.processes), table
    rows = json.loads(run(SHOAL, "stats", "--no-stream", "--format", "json", "stays"))
    assert len(rows) == 1, rows


def check_everything_is_there(runs: int = 2) -> None:
    """After a boot: what was to run does, with what it had; nothing else does."""
    until(lambda: active() and ready(), "the node is ready")
    state = json.loads(STATE.read_text())
    until(lambda: is_running("stays"), "the one that stays runs again")
    said("stays", *(f"run {number}" for number in range(1, runs + 1)))
    assert in_volume("stays") == ["run"] * runs
    until(lambda: "passing" not in names(), "the one that is removed at its end is gone")
    assert names() == {"created", "stopped", "stays", "once", *state.get("fresh", [])}
    for name in ("created", "stopped", "once"):
        assert not is_running(name), name
    until(lambda: not list(AGENT.glob(f"**/containers/*/{state['ids']['passing']}")), "its files are gone")
    for name, definition in state["definitions"].items():
        if name not in ("passing", "stays"):
            assert get(name).container.definition.SerializeToString().hex() == definition, name
        if name != "passing":
            assert get(name).container.meta.id == state["ids"][name], name


def check_all_can_be_started() -> None:
    for name, lines in (("created", ["run 1"]), ("stopped", ["run 1", "run 2"]), ("once", ["run 1", "run 2"])):
        start(name)
        said(name, *lines)
        assert in_volume(name) == ["run"] * len(lines)


def check_limits_stay() -> None:
    assert (_cgroup("stays") / "memory.max").read_text().strip() == str(96 << 20)


def check_new_ones_just_before_the_power_fails() -> None:
    """Whatever was answered before that is there afterwards."""
    start_of = json.loads(STATE.read_text())
    for name in ("once", "created"):
        call("StopContainer", StopContainerRequest(container=name))
    ids = start_of["ids"] | {"passing": create("passing", auto_remove=True)}
    start("passing")
    ids["fresh"] = create("fresh", restart=R.ALWAYS)
    start("fresh")
    until(lambda: "flushed" in log("fresh"), "its file is on the disk")
    ids["new"] = create("new")
    state = start_of | {"stage": 2, "ids": ids, "fresh": ["fresh", "new"]}
    for name in ("fresh", "new"):
        state["definitions"][name] = get(name).container.definition.SerializeToString().hex()
    with STATE.open("w") as file:
        json.dump(state, file)
        file.flush()
        subprocess.run(["sync", "-d", str(STATE)], check=True)


def check_everything_is_there_after_the_power_failed() -> None:
    until(lambda: active() and ready(), "the node is ready")
    state = json.loads(STATE.read_text())
    until(lambda: is_running("stays") and is_running("fresh"), "what was to run does")
    until(lambda: "passing" not in names(), "the one that is removed at its end is gone")
    assert names() == {"created", "stopped", "stays", "once", "fresh", "new"}
    for name in ("created", "once", "new"):
        assert not is_running(name), name
    for name in ("stays", "fresh"):
        (root,) = AGENT.glob(f"**/containers/*/{state['ids'][name]}")
        assert (root / "u/durable").read_text() == "x\n", name
    until(lambda: not list(AGENT.glob(f"**/containers/*/{state['ids']['passing']}")), "its files are gone")
    for name in ("created", "once", "new"):
        start(name)
        assert is_running(name), name


def check_removal() -> None:
    for name in names():
        with suppress(NotFound):  # removed by an earlier attempt, whose answer was lost
            call("RemoveContainer", RemoveContainerRequest(container=name, force=True, remove_volumes=True))
    assert names() == set()
    until(lambda: not list(AGENT.glob("**/containers/*/*")), "no files of containers are left")


def _cgroup(name: str) -> Path:
    pid = get(name).task_status.pid
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return CGROUPS / line.removeprefix("0::/")


CHECKS: tuple[tuple[Check, ...], ...] = (
    (check_units, check_containers_of_every_kind),
    (
        check_everything_is_there,
        check_all_can_be_started,
        check_a_pause_on_version_2,
        check_limits_on_version_2,
        check_processes_and_usage_on_version_2,
        check_limits_stay,
        check_new_ones_just_before_the_power_fails,
    ),
    (check_everything_is_there_after_the_power_failed, check_removal),
)


def restart() -> None:
    GOES_ON.touch()
    run("systemctl", "--no-block", "reboot")


def fail_power() -> None:
    GOES_ON.touch()
    print(POWER_OFF, flush=True)
    time.sleep(60)


NEXT: tuple[Callable[[], None], ...] = (restart, fail_power, lambda: None)


def main() -> None:
    stage = json.loads(STATE.read_text())["stage"] if STATE.exists() else 0
    print(f"-- {STAGES[stage]}", flush=True)
    if run_checks(CHECKS[stage], on_failure=print_state):
        sys.exit(1)
    NEXT[stage]()


def print_state() -> None:
    print_journal()
    try:
        for view in call("ListContainers", ListContainersRequest(all=True)).containers:
            print(view.container.name, view.task_status, view.status, flush=True)
    except (ShoalError, AssertionError) as error:
        print(error, flush=True)


if __name__ == "__main__":
    main()
