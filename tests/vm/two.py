"""One cluster of two machines, each with a kernel of its own, and a cable between them that is captured.

On this one: the manager and the agent of h1, a namespace on the bridge that the cable is plugged into. On the other
(`second.py`): the agent of h2, right on the machine.
"""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.vm.checking import Check
from tests.vm.cluster import (
    COMMAND_SECONDS,
    CONFIG,
    HELLO,
    LAN,
    WAIT_SECONDS,
    http,
    in_host,
    pid_of,
    reaches,
    restart_agent,
    rows,
    running,
    shoal,
    until,
)
from tests.vm.encryption import BODY, captured
from tests.vm.second import ADDRESS, FIRST, LOG, PORT

LAYOUT = Layout(hosts=1)
PLAYGROUND = Playground(LAYOUT, contexts=ContextStore(CONFIG), ready_seconds=WAIT_SECONDS)
SHARED = Path("/run/shared")
"""What the second machine receives."""
CABLE = Path("/tmp/cable")
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def on_second(*words: str) -> str:
    """Run a program there, which has to succeed; what it said."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://{ADDRESS}:{PORT}/", json.dumps(words).encode())
    with opener.open(request, timeout=COMMAND_SECONDS) as answer:
        said = json.load(answer)
    assert said["code"] == 0, f"on the second machine, {words}: {said['output']}"
    output: str = said["output"]
    return output


def fetch(address: str) -> bytes:
    """What the address answers to this machine, which is on the cable's bridge too."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/", timeout=COMMAND_SECONDS) as answer:
        body: bytes = answer.read()
        return body


def answers(address: str) -> bool:
    try:
        return BODY in fetch(address)
    except OSError:
        return False


def ready() -> set[str]:
    return {row["hostname"] for row in rows("node", "ls") if row["status"] == "ready"}


def by_host(service: str) -> dict[str, tuple[str, str]]:
    """The id and the first address of the service's task on each host."""
    return {row["node"]: (row["id"], row["addresses"][0]) for row in running(service)}


def on_both(service: str) -> bool:
    return sorted(by_host(service)) == ["h1", "h2"]


def meet() -> bool:
    """Whether the tasks of the encrypted network reach each other; some may come and go meanwhile."""
    tasks = by_host("vault")
    return sorted(tasks) == ["h1", "h2"] and reaches(pid_of(tasks["h1"][0]), tasks["h2"][1])


def pid_here(service: str) -> int:
    return pid_of(by_host(service)["h1"][0])


def asks(pid: int, name: str) -> str:
    """What a service answers by its name to a client in a container."""
    inner = ["nsenter", f"--target={pid}", "--net", "--mount", "--root", "/bin/wget", "-q", "-O-", f"http://{name}/"]
    return subprocess.run(inner, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False).stdout


def check_two_kernels() -> None:
    """The cable goes into the bridge that h1 is on."""
    PLAYGROUND.up()
    subprocess.run(["ip", "link", "set", "eth0", "netns", LAN], check=True)
    subprocess.run(["ip", "-n", LAN, "link", "set", "eth0", "master", "lan", "up"], check=True)
    SHARED.mkdir()
    shutil.copy(LAYOUT.state / "token", SHARED / "token")
    shutil.copy(LAYOUT.registries_file, SHARED / "registries.toml")
    serving = [sys.executable, "-m", "http.server", "-b", FIRST, "-d", str(SHARED), str(PORT)]
    quiet = subprocess.DEVNULL
    subprocess.Popen(["nsenter", f"--net=/run/netns/{LAN}", *serving], stdin=quiet, stdout=quiet, stderr=quiet)
    until(lambda: ready() == {"h1", "h2"}, "both machines are nodes")
    there = on_second("cat", BOOT_ID)
    assert there != Path(BOOT_ID).read_text(), "the same kernel"
    assert "cgroup2" in on_second("stat", "-f", "-c", "%T", "/sys/fs/cgroup")
    for version in "12":
        shoal("image", "push", "-q", f"images/hello-{version}.tar", f"{HELLO}:{version}")


