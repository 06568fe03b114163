"""Health checks and templates, from the command line to the container."""

from pathlib import Path

from tests.integration.cluster.harness import Cluster, inside

HELLO = "registry:5000/hello"
QUICK = ("--health-interval", "1s", "--health-timeout", "1s", "--health-retries", "2", "--restart-delay", "0s")


def test_only_what_is_healthy_counts_and_what_is_not_is_replaced(clean: Cluster) -> None:
    script = "echo up > /tmp/up; exec /bin/sleep 1000"
    clean.shoal(
        *("service", "create", "--name", "web", *QUICK, "--health-cmd", "cat /tmp/up"),
        *(f"{HELLO}:1", "/bin/sh", "-c", script),
    )
    (first,) = clean.tasks("web")
    assert first["current"].startswith("running (healthy)")
    (pid,) = clean.pids("web").values()
    assert inside(pid, "/bin/rm", "/tmp/up").returncode == 0
    clean.until(
        lambda: [row for row in clean.json("service", "ps", "web") if row["reason"].startswith("unhealthy: ")],
        "the unhealthy task has failed",
    )
    clean.until(
        lambda: [row for row in clean.tasks("web") if row["id"] != first["id"] and row["health"] == "healthy"],
        "a healthy successor",
    )


def test_http_and_tcp_need_no_tool_in_the_image(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "http", *QUICK, "--health-http", ":80/", f"{HELLO}:1")
    clean.shoal("service", "create", "--name", "tcp", *QUICK, "--health-tcp", "80", f"{HELLO}:1")
    assert [row["health"] for name in ("http", "tcp") for row in clean.tasks(name)] == ["healthy"] * 2


def test_templates_are_filled_in_on_the_node(clean: Cluster) -> None:
    clean.shoal(
        *(
            "service",
            "create",
            "--name",
            "named",
            "--label",
            "tier=one",
            "--hostname",
            "{{.Service.Name}}-{{.Task.Slot}}",
        ),
        *("--env", "WHERE={{.Node.Hostname}}/{{.Service.Labels.tier}}", f"{HELLO}:1"),
    )
    (row,) = clean.tasks("named")
    (pid,) = clean.pids("named").values()
    assert inside(pid, "/bin/hostname").stdout.strip() == "named-1"
    assert f"WHERE={row['node']}/one" in Path(f"/proc/{pid}/environ").read_text().split("\0")
    refused = clean.run("service", "create", "--name", "bad", "--hostname", "{{.Task.Nope}}", f"{HELLO}:1")
    assert refused.returncode != 0 and "unknown placeholder" in refused.stderr
