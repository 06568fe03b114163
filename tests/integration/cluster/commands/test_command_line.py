"""The command line as a demanding user has it: several names, every fault at once, completion, pipes, colours."""

import os
import subprocess
from functools import partial

from tests.integration.cluster.harness import SHOAL, Cluster

HELLO = "registry:5000/hello"
CREATE = ("service", "create", "--detach", "--name", "web")


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr
    return [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]


def test_several_names_are_all_acted_on_and_every_failure_is_reported(clean: Cluster) -> None:
    for kind in ("network", "volume"):
        for name in ("one", "two"):
            clean.shoal(kind, "create", name)
        done = clean.run(kind, "inspect", "one", "missing", "two", "--format", "json")
        assert done.returncode == 1
        assert '"one"' in done.stdout and '"two"' in done.stdout
        assert len(errors(done)) == 1
        done = clean.run(kind, "rm", "one", "missing", "gone", "two")
        assert (done.returncode, done.stdout.split()) == (1, ["one", "two"])
        assert len(errors(done)) == 2
    clean.shoal(*CREATE, f"{HELLO}:1")
    done = clean.run("service", "rm", "missing", "web")
    assert (done.returncode, done.stdout.split()) == (1, ["web"])
    assert clean.json("service", "ls") == []


def test_faults_of_flags_and_of_the_manager_are_reported_together(clean: Cluster) -> None:
    done = clean.run(
        *CREATE, "--limit-memory", "much", "--mode", "odd", "--hostname", "x y", "-w", "rel", f"{HELLO}:no"
    )
    assert done.returncode == 2
    assert [line.split(":")[0] for line in errors(done)] == [
        "--hostname",
        "--limit-memory",
        "--mode",
        "--workdir",
        "image",
    ]
    assert clean.json("service", "ls") == []
    clean.shoal(*CREATE, f"{HELLO}:1")
    done = clean.run("service", "update", "--reserve-cpu", "x", "--label-rm", "none", "--network-add", "missing", "web")
    assert [line.split(":")[0] for line in errors(done)] == ["--label-rm", "--network", "--reserve-cpu"]
    assert clean.json("service", "inspect", "web")[0]["revision"] == 1


def test_faults_of_a_file_and_of_the_manager_are_reported_together(clean: Cluster) -> None:
    text = f"""\
services:
  web:
    image: {HELLO}:no
    hostname: ${{NEEDED:?say which}}
    stop_grace_period: soon
    imagee: x
    working_dir: rel
"""
    done = clean.run("stack", "deploy", "-c", "-", "shop", text=text)
    assert done.returncode == 2
    assert [line.split(":")[1] for line in errors(done)] == ["3", "4", "5", "6", "7"]
    assert clean.json("network", "ls") == []


def test_flags_of_docker_reach_the_service(clean: Cluster) -> None:
    clean.shoal(*CREATE, "--no-resolve-image", "-e", "A=1", "-l", "tier=front", "--log-opt", "max-file=5", f"{HELLO}:1")
    flags = ("--label-add", "team=a", "--label-rm", "tier", "--container-label-add", "c=d", "--cap-add", "NET_ADMIN")
    clean.shoal("service", "update", "--detach", "--no-resolve-image", *flags, "web")
    (document,) = clean.json("service", "inspect", "web")
    spec = document["spec"]
    assert spec["labels"] == {"team": "a"}
    container = spec["task"]["container"]
    assert (container["image"], container["labels"], container["cap_add"]) == (f"{HELLO}:1", {"c": "d"}, ["NET_ADMIN"])
    assert spec["task"]["log"] == {"max_files": 5}
    clean.shoal("service", "update", "--rollback", "--detach", "web")
    assert clean.json("service", "inspect", "web")[0]["spec"]["labels"] == {"tier": "front"}