def check_main_job_over_the_cable() -> None:
    shoal("network", "create", "front")
    shoal(
        *("service", "create", "-d", "--name", "web", "--replicas", "2", "--replicas-max-per-node", "1"),
        *("--network", "front", "--publish", "8080:80", "--limit-memory", "32M", f"{HELLO}:1"),
    )
    until(partial(on_both, "web"), "a task on each machine")
    tasks = by_host("web")
    pid = pid_here("web")
    until(lambda: reaches(pid, tasks["h2"][1]), "a ping over the cable")
    assert BODY.decode() in http(pid, tasks["h2"][1])
    for _ in range(4):
        assert BODY.decode() in asks(pid, "web"), "by the service's name"


def check_limits_on_the_second_kernel() -> None:
    groups = on_second("find", "/sys/fs/cgroup/shoal", "-name", "memory.max").split()
    assert str(32 << 20) in on_second("cat", *groups).split()


def check_mesh_port_of_either_machine() -> None:
    for address in (str(LAYOUT.host(1).address), ADDRESS):
        until(partial(answers, f"{address}:8080"), f"an answer of {address}")
    shoal("service", "update", "--constraint-add", "node.hostname==h2", "--replicas", "1", "web")
    assert sorted(by_host("web")) == ["h2"]
    for _ in range(4):
        assert BODY in fetch(f"{LAYOUT.host(1).address}:8080"), "by the machine without a task"
    shoal("service", "update", "--constraint-rm", "node.hostname==h2", "web")


def check_scale_and_update_over_the_cable() -> None:
    shoal("service", "update", "--replicas-max-per-node", "0", "web")
    shoal("service", "scale", "web=4")
    assert len(running("web")) == 4
    shoal("service", "update", "--image", f"{HELLO}:2", "web")
    assert {row["image"] for row in running("web")} == {f"{HELLO}:2"}
    shoal("service", "rm", "web")
    shoal("network", "rm", "front")


def check_wireguard_over_the_cable() -> None:
    shoal("network", "create", "--opt", "encrypted", "bank")
    shoal("service", "create", "-d", "--name", "vault", "--mode", "global", "--network", "bank", f"{HELLO}:1")
    until(partial(on_both, "vault"), "a task on each machine")
    _nothing_is_readable("shoal-wg1")


def check_esp_over_the_cable() -> None:
    restart_agent(LAYOUT.host(1), SHOAL_AGENT_OVERLAY_ENCRYPTION="esp")
    on_second("agent", "esp")
    until(lambda: all(_features(host) == ["esp"] for host in ("h1", "h2")), "both use ESP")
    until(partial(on_both, "vault"), "a task on each machine")
    _nothing_is_readable("shoal-es1")


def _features(host: str) -> list[str]:
    return list(rows("node", "inspect", host)[0]["status"]["description"].get("features", []))


def _nothing_is_readable(device: str) -> None:
    until(meet, "a ping over the cable")
    tasks = by_host("vault")
    assert device in in_host("h1", "ip", "route", "get", tasks["h2"][1])
    assert device in on_second("ip", "route", "get", tasks["h1"][1])
    with captured(CABLE):
        assert BODY.decode() in http(pid_here("vault"), tasks["h2"][1])
    data = CABLE.read_bytes()
    assert len(data) > 500
    assert BODY not in data
    assert bytes(map(int, tasks["h2"][1].split("."))) not in data, "the containers' own addresses"


def check_the_cable_is_pulled() -> None:
    """The other node is away for a while, and then is one again."""
    subprocess.run(["ip", "-n", LAN, "link", "set", "eth0", "down"], check=True)
    until(lambda: ready() == {"h1"}, "h2 is missed")
    time.sleep(1)
    subprocess.run(["ip", "-n", LAN, "link", "set", "eth0", "up"], check=True)
    until(lambda: ready() == {"h1", "h2"}, "h2 is back")
    until(meet, "a task on each machine, which reach each other")


CHECKS: tuple[Check, ...] = (
    check_two_kernels,
    check_main_job_over_the_cable,
    check_limits_on_the_second_kernel,
    check_mesh_port_of_either_machine,
    check_scale_and_update_over_the_cable,
    check_wireguard_over_the_cable,
    check_esp_over_the_cable,
    check_the_cable_is_pulled,
)


def print_logs() -> None:
    """What each part said last, and how tasks are."""
    for service in rows("service", "ls"):
        print(shoal("service", "ps", service["name"]), flush=True)
    print("--- h2, on the second machine\n" + on_second("tail", "-n", "25", str(LOG)), flush=True)
    for log in sorted((LAYOUT.state / "logs").glob("[hm]*.log")):
        print(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:]), flush=True)
