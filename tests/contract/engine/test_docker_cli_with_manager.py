"""The docker command line against the engine's own handlers, over a manager's handlers, planner and store."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engine.rig.docker_cli import docker, environment_of
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.raw_http import request
from tests.contract.engine.rig.served import served
from tests.unit.manager_api.containers.container_rig import ContainerRig

Environment = dict[str, str]


def _prepare(rig: ContainerRig) -> None:
    rig.exit_codes |= {"ends": 0, "fails": 3}
    rig.rejects.add("broken")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with served(lambda: rig_routes(_prepare), tmp_path) as engine:
        yield environment_of(engine, tmp_path, tls=False)


def output(environment: Environment, *arguments: str, given: bytes = b"") -> str:
    result = docker(environment, *arguments, given=given)
    assert result.returncode == 0, result.stderr
    return result.stdout.decode()


def failure(environment: Environment, *arguments: str) -> tuple[int, str]:
    result = docker(environment, *arguments)
    assert result.returncode != 0, result.stdout
    return result.returncode, result.stderr.decode()


def inspect(environment: Environment, *arguments: str) -> dict[str, Any]:
    (document,) = json.loads(output(environment, *arguments))
    return dict(document)


def test_run_prints_the_output_and_exits_with_the_code(environment: Environment) -> None:
    assert output(environment, "run", "--rm", "--name", "ends", "alpine", "echo", "hello", "world") == "hello world\n"
    assert output(environment, "ps", "-aq") == ""
    result = docker(environment, "run", "--name", "fails", "alpine", "echo", "x")
    assert (result.stdout, result.returncode) == (b"x\n", 3)


@pytest.mark.parametrize("options", [(), ("--rm",)])
def test_a_program_that_is_not_there_is_code_127(environment: Environment, options: tuple[str, ...]) -> None:
    code, text = failure(environment, "run", *options, "--name", "broken", "alpine", "nosuch")
    assert code == 127
    assert "executable file not found in $PATH" in text


def test_a_container_lives_as_docker_has_it(environment: Environment) -> None:
    identifier = output(
        environment, "run", "-d", "--name", "web", "-l", "a=b", "-e", "X=1", "alpine", "sleep", "9"
    ).strip()
    assert len(identifier) == 64
    assert output(environment, "ps", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.State}} {{.Command}}") == (
        f'{identifier[:12]} alpine web running "sleep 9"\n'
    )
    document = inspect(environment, "inspect", identifier[:10])
    assert document["State"]["Status"] == "running"
    assert document["Config"]["Env"] == ["X=1", "PATH=/usr/bin:/bin"]
    assert document["Config"]["Labels"] == {"a": "b"}
    assert document["Path"] == "sleep"
    assert document["Image"].startswith("sha256:cdcd")
    assert "cannot remove container" in failure(environment, "rm", "web")[1]
    output(environment, "rename", "web", "site")
    output(environment, "pause", "site")
    assert inspect(environment, "inspect", "site")["State"]["Paused"] is True
    output(environment, "unpause", "site")
    output(environment, "stop", "-t", "1", "site")
    assert output(environment, "ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}") == "site\n"
    output(environment, "stop", "site")  # 304
    output(environment, "start", "site")
    output(environment, "restart", "site")
    output(environment, "kill", "site")
    output(environment, "rm", "site")
    assert failure(environment, "inspect", "site")[1].strip().endswith("No such object: site")


def test_names_conflict_with_dockers_words(environment: Environment) -> None:
    identifier = output(environment, "create", "--name", "one", "alpine").strip()
    code, text = failure(environment, "create", "--name", "one", "alpine")
    assert code == 1
    assert f'Conflict. The container name "/one" is already in use by container "{identifier}"' in text
    assert "No such container: two" in failure(environment, "start", "two")[1]


def test_an_image_that_is_missing_is_pulled_by_the_client(environment: Environment) -> None:
    """The text of the 404 makes it try; there is no registry to pull from here."""
    assert "Unable to find image 'nosuch:1' locally" in failure(environment, "run", "nosuch:1")[1]
    assert "No such image: nosuch:1" in failure(environment, "image", "inspect", "nosuch:1")[1]


def test_exec_prints_its_output_and_exits_with_the_code(environment: Environment) -> None:
    output(environment, "run", "-d", "--name", "web", "alpine", "sleep", "9")
    assert output(environment, "exec", "web", "echo", "hi") == "hi\n"
    assert output(environment, "exec", "-i", "web", "cat", given=b"data") == "data"
    assert failure(environment, "exec", "web", "exit", "7")[0] == 7
    code, _ = failure(environment, "exec", "web", "nosuch")
    assert code == 127
    output(environment, "exec", "-d", "web", "exit", "7")
    output(environment, "stop", "web")
    assert "is not running" in failure(environment, "exec", "web", "true")[1]


def test_how_a_detached_command_ends_is_told(environment: Environment) -> None:
    output(environment, "run", "-d", "--name", "web", "alpine", "sleep", "9")
    path = Path(environment["DOCKER_HOST"].removeprefix("unix://"))

    def call(method: str, target: str, status: int, **body: Any) -> Any:
        answer = request(path, method, f"/v1.50{target}", body=json.dumps(body).encode() if body else b"")
        assert answer[0] == status, answer
        return json.loads(answer[2]) if answer[2] else None

    asked = {"AttachStdout": True, "detachKeys": "ctrl-a", "Cmd": ["exit", "7"], "Env": ["SECRET=1"], "User": "root"}
    identifier = call("POST", "/containers/web/exec", 201, **asked)["Id"]
    before = call("GET", f"/exec/{identifier}/json", 200)
    assert (before["Running"], before["ExitCode"], before["Pid"]) == (False, None, 0)
    shown = (before["OpenStdin"], before["OpenStdout"], before["OpenStderr"], before["DetachKeys"])
    assert shown == (False, True, False, "ctrl-a")
    assert before["ContainerID"] == output(environment, "inspect", "-f", "{{.Id}}", "web").strip()
    assert call("POST", f"/exec/{identifier}/resize?h=1&w=1", 409)["message"] == f"exec {identifier} is not running"
    call("POST", f"/exec/{identifier}/start", 200, Detach=True)
    assert call("GET", f"/exec/{identifier}/json", 200)["ExitCode"] == 7
    again = call("POST", f"/exec/{identifier}/start", 409, Detach=True)
    assert again == {"message": f"exec {identifier} has already run"}
    unknown = identifier[:-1] + ("0" if identifier[-1] != "0" else "1")
    assert call("GET", f"/exec/{unknown}/json", 404) == {"message": f"No such exec instance: {unknown}"}
    assert call("GET", "/exec/nosuch/json", 404) == {"message": "No such exec instance: nosuch"}


def test_input_of_run_reaches_the_program(environment: Environment) -> None:
    assert docker(environment, "run", "-i", "--name", "ends", "alpine", "cat", given=b"abc\n").stdout == b"abc\n"


def test_links_are_told_and_taken_away(environment: Environment) -> None:
    output(environment, "run", "-d", "--name", "db", "alpine", "sleep", "9")
    output(environment, "run", "-d", "--name", "web", "--link", "db:store", "alpine", "sleep", "9")
    assert inspect(environment, "inspect", "web")["HostConfig"]["Links"] == ["/db:/web/store"]
    assert output(environment, "ps", "--no-trunc", "--format", "{{.Names}}").splitlines() == ["web", "db,web/store"]
    output(environment, "rm", "--link", "web/store")
    assert inspect(environment, "inspect", "web")["HostConfig"]["Links"] is None
    assert "No such container: web/store" in failure(environment, "rm", "--link", "web/store")[1]
    output(environment, "stop", "web")
    output(environment, "network", "create", "front")
    output(environment, "network", "connect", "--link", "nobody:other", "front", "web")
    networks = inspect(environment, "inspect", "web")["NetworkSettings"]["Networks"]
    assert networks["front"]["Links"] == ["nobody:other"]
    output(environment, "network", "disconnect", "bridge", "web")
    assert [*inspect(environment, "inspect", "web")["NetworkSettings"]["Networks"]] == ["front"]
    output(environment, "network", "connect", "bridge", "web")


def test_the_routing_meshs_network_is_there_and_may_be_made_anew(environment: Environment) -> None:
    assert "ingress" in output(environment, "network", "ls", "--format", "{{.Name}}").split()
    assert inspect(environment, "network", "inspect", "ingress")["Ingress"] is True
    output(environment, "network", "rm", "--force", "ingress")
    own = output(
        environment, "network", "create", "-d", "overlay", "--ingress", "--subnet", "10.11.0.0/16", "my"
    ).strip()
    document = inspect(environment, "network", "inspect", own[:12])
    assert (document["Name"], document["Ingress"]) == ("ingress", True)
    assert document["IPAM"]["Config"][0]["Subnet"] == "10.11.0.0/16"
    assert "already exists" in failure(environment, "network", "create", "-d", "overlay", "--ingress", "other")[1]
    assert "already exists" in failure(environment, "network", "create", "ingress")[1]
    assert "driver overlay" in failure(environment, "network", "create", "--ingress", "other")[1]


def test_logs_are_parted_into_two_outputs(environment: Environment) -> None:
    output(environment, "run", "-d", "--name", "web", "alpine", "sleep", "9")
    result = docker(environment, "logs", "web")
    assert (result.stdout, result.stderr) == (b"tick 1\ntick 3\n", b"tock\r2\n")
    result = docker(environment, "logs", "-t", "web")
    assert result.stdout.startswith(b"2026-11-23T23:18:27.123456789Z tick 1\n")


def test_attaching_and_commands_are_events_of_this_engine(environment: Environment) -> None:
    output(environment, "run", "-d", "--name", "web", "--label", "tier=front", "alpine", "sleep", "9")
    shown = ("--format", '{{.Action}} {{index .Actor.Attributes "exitCode"}}')
    arguments = ("docker", "events", "--filter", "type=container", *shown)
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as events:
        try:
            assert events.stdout is not None
            assert events.stdout.readline() == "create \n"  # what a manager reports
            failure(environment, "exec", "web", "exit", "7")
            assert [events.stdout.readline() for _ in range(3)] == [
                "exec_create: exit 7 \n", "exec_start: exit 7 \n", "exec_die 7\n"
            ]  # fmt: skip
            output(environment, "run", "--name", "ends", "alpine", "ends")
            assert events.stdout.readline() == "attach \n"
        finally:
            events.kill()


def test_containers_share_namespaces_of_another_one_and_know_it_by_links(environment: Environment) -> None:
    output(environment, "network", "create", "front")
    output(environment, "run", "-d", "--name", "db", "alpine", "sleep", "9")
    other = output(environment, "inspect", "-f", "{{.Id}}", "db").strip()
    modes = ("--network", "container:db", "--pid", "container:db", "--ipc", "container:" + other[:12])
    output(environment, "run", "-d", "--name", "side", *modes, "alpine", "sleep", "9")
    form = "{{.HostConfig.NetworkMode}} {{.HostConfig.PidMode}} {{.HostConfig.IpcMode}}"
    assert output(environment, "inspect", "-f", form, "side").split() == ["container:" + other] * 3
    mac = ("--mac-address", "02:42:ac:11:00:02")
    output(environment, "run", "-d", "--name", "web", "--network", "front", "--link", "db:data", *mac, "alpine", "top")
    assert (
        output(environment, "inspect", "-f", "{{.NetworkSettings.Networks.front.MacAddress}}", "web").strip() == mac[1]
    )
    output(environment, "stop", "db")
    code, text = failure(environment, "run", "--network", "container:db", "alpine", "true")
    assert code == 125
    assert "cannot join network of a non running container" in text


def test_sizes_of_files_are_told_where_they_are_asked_for(environment: Environment) -> None:
    output(environment, "run", "-d", "--name", "web", "alpine", "sleep", "9")
    assert output(environment, "ps", "--size", "--format", "{{.Size}}") == "7B (virtual 107B)\n"
    assert output(environment, "inspect", "--size", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "web") == "7 107\n"
    containers = '{{if eq .Type "Containers"}}{{.Size}}{{end}}'
    assert output(environment, "system", "df", "--format", containers).split() == ["7B"]


def test_top_diff_stats_and_files(environment: Environment, tmp_path: Path) -> None:
    output(environment, "run", "-d", "--name", "web", "alpine", "sleep", "9")
    assert "root" in output(environment, "top", "web")
    assert output(environment, "diff", "web") == "A /new\n"
    shown = output(environment, "stats", "--no-stream", "--format", "{{json .}}", "web")
    usage = {key: json.loads(shown)[key] for key in ("CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")}
    assert usage == {
        "CPUPerc": "50.00%", "MemUsage": "2MiB / 16MiB", "MemPerc": "12.50%", "NetIO": "1kB / 2kB",
        "BlockIO": "5kB / 7kB", "PIDs": "2",
    }  # fmt: skip
    assert "Could not find the file /tmp/none" in failure(environment, "cp", "web:/tmp/none", str(tmp_path))[1]
    assert output(environment, "export", "web") == "tar"


def test_update_changes_what_is_given(environment: Environment) -> None:
    output(environment, "run", "-d", "--name", "web", "--cpus", "2", "alpine", "sleep", "9")
    output(environment, "update", "--memory", "64m", "--memory-swap", "64m", "--restart", "always", "web")
    host = inspect(environment, "inspect", "web")["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 << 20, 64 << 20, 2_000_000_000)
    assert host["RestartPolicy"] == {"Name": "always", "MaximumRetryCount": 0}


def test_networks_are_created_connected_and_removed(environment: Environment) -> None:
    output(environment, "network", "create", "--label", "a=b", "front")
    assert output(environment, "network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines() == [
        "bridge bridge local",
        "front bridge local",
        "host host local",
        "ingress overlay swarm",
        "none null local",
    ]
    output(
        environment, "run", "-d", "--name", "web", "--network", "front", "--network-alias", "w", "alpine", "sleep", "9"
    )
    document = inspect(environment, "network", "inspect", "front")
    assert document["Labels"] == {"a": "b"}
    assert [each["Name"] for each in document["Containers"].values()]
    networks = inspect(environment, "inspect", "web")["NetworkSettings"]["Networks"]
    assert networks["front"]["Aliases"] == ["w"]
    assert networks["front"]["IPAddress"]
    assert "has active endpoints" in failure(environment, "network", "rm", "front")[1]
    output(environment, "network", "create", "back")
    output(environment, "network", "connect", "back", "web")
    assert set(inspect(environment, "inspect", "web")["NetworkSettings"]["Networks"]) == {"front", "back"}
    output(environment, "network", "disconnect", "back", "web")
    output(environment, "rm", "-f", "web")
    output(environment, "network", "rm", "front")
    assert "network front not found" in failure(environment, "network", "inspect", "front")[1]
    assert output(environment, "network", "prune", "-f").split() == ["Deleted", "Networks:", "back"]


def test_volumes_are_created_used_and_removed(environment: Environment) -> None:
    assert output(environment, "volume", "create", "data") == "data\n"
    assert output(environment, "volume", "create", "data") == "data\n"
    output(environment, "create", "--name", "db", "-v", "data:/var/lib/db", "-v", "/scratch", "alpine")
    mounts = {each["Destination"]: each for each in inspect(environment, "inspect", "db")["Mounts"]}
    assert mounts["/var/lib/db"]["Name"] == "data"
    assert len(mounts["/scratch"]["Name"]) == 64
    assert inspect(environment, "inspect", "db")["HostConfig"]["Binds"] == ["data:/var/lib/db"]
    assert "volume is in use" in failure(environment, "volume", "rm", "data")[1]
    output(environment, "rm", "-v", "db")
    assert output(environment, "volume", "ls", "-q") == "data\n"
    output(environment, "volume", "rm", "data")
    assert "no such volume" in failure(environment, "volume", "inspect", "data")[1]


def test_images_are_listed_tagged_and_removed(environment: Environment) -> None:
    assert (
        output(environment, "images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}") == "alpine:latest cdcdcdcdcdcd\n"
    )
    output(environment, "tag", "alpine", "registry:5000/mine:1")
    assert inspect(environment, "image", "inspect", "registry:5000/mine:1")["RepoTags"] == [
        "alpine:latest",
        "registry:5000/mine:1",
    ]
    assert "CMD" in output(environment, "history", "alpine")
    assert "Untagged: registry:5000/mine:1" in output(environment, "rmi", "registry:5000/mine:1")


def test_info_version_and_disk_usage_are_of_the_cluster(environment: Environment) -> None:
    assert "Shoal" in output(environment, "version")
    assert "Nodes: 2" in output(environment, "info")
    assert "Images" in output(environment, "system", "df")
    assert output(environment, "system", "prune", "-f")


def test_what_is_not_served_says_why(environment: Environment) -> None:
    assert "not supported" in failure(environment, "plugin", "install", "x", "--grant-all-permissions")[1]


def test_what_is_missing_or_in_use_is_refused_in_dockers_words(environment: Environment) -> None:
    code, text = failure(environment, "run", "--network", "nosuch", "alpine", "true")
    assert (code, "network nosuch not found" in text, "Unable to find image" in text) == (125, True, False)
    identifier = output(environment, "run", "-d", "--name", "web", "-v", "data:/data", "alpine", "sleep", "9").strip()
    assert f"remove data: volume is in use - [{identifier}]" in failure(environment, "volume", "rm", "data")[1]
    assert failure(environment, "rmi", "alpine")[1].count("unable to remove repository reference") == 1
    output(environment, "network", "create", "back")
    apart = failure(environment, "network", "disconnect", "back", "web")[1]
    assert apart.endswith(f"container {identifier} is not connected to network back\n")
    assert 'plugin "nosuch" not found' in failure(environment, "network", "create", "-d", "nosuch", "front")[1]
