"""Commands about containers on three hosts: what they print, their exit codes, and what they do."""

import subprocess
from functools import partial

from cli.playground import virtual_network
from tests.integration.cluster.harness import SHOAL, Cluster

HELLO = "registry:5000/hello:1"


def row_of(cluster: Cluster, name: str) -> dict[str, object] | None:
    rows = cluster.json("ps", "--all", "--filter", f"name={name}")
    return next((row for row in rows if row["names"] == name), None)


def state_of(cluster: Cluster, name: str) -> object:
    row = row_of(cluster, name)
    return row["state"] if row is not None else None


def run(cluster: Cluster, name: str, *options: str) -> str:
    """Run the example in the background; its container id."""
    return cluster.shoal("run", "-d", "--name", name, *options, HELLO).strip()


def test_a_container_is_listed_with_what_it_is(clean: Cluster) -> None:
    clean.shoal("network", "create", "front")
    identifier = run(clean, "web", "--network", "front", "-p", "8080:80", "-l", "tier=web", "-v", "data:/data")
    row = row_of(clean, "web")
    assert row is not None
    assert (row["container_id"], row["image"], row["ports"]) == (identifier[:12], HELLO, "0.0.0.0:8080->80/tcp")
    assert (row["networks"], row["mounts"], row["labels"]) == (["front"], ["data"], {"tier": "web"})
    assert str(row["status"]).startswith("Up ") and row["command"] == '"/entrypoint.sh"'
    clean.shoal("create", "--name", "made", HELLO)
    assert clean.shoal("ps", "-q", "--no-trunc").split() == [identifier]
    assert clean.shoal("ps", "-l", "--format", "{{.Names}} {{.State}}").strip() == "made created"
    assert clean.shoal("ps", "--filter", "status=created", "--format", "{{.Names}}").split() == ["made"]
    assert clean.shoal("ps", "-a", "--filter", "since=web", "--format", "{{.Names}}").split() == ["made"]
    assert clean.shoal("port", "web") == "80/tcp -> 0.0.0.0:8080\n"
    assert clean.shoal("port", "web", "80") == "0.0.0.0:8080\n"
    refused = clean.run("port", "web", "81")
    assert (refused.returncode, refused.stderr) == (1, "error: no public port '81/tcp' published for web\n")


def test_tasks_of_services_are_there_too(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "svc", "--replicas", "2", HELLO)
    run(clean, "own")
    assert sorted(clean.shoal("ps", "--format", "{{.Names}}").split()) == ["own", "svc.1", "svc.2"]
    assert clean.shoal("ps", "--filter", "is-task=false", "--format", "{{.Names}}").split() == ["own"]
    for words in (("svc.1",), ("own", "-o", "pid,args")):
        clean.until(partial(_has_server, clean, *words), f"the server in {words[0]}")
    assert clean.shoal("inspect", "--format", "{{.State.Status}}", "svc.1").strip() == "running"
    assert clean.shoal("inspect", "--format", "{{.Spec.Name}}", "svc").strip() == "svc"


def _has_server(cluster: Cluster, *words: str) -> bool:
    """Whether `top` lists it: an entry point starts it."""
    return "httpd" in cluster.shoal("top", *words)


def test_the_life_of_a_container(clean: Cluster) -> None:
    run(clean, "db")
    assert clean.shoal("pause", "db") == "db\n"
    assert "(Paused)" in str((row_of(clean, "db") or {})["status"])
    again = clean.run("pause", "db")
    assert (again.returncode, again.stderr) == (1, 'error: container "db" is already paused\n')
    assert clean.shoal("unpause", "db") == "db\n"
    clean.shoal("exec", "db", "touch", "/kept")
    assert clean.shoal("rename", "db", "pg") == ""
    with subprocess.Popen(
        [SHOAL, "wait", "pg"], env={"SHOAL_CONFIG": str(clean.config)}, stdout=subprocess.PIPE, text=True
    ) as waiting:
        assert clean.shoal("stop", "--timeout", "60", "pg") == "pg\n"
        assert waiting.communicate(timeout=60)[0] == "0\n"
    assert str((row_of(clean, "pg") or {})["status"]).startswith("Exited (0) ")
    assert clean.shoal("ps", "-q") == ""
    assert clean.shoal("restart", "pg") == "pg\n"
    assert clean.run("exec", "pg", "test", "-e", "/kept").returncode == 0
    refused = clean.run("rm", "pg")
    assert refused.returncode == 1 and "is running" in refused.stderr
    assert clean.shoal("kill", "pg") == "pg\n"
    clean.until(lambda: state_of(clean, "pg") == "exited", "the killed container has ended")
    assert (row_of(clean, "pg") or {})["exit_code"] == 137
    some = clean.run("rm", "-f", "pg", "nobody")
    assert (some.returncode, some.stdout) == (1, "pg\n") and '"nobody" not found' in some.stderr
    assert row_of(clean, "pg") is None


