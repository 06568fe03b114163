"""What a container is and is not: limits, namespaces, network between hosts."""

from pathlib import Path

from tests.integration.cluster.harness import Cluster, inside

HELLO = "registry:5000/hello"
NAMESPACES = ("pid", "mnt", "uts", "net", "ipc", "cgroup")


def cgroup_file(pid: int, controller: str, v1: str, v2: str) -> str:
    """A value of the cgroup that a process is in, on a version 1 or a version 2 host (proc(5), cgroups(7))."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return (Path("/sys/fs/cgroup") / controllers / path.lstrip("/") / v1).read_text().strip()
        if not controllers and (Path("/sys/fs/cgroup") / path.lstrip("/") / v2).exists():
            return (Path("/sys/fs/cgroup") / path.lstrip("/") / v2).read_text().strip()
    raise AssertionError(f"process {pid} has no {controller} cgroup")


def test_limits_and_isolation(clean: Cluster) -> None:
    clean.shoal(
        *("service", "create", "--name", "web", "--limit-memory", "64M", "--limit-cpu", "0.5"),
        *("--limit-pids", "50", f"{HELLO}:1"),
    )
    (pid,) = clean.pids("web").values()
    assert cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert cgroup_file(pid, "pids", "pids.max", "pids.max") == "50"
    for name in NAMESPACES:
        ours, theirs = (Path(f"/proc/{number}/ns/{name}").readlink() for number in ("self", pid))
        assert ours != theirs, f"the {name} namespace is the host's"
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status
    (task,) = clean.tasks("web")
    assert inside(pid, "/bin/hostname").stdout.strip() == f"web-1-{task['id']}"


def test_cross_host_ping_and_http_by_name(clean: Cluster) -> None:
    clean.shoal("network", "create", "front")
    for name in ("web", "client"):
        clean.shoal("service", "create", "--name", name, "--mode", "global", "--network", "front", f"{HELLO}:1")
    addresses = {row["node"]: row["addresses"][0] for row in clean.tasks("web")}
    nodes = {row["id"]: row["node"] for row in clean.tasks("client")}
    for task, pid in clean.pids("client").items():
        for node, address in addresses.items():
            ping = inside(pid, "/bin/ping", "-c1", "-W3", address)
            assert ping.returncode == 0, f"{nodes[task]} to {node}: {ping.stdout}{ping.stderr}"
        answer = inside(pid, "/bin/wget", "-qO-", "http://web/")
        assert answer.returncode == 0, answer.stderr
        names = inside(pid, "/bin/nslookup", "tasks.web").stdout
        assert all(address in names for address in addresses.values()), names


def test_networks_are_apart(clean: Cluster) -> None:
    for name in ("front", "back"):
        clean.shoal("network", "create", name)
    clean.shoal("service", "create", "--name", "web", "--mode", "global", "--network", "front", f"{HELLO}:1")
    clean.shoal("service", "create", "--name", "spy", "--network", "back", f"{HELLO}:1")
    (pid,) = clean.pids("spy").values()
    for row in clean.tasks("web"):
        ping = inside(pid, "/bin/ping", "-c1", "-W1", row["addresses"][0])
        assert ping.returncode != 0, f"a container of another network reached {row}"
    assert inside(pid, "/bin/nslookup", "web").returncode != 0


def test_exit_codes_and_memory_kills_are_reported(clean: Cluster) -> None:
    once = ("--restart-condition", "none")
    clean.shoal("service", "create", "-d", "--name", "three", *once, f"{HELLO}:1", "sh", "-c", "exit 3")
    clean.shoal(
        *("service", "create", "-d", "--name", "greedy", *once, "--limit-memory", "16M"),
        *(f"{HELLO}:1", "sh", "-c", "x=a; while :; do x=$x$x; done"),
    )
    (three,) = clean.until(
        lambda: [row for row in clean.json("service", "ps", "three") if row["state"] == "failed"], "exit code 3"
    )
    assert three["exit_code"] == 3
    (greedy,) = clean.until(
        lambda: [row for row in clean.json("service", "ps", "greedy") if row["state"] == "failed"], "an OOM kill"
    )
    assert "memory" in greedy["reason"]
