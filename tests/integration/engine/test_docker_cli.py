"""Docker's command line on a cluster of three hosts, as a person types it: each test is a walk through one part."""

import json
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.integration.cluster.terminal import Terminal
from tests.integration.engine.conftest import HELLO, EngineCluster
from tests.integration.engine.docker_program import DOCKER, docker, refusal, run

OWN_PAGE = ("wget", "-q", "-O", "/dev/null", "http://127.0.0.1")
pytestmark = pytest.mark.parametrize("shared_engine", [3], ids=["three-hosts"], indirect=True)


def test_a_container_from_run_to_rm(engine: EngineCluster, tmp_path: Path) -> None:
    assert run(DOCKER, "run", "--rm", "-i", HELLO, "cat", text="over\n").stdout == "over\n"
    assert run(DOCKER, "run", "--rm", HELLO, "sh", "-c", "exit 3").returncode == 3
    missing = run(DOCKER, "run", "--rm", HELLO, "nosuch")
    assert (missing.returncode, 'exec: "nosuch": executable file not found in $PATH' in missing.stderr) == (127, True)
    options = ("--name", "web", "-p", "8080:80", "-e", "A=b", "-l", "k=v", "--hostname", "box", "-v", "data:/data")
    identifier = docker("run", "-d", *options, "--tmpfs", "/t:size=1m", "-m", "64m", HELLO).strip()
    assert docker("ps", "--filter", "label=k=v", "--format", "{{.ID}} {{.Names}} {{.State}} {{.Ports}}") == (
        f"{identifier[:12]} web running 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp\n"
    )
    assert docker("port", "web", "80") == "0.0.0.0:8080\n[::]:8080\n"
    assert "port is already allocated" in refusal("run", "--rm", "-p", "8080:80", HELLO)
    assert docker("exec", "-e", "X=1", "-w", "/etc", "web", "sh", "-c", "hostname; pwd; echo $A$X") == "box\n/etc\nb1\n"
    assert run(DOCKER, "exec", "web", "sh", "-c", "exit 7").returncode == 7
    (tmp_path / "file").write_text("content\n")
    docker("cp", str(tmp_path / "file"), "web:/data/")
    docker("cp", "web:/data/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "content\n"
    assert docker("logs", "--tail", "1", "web") == "hello 1 on box, port 80\n"
    assert docker("top", "web", "-o", "pid,comm").splitlines()[0].split() == ["PID", "COMMAND"]
    engine.cluster.until(lambda: _is_served(f"http://{engine.address}:8080/"), "its page, which is traffic of its own")
    usage = json.loads(docker("stats", "--no-stream", "--format", "json", "web"))
    assert usage["Name"] == "web" and usage["NetIO"] != "0B / 0B"
    assert f"volume is in use - [{identifier}]" in refusal("volume", "rm", "data")
    docker("update", "--memory", "128m", "--memory-swap", "-1", "web")
    docker("pause", "web")
    assert "is paused, unpause the container" in refusal("exec", "web", "true")
    docker("unpause", "web")
    docker("rename", "web", "site")
    for command in ("restart", "stop"):
        docker(command, "-t", "1", "site")
    docker("start", "site")
    assert docker("rm", "-f", "site") == "site\n"
    assert docker("ps", "-aq") == ""


def _is_served(url: str) -> bool:
    with suppress(OSError), urlopen(url, timeout=10) as page:
        return bool(page.read())
    return False


def test_terminals_change_size_detach_and_are_attached_to_again(engine: EngineCluster) -> None:
    terminal = Terminal(engine.cluster, "run", "-it", "--name", "shell", HELLO, "sh", program=DOCKER)
    terminal.read_until("# ")
    terminal.resize(33, 111)
    terminal.type('until test "$(stty size)" = "33"" 111"; do sleep 0.1; done; stty size\n')
    terminal.read_until("33 111")
    terminal.type("\x10\x11")
    assert terminal.end() == 0
    assert docker("inspect", "-f", "{{.State.Status}}", "shell") == "running\n"
    for number in (1, 2):
        again = Terminal(engine.cluster, "attach", "--detach-keys", "ctrl-x,x", "shell", program=DOCKER)
        again.type(f"echo $(({number} + 40))\n")
        again.read_until(f"{number + 40}\r\n")
        again.type("\x18x")
        again.read_until("read escape sequence")
        again.end()
    inside = Terminal(engine.cluster, "exec", "-it", "shell", "sh", program=DOCKER)
    inside.type("echo $TERM; exit 9\n")
    inside.read_until("xterm")
    assert inside.end() == 9
    last = Terminal(engine.cluster, "attach", "shell", program=DOCKER)
    last.type("exit 4\n")
    assert last.end() == 4


def test_networks_images_and_the_whole_system(engine: EngineCluster, tmp_path: Path) -> None:
    began = int(time.time())
    docker("network", "create", "--subnet", "10.77.0.0/24", "back")
    docker("run", "-d", "--name", "db", "--network", "back", "--network-alias", "database", HELLO)
    engine.cluster.until(lambda: run(DOCKER, "exec", "db", *OWN_PAGE).returncode == 0, "db to serve")
    assert "host: " in docker("run", "--rm", "--network", "back", HELLO, "wget", "-qO-", "http://database")
    assert "has active endpoints" in refusal("network", "rm", "back")
    assert "network nosuch not found" in refusal("run", "--rm", "--network", "nosuch", HELLO)
    docker("network", "create", "front")
    docker("network", "connect", "--alias", "zz", "front", "db")
    assert "host: " in docker("run", "--rm", "--network", "front", HELLO, "wget", "-qO-", "http://zz")
    docker("network", "disconnect", "front", "db")
    docker("exec", "db", "touch", "/new")
    docker("commit", "-m", "text", "-c", 'CMD ["ls", "/new"]', "db", "mine:1")
    assert docker("run", "--rm", "mine:1") == "/new\n"
    docker("save", "-o", str(tmp_path / "mine.tar"), "mine:1")
    assert "Untagged: mine:1" in docker("rmi", "mine:1")
    assert docker("load", "-i", str(tmp_path / "mine.tar")) == "Loaded image: mine:1\n"
    assert docker("history", "--format", "{{.Comment}}", "mine:1").splitlines()[0] == "text"
    docker("tag", "mine:1", "registry:5000/mine:1")
    docker("tag", "mine:1", "registry:5000/mine:2")
    assert "2: digest: sha256:" in docker("push", "-a", "registry:5000/mine")
    docker("rmi", "registry:5000/mine:1", "registry:5000/mine:2")
    pulled = docker("pull", "-a", "registry:5000/mine")
    assert "1: Pulling from mine" in pulled and "Downloaded newer image for registry:5000/mine:2" in pulled
    docker("export", "-o", str(tmp_path / "db.tar"), "db")
    docker("import", "-c", "CMD echo imported", str(tmp_path / "db.tar"), "flat:1")
    assert docker("run", "--rm", "flat:1") == "imported\n"
    rows = [json.loads(line) for line in docker("system", "df", "--format", "json").splitlines()]
    assert [row["Type"] for row in rows] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert "Nodes: 3" in docker("info")
    events = docker("events", "--since", str(began), "--until", "0s", "--format", "{{.Type}} {{.Action}}").splitlines()
    assert {"network create", "container create", "container start", "container die", "image tag"} <= {*events}
    docker("rm", "-f", "db")
    assert {"back", "front"} <= {*docker("network", "prune", "-f").split()}
    docker("rmi", "mine:1", "registry:5000/mine:1", "registry:5000/mine:2", "flat:1")


def test_services_and_jobs(engine: EngineCluster) -> None:
    watched = ("--update-monitor", "1s", "--rollback-monitor", "1s")
    docker("service", "create", "-q", "--name", "web", "--replicas", "2", "-p", "8081:80", *watched, HELLO)
    assert docker("service", "ls", "--format", "{{.Name}} {{.Replicas}} {{.Ports}}") == "web 2/2 *:8081->80/tcp\n"
    docker("service", "scale", "-d", "web=3")
    docker("tag", HELLO, "hello:again")
    docker("service", "update", "-q", "--image", "hello:again", "web")
    rows = docker("service", "ps", "web", "--format", "{{.Image}} {{.DesiredState}}").splitlines()
    assert rows.count("hello:again Running") == 3 and f"{HELLO} Shutdown" in rows
    assert "rollback: manually requested rollback" in docker("service", "rollback", "web")
    assert "rollback_completed" in docker("service", "inspect", "--pretty", "web")
    logs = docker("service", "logs", "web")
    assert logs.startswith("web.") and "hello 1 on web-" in logs
    assert docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}").split() == [
        word for name in ("h1", "h2", "h3") for word in (name, "Ready")
    ]
    docker("node", "update", "--label-add", "zone=a", "h2")
    assert "roles of nodes cannot be changed" in refusal("node", "promote", "h2")
    job = ("--mode", "replicated-job", "--replicas", "3", HELLO, "sh", "-c", "echo done")
    assert "job complete" in docker("service", "create", "--name", "job", *job)
    assert docker("service", "ls", "--filter", "name=job", "--format", "{{.Replicas}}") == "0/3 (3/3 completed)\n"
    assert docker("service", "logs", "job").count("done") == 3
    assert "job complete" in docker("service", "create", "--name", "every", "--mode", "global-job", HELLO, "true")
    docker("service", "rm", "web", "job", "every")
    docker("rmi", "hello:again")


