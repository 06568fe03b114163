"""Stacks as people deploy them: services that wait for each other, rehearsals, events, paths of tasks."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cli.playground import virtual_network
from tests.integration.cluster.harness import Cluster

CHAIN = """
name: chain
services:
  web:
    image: registry:5000/hello:${VERSION:-1}
    depends_on:
      migrate: {condition: service_completed_successfully}
      db: {condition: service_healthy}
    deploy: {replicas: 2}
  migrate:
    image: registry:5000/hello:1
    entrypoint: [/bin/sh, -c]
    command: ["exit ${CODE:-0}"]
    environment: {VERSION: "${VERSION:-1}"}
    depends_on: [db]
  db:
    extends: {service: base, file: base.yaml}
    healthcheck: {test: [CMD, /bin/true], interval: 200ms, start_period: 2s, start_interval: 200ms}
"""
BASE = "services: {base: {image: 'registry:5000/hello:1', labels: {from: base}}}"


def files(directory: Path, text: str = CHAIN) -> str:
    (directory / "base.yaml").write_text(BASE)
    (directory / "chain.yaml").write_text(text)
    return str(directory / "chain.yaml")


def events(cluster: Cluster, *filters: str) -> list[dict[str, Any]]:
    words = [word for text in filters for word in ("--filter", text)]
    lines = cluster.shoal("events", "--since", "10m", "--until", "0s", "--format", "json", *words).splitlines()
    return [json.loads(line) for line in lines]


def test_services_start_in_the_order_of_their_conditions(clean: Cluster, tmp_path: Path) -> None:
    path = files(tmp_path)
    clean.shoal("stack", "deploy", "-c", path)
    actions = [(event["service"], event["action"]) for event in events(clean, "type=task", "stack=chain")]
    assert actions.index(("chain_db", "healthy")) < actions.index(("chain_web", "assigned"))
    assert actions.index(("chain_migrate", "complete")) < actions.index(("chain_web", "assigned"))
    assert actions.index(("chain_db", "running")) < actions.index(("chain_migrate", "assigned"))
    assert len(clean.tasks("chain_web")) == 2
    before = clean.pids("chain_web")
    clean.shoal("service", "update", "--force", "chain_db")
    assert clean.pids("chain_web") == before
    clean.shoal("stack", "rm", "chain")
    assert clean.json("network", "ls") == []


EXTERNAL = """
name: outer
services:
  web:
    image: registry:5000/hello:1
    shm_size: 1
    volumes:
      - data:/data
    networks: [far]
    secrets: [key]
