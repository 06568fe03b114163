"""One container of a Compose file: its name, its hooks, its log, and the address of its node."""

from pathlib import Path

from tests.integration.cluster.harness import Cluster, inside

STACK = """
services:
  db:
    image: registry:5000/hello:1
    container_name: main_db
    logging: {driver: none}
    extra_hosts: ["node:host-gateway"]
    stop_grace_period: 5s
    post_start:
      - command: [sh, -c, "echo $$FOO $$(pwd) > /tmp/started"]
        working_dir: /tmp
        environment: {FOO: bar}
    pre_stop:
      - command: [sh, -c, "echo saved > /kept/stopped"]
    volumes: [kept:/kept]
  other:
    image: registry:5000/hello:1
volumes: {kept: {}}
"""
FAILS = """
services:
  db:
    image: registry:5000/hello:1
    post_start: [{command: [sh, -c, "echo cannot; exit 3"]}]
    deploy: {restart_policy: {condition: none}}
"""


def test_name_hooks_log_and_gateway(clean: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(STACK)
    clean.shoal("stack", "deploy", "-c", str(path), "one")
    assert clean.shoal("exec", "main_db", "cat", "/tmp/started") == "bar /tmp\n"
    (task,) = clean.tasks("one_db")
    (pid,) = clean.pids("one_other").values()
    clean.until(lambda: inside(pid, "/bin/nslookup", "main_db").returncode == 0, "the container's name")
    address = f"Address: {task['addresses'][0]}\n"
    clean.until(lambda: address in inside(pid, "/bin/nslookup", "tasks.main_db").stdout, "the container's address")
    assert str(clean.host_of(task["node"]).address) in clean.shoal("exec", "main_db", "grep", "node", "/etc/hosts")
    assert clean.shoal("exec", "main_db", "ping", "-c1", "-W3", "node")
    refused = clean.run("service", "logs", "main_db")
    assert refused.returncode != 0
    assert 'service "one_db" has no logs because its log driver is none' in refused.stderr
    many = clean.run("service", "scale", "one_db=2")
    assert '"main_db" names a single container, but the service has 2' in many.stderr
    clean.shoal("service", "scale", "one_db=0")
    clean.shoal("service", "scale", "one_db=1")
    assert clean.shoal("exec", "main_db", "cat", "/kept/stopped") == "saved\n"
    clean.shoal("stack", "rm", "one")
    clean.until(lambda: clean.run("volume", "rm", "one_kept").returncode == 0, "the volume to be free")


def test_a_hook_that_fails_fails_the_task(clean: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "fails.yaml"
    path.write_text(FAILS)
    clean.shoal("stack", "deploy", "--detach", "-c", str(path), "fails")
    message = "post_start hook 1 (sh): exit code 3: cannot"
    clean.until(lambda: message in clean.shoal("service", "ps", "fails_db", "--format", "json"), message)
    (row,) = clean.json("service", "ps", "fails_db")
    assert row["state"] == "failed"