def test_logs_over_all_runs(clean: Cluster) -> None:
    identifier = run(clean, "web")
    line = f"hello 1 on {identifier[:12]}, port 80"
    clean.until(lambda: clean.shoal("logs", "web").splitlines() == [line], "the first line")
    clean.shoal("restart", "web")
    clean.until(lambda: clean.shoal("logs", "web").splitlines() == [line, line], "the second line")
    assert clean.shoal("logs", "--tail", "1", "web").splitlines() == [line]
    assert clean.shoal("logs", "--until", "1h", "web") == ""
    stamp, _, rest = clean.shoal("logs", "-t", "-n", "1", "web").partition(" ")
    assert stamp.endswith("Z") and rest == f"{line}\n"
    clean.shoal("stop", "web")
    assert clean.shoal("logs", "-f", "web").splitlines() == [line, line], "following ends with the container"
    missing = clean.run("logs", "nobody")
    assert missing.returncode == 1 and '"nobody" not found' in missing.stderr


def test_limits_and_networks_of_a_running_container(clean: Cluster) -> None:
    for name in ("front", "back"):
        clean.shoal("network", "create", name)
    run(clean, "db", "--network", "front")
    pid = clean.shoal("inspect", "--format", "{{.State.Pid}}", "db")
    assert clean.shoal("update", "--memory", "64M", "--restart", "always", "db") == "db\n"
    about = clean.shoal("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}", "db")
    assert about == f"{64 << 20} always\n"
    clean.shoal("network", "connect", "--alias", "store", "back", "db")
    names = clean.shoal(
        "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", "db"
    )
    assert names.split() == ["back", "front"]
    aliases = clean.shoal("inspect", "--format", "{{.NetworkSettings.Networks.back.Aliases}}", "db")
    assert "store" in aliases
    twice = clean.run("network", "connect", "back", "db")
    assert twice.returncode == 1 and "already connected" in twice.stderr
    clean.shoal("network", "disconnect", "back", "db")
    assert clean.run("network", "disconnect", "back", "db").returncode == 1
    assert clean.shoal("inspect", "--format", "{{.State.Pid}}", "db") == pid, "it keeps running"


def test_disk_usage_and_prune(clean: Cluster) -> None:
    run(clean, "db", "-v", "data:/data")
    clean.shoal("exec", "db", "dd", "if=/dev/zero", "of=/big", "bs=1000", "count=2000")
    clean.shoal("create", "--name", "made", "-v", "/anonymous", HELLO)
    clean.shoal("network", "create", "unused")
    sizes = {row["names"]: row["writable_bytes"] for row in clean.json("ps", "--all", "--size")}
    assert 2_000_000 <= sizes["db"] < 3_000_000 and sizes["made"] < 100_000
    usage = {row["type"]: row for row in clean.json("system", "df")}
    containers, volumes = usage["Containers"], usage["Local Volumes"]
    assert (containers["total"], containers["active"], volumes["total"]) == (2, 1, 2)
    assert containers["size_bytes"] >= 2_000_000 and usage["Images"]["active"] == 1
    clean.shoal("stop", "db")
    declined = clean.run("system", "prune", text="n\n")
    assert declined.returncode == 130 and "all stopped containers" in declined.stderr
    done = clean.shoal("system", "prune", "--force", "--volumes")
    assert "Deleted Containers:" in done and "Deleted Networks:\nunused\n" in done and "Deleted Volumes:" in done
    reclaimed = done.splitlines()[-1]
    assert reclaimed.startswith("Total reclaimed space: 2") and reclaimed.endswith("MB")
    assert clean.json("ps", "--all") == []
    clean.until(lambda: [row["name"] for row in clean.json("volume", "ls")] == ["data"], "the volume is deleted")


def test_containers_of_a_node_that_is_away(clean: Cluster) -> None:
    run(clean, "db", "--node", "h2")
    run(clean, "other", "--node", "h3")
    virtual_network.set_link_state(clean.layout, clean.host_of("h2"), connected=False)
    clean.until(lambda: "down" in str((row_of(clean, "db") or {})["status"]), "the node is down")
    assert str((row_of(clean, "db") or {})["status"]).endswith("(node h2 is down)")
    for words in (("stop",), ("top",), ("kill",), ("pause",), ("start",)):
        done = clean.run(*words, "db")
        assert done.returncode == 1 and "h2" in done.stderr, (words, done.stderr)
    assert "node h2" in clean.run("ps", "--all", "--size").stderr
    assert clean.shoal("stop", "other") == "other\n"
    virtual_network.set_link_state(clean.layout, clean.host_of("h2"), connected=True)
    clean.playground.wait_for_nodes(3)
    assert str((row_of(clean, "db") or {})["status"]).startswith("Up ")