volumes: {data: {external: true}}
networks: {far: {external: {name: away}}}
secrets: {key: {external: true}}
"""


def test_what_has_to_be_there_and_is_not_is_reported_by_name_and_line(clean: Cluster, tmp_path: Path) -> None:
    path = files(tmp_path, EXTERNAL)
    done = clean.run("stack", "deploy", "-c", path)
    assert done.returncode == 2
    for output in (
        ':8:9: services.web.volumes[0]: volume "data" not found',
        ':9:16: services.web.networks[0]: network "away" not found',
        ':10:15: services.web.secrets[0]: secret "key" not found',
    ):
        assert output in done.stderr, done.stderr
    assert clean.json("volume", "ls") == clean.json("service", "ls") == []


def test_a_job_that_fails_ends_the_deployment(clean: Cluster, tmp_path: Path) -> None:
    path = files(tmp_path, CHAIN.replace("${CODE:-0}", "7"))
    done = clean.run("stack", "deploy", "-c", path)
    assert done.returncode == 1, done.stderr
    assert "waiting for chain_migrate to complete, which has failed" in done.stderr
    assert clean.json("service", "ps", "chain_web") == []
    assert "waiting for chain_migrate to complete" in clean.run("service", "ps", "chain_web").stderr


def test_a_rehearsal_says_where_tasks_would_go_and_changes_nothing(clean: Cluster, tmp_path: Path) -> None:
    path = files(tmp_path)
    output = clean.shoal("stack", "deploy", "--dry-run", "-c", path)
    assert "+ service chain_web (create)" in output
    assert "chain_web.1 -> h" in output
    assert "chain_web.2 -> h" in output
    assert clean.json("service", "ls") == []
    clean.shoal("stack", "deploy", "-c", path)
    assert clean.run("stack", "diff", "--exit-code", "-c", path).returncode == 0
    changed = files(tmp_path, CHAIN.replace("replicas: 2", "replicas: 3"))
    done = clean.run("stack", "diff", "--exit-code", "-c", changed)
    assert done.returncode == 1
    assert "replicated.replicas: 2 -> 3" in done.stdout
    assert "chain_web.3 -> h" in done.stdout
    assert len(clean.tasks("chain_web")) == 2


def test_faults_and_the_resolved_model(clean: Cluster, tmp_path: Path) -> None:
    text = clean.shoal("stack", "config", "-c", files(tmp_path))
    assert "extends" not in text
    assert "from: base" in text
    done = clean.run("stack", "deploy", "-c", files(tmp_path, CHAIN.replace("depends_on: [db]", "depends_on: [web]")))
    assert done.returncode == 2
    assert "dependency cycle: migrate → web → migrate" in done.stderr
    assert "chain.yaml:15:5" in done.stderr


def test_the_path_of_a_task_and_what_runs_on_a_node(clean: Cluster) -> None:
    clean.shoal("service", "create", "--name", "one", "--reserve-memory", "16M", "registry:5000/hello:1")
    (row,) = clean.tasks("one")
    path = [step["state"] for step in clean.inspect(row["id"])["path"]]
    assert path[0] == "created"
    assert path[1:] == [state for state in ("accepted", "preparing", "ready", "starting", "running") if state in path]
    assert "running" in path
    (node,) = clean.json("node", "inspect", row["node"])
    assert [task["name"] for task in node["running"]] == ["one.1"]
    assert node["reserved"]["memory_bytes"] == 16 << 20


def test_logs_are_partial_with_a_warning_when_a_node_is_away(clean: Cluster) -> None:
    clean.shoal(
        *("service", "create", "--name", "talk", "--mode", "global", "--entrypoint", "/bin/sh"),
        *("registry:5000/hello:1", "-c", "for i in 1 2 3; do echo line $i; done; exec sleep 1000"),
    )

    def has_last_lines() -> bool:  # a task runs before it has written
        whole = clean.shoal("service", "logs", "-n", "1", "-t", "--since", "5m", "talk").splitlines()
        return len(whole) == 3 and all(line.endswith("line 3") for line in whole)

    clean.until(has_last_lines, "the last line of each task")
    virtual_network.set_link_state(clean.layout, clean.host_of("h3"), connected=False)
    done = clean.run("service", "logs", "--raw", "talk")
    assert done.stdout.count("line 3") == 2
    assert "h3" in done.stderr


SHOP = """
services:
  web:
    image: registry:5000/hello:1
    networks: [front]
    ports: ["80"]
    secrets: [password]
    volumes: ["data:/data"]
  other: {image: "registry:5000/hello:1", networks: [front]}
networks: {front: {}}
volumes: {data: {}}
secrets: {password: {file: ./password}}
"""


def test_first_deployments_of_a_stack_at_once_all_succeed(clean: Cluster, tmp_path: Path) -> None:
    """Each of two stacks by three users at the same moment: networks, volumes, secrets and a port are made once."""
    (tmp_path / "password").write_text("s3cret")
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)

    def deploy(stack: str) -> str:
        done = clean.run("stack", "deploy", "--compose-file", str(file), stack)
        return done.stderr if done.returncode else ""

    with ThreadPoolExecutor() as pool:
        assert not any(failed := list(pool.map(deploy, ["one", "two"] * 3))), failed
    for stack in ("one", "two"):
        rows = clean.json("stack", "services", stack)
        assert sorted((row["name"], row["running"]) for row in rows) == [(f"{stack}_other", 1), (f"{stack}_web", 1)]
        assert len(clean.json("stack", "ps", stack)) == 2, "none was replaced"
    clean.shoal("stack", "rm", "one", "two")