def test_names_are_completed(clean: Cluster) -> None:
    clean.shoal(*CREATE, f"{HELLO}:1")
    for words, expected in (("service rm ", "web"), ("node ps h", "h2"), ("service logs w", "web")):
        line = f"shoal {words}"
        environment = {
            **os.environ,
            "SHOAL_CONFIG": str(clean.config),
            "_SHOAL_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        clean.until(partial(_is_offered, expected, environment), f"{expected} after {line}")
        assert _completed({**environment, "SHOAL_CONFIG": "/nowhere"}) == []


def _is_offered(name: str, environment: dict[str, str]) -> bool:
    return f"plain,{name}" in _completed(environment)


def _completed(environment: dict[str, str]) -> list[str]:
    """What a shell is offered: nothing where the cluster does not respond within a second."""
    done = subprocess.run([SHOAL], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_a_reader_that_has_had_enough(clean: Cluster) -> None:
    environment = {**os.environ, "SHOAL_CONFIG": str(clean.config)}
    script = f"set -o pipefail; {SHOAL} events --since 1h --until 0s 2>/dev/null | head -1; {SHOAL} node ls | true"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=True
    )
    assert done.stderr == ""
    for words in (["events", "--since", "1h"], ["node", "ls"]):
        unread, output = os.pipe()
        os.close(unread)  # before anything is written
        try:
            done = subprocess.run(
                [str(SHOAL), *words],
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
                timeout=120,
                check=True,
            )
        finally:
            os.close(output)
        assert errors(done) == []


def test_quiet_says_the_id_alone_and_pipes_have_no_colours(clean: Cluster) -> None:
    done = clean.run("service", "create", "-q", "--name", "web", f"{HELLO}:1")
    assert (done.stdout.strip(), done.stderr) == (clean.json("service", "ls")[0]["id"], "")
    assert "\x1b" not in clean.run("service", "inspect", "missing").stderr


def test_faults_of_other_commands_are_reported_together(clean: Cluster) -> None:
    done = clean.run("node", "update", "--availability", "odd", "--label-rm", "none", "--label-add", "bad", "h1")
    assert (done.returncode, len(errors(done))) == (2, 3)
    done = clean.run("service", "scale", "missing=1", "gone=2")
    assert (done.returncode, len(errors(done))) == (2, 2)
    done = clean.run("network", "create", "--label", "=x", "--opt", "=y", "front")
    assert (done.returncode, len(errors(done))) == (2, 2)
    assert clean.json("network", "ls") == []


def test_join_tokens_are_made_listed_and_removed(clean: Cluster) -> None:
    output = clean.shoal("cluster", "join-token", "--ttl", "1h", "--uses", "1")
    assert "shoal-agent run --join" in output
    assert "The token is valid for one host and expires at 20" in output
    identifier = output.split("shoal cluster join-token rm ")[1].strip()
    rows = {row["id"]: row for row in clean.json("cluster", "join-token", "ls")}
    assert (rows[identifier]["role"], rows[identifier]["uses_left"], rows[identifier]["uses"]) == ("agent", 1, 1)
    assert output.split("--token ")[1].split()[0] not in clean.shoal("cluster", "join-token", "ls")
    assert clean.shoal("cluster", "join-token", "rm", identifier).split() == [identifier]
    done = clean.run("cluster", "join-token", "rm", identifier)
    assert (done.returncode, errors(done)) == (
        1,
        [f"no such join token: {identifier}; list them with `shoal cluster join-token ls`"],
    )
    done = clean.run("cluster", "join-token", "--ttl", "0", "--uses", "0")
    assert (done.returncode, len(errors(done))) == (2, 2)
    assert clean.shoal("cluster", "join-token", "-q").startswith("SHOAL-1-")


def test_a_node_is_renamed_by_a_user(clean: Cluster) -> None:
    name = clean.json("node", "ls")[0]["hostname"]
    try:
        clean.shoal("node", "update", "--hostname", "renamed", name)
        clean.until(lambda: "renamed" in {row["hostname"] for row in clean.json("node", "ls")}, "the new name")
        (row,) = [row for row in clean.json("node", "ls") if row["hostname"] == "renamed"]
        clean.until(
            lambda: f"--hostname {name} renamed" in clean.shoal("node", "ls"), "its agent's hostname is shown beside it"
        )
        assert row["status"] == "ready"
    finally:
        clean.shoal("node", "update", "--hostname", name, "renamed")
    clean.until(lambda: "--hostname" not in clean.shoal("node", "ls"), "all is as it was")


def test_listings_take_filters_and_templates(clean: Cluster) -> None:
    clean.shoal(*CREATE, "--label", "tier=front", "--replicas", "2", "--detach=false", "--init=true", f"{HELLO}:1")
    clean.shoal("service", "create", "--detach", "--name", "agent", "--mode", "global", f"{HELLO}:1")
    assert clean.shoal("service", "ls", "-f", "label=tier=front", "--format", "{{.Name}} {{.Replicas}}") == "web 2/2\n"
    assert clean.shoal("service", "ls", "--filter", "mode=global", "--format", "{{upper .Name}}") == "AGENT\n"
    form = "table {{.Name}}\\t{{.DesiredState}}"
    first, *rest = clean.shoal("service", "ps", "web", "-f", "desired-state=running", "--format", form).splitlines()
    assert first.split() == ["NAME", "DESIRED", "STATE"]
    assert sorted(line.split() for line in rest) == [["web.1", "Running"], ["web.2", "Running"]]
    form = "{{.Spec.Mode.Replicated.Replicas}} {{json .Spec.Labels}}"
    assert clean.shoal("service", "inspect", "-f", form, "web") == '2 {"tier":"front"}\n'
    either = ("--filter", "role=worker", "--filter", "role=manager")
    hosts = clean.shoal("node", "ls", *either, "--format", "{{.Hostname}} {{.Status}}").splitlines()
    assert len(hosts) == 3 and all(line.endswith(" Ready") for line in hosts)


def test_what_is_no_filter_or_template_is_reported(clean: Cluster) -> None:
    clean.shoal(*CREATE, "--with-registry-auth", f"{HELLO}:1")
    done = clean.run("service", "ls", "--format", "{{.Nmae}}")
    assert done.returncode == 2 and "unknown field 'Nmae'" in done.stderr
    done = clean.run("service", "ls", "--filter", "colour=red")
    assert done.returncode == 2 and "unknown key 'colour'; allowed keys are id, label, mode, name" in done.stderr
    done = clean.run("service", "update", "--with-registry-auth", "--detach", "web")
    assert done.returncode == 0 and "--with-registry-auth has no effect" in done.stderr