STACK = """
services:
  web:
    image: hello:1
    deploy: {replicas: 2, labels: {x: "y"}}
    networks: [back]
    secrets: [key]
    configs: [{source: motd, target: /motd}]
  db:
    image: hello:1
    networks: {back: {aliases: [database]}}
networks: {back: {}}
secrets: {key: {file: ./key}}
configs: {motd: {file: ./motd}}
"""


def test_a_stack_is_one_of_the_cluster(engine: EngineCluster, tmp_path: Path) -> None:
    for name, content in {"stack.yaml": STACK, "key": "hidden\n", "motd": "hello\n"}.items():
        (tmp_path / name).write_text(content)
    docker("stack", "deploy", "-d", "-c", str(tmp_path / "stack.yaml"), "shop")
    engine.cluster.until(
        lambda: (
            docker("stack", "services", "--format", "{{.Name}} {{.Replicas}}", "shop").split()
            == ["shop_db", "1/1", "shop_web", "2/2"]
        ),
        "the stack's tasks",
    )
    assert docker("stack", "ls", "--format", "{{.Name}} {{.Services}}") == "shop 2\n"
    assert engine.cluster.json("stack", "ls")[0]["name"] == "shop"
    database = docker("ps", "-q", "--filter", "name=shop_db").strip()
    engine.cluster.until(lambda: run(DOCKER, "exec", database, *OWN_PAGE).returncode == 0, "db to serve")
    container = docker("ps", "-q", "--filter", "name=shop_web").split()[0]
    read = docker("exec", container, "sh", "-c", "cat /run/secrets/key /motd; wget -qO- http://database")
    assert read.startswith("hidden\nhello\nversion: 1\n")
    assert "in use by" in refusal("secret", "rm", "shop_key")
    again = docker("stack", "deploy", "-d", "-c", str(tmp_path / "stack.yaml"), "shop")
    assert "Updating service shop_web" in again
    assert len(docker("stack", "ps", "-q", "shop").split()) == 3, "no task was replaced"
    docker("stack", "rm", "shop")
    assert docker("stack", "ls", "--format", "{{.Name}}") == ""
    assert (docker("secret", "ls", "-q"), docker("config", "ls", "-q")) == ("", "")
