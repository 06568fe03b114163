"""The lifecycle of containers of one's own over three hosts: what they keep, and what ends them, over any restart."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pytest

from cli.playground import virtual_network
from tests.integration.cluster.containers.containers import (
    IMAGE,
    SLEEP,
    inspect,
    kept,
    load_image,
    names,
    node_of,
    run,
    script,
    state,
)
from tests.integration.cluster.harness import SHOAL, Cluster, inside

HOSTS = ("h1", "h2", "h3")
COUNTS = script("echo run >> /runs", "cat /runs", "exec sleep 1000")
"""Says how often it has been started."""


@pytest.fixture
def box(clean: Cluster) -> Cluster:
    """The cluster, with the image."""
    load_image(clean)
    return clean


def pid(cluster: Cluster, name: str) -> int:
    found: int = inspect(cluster, name)["task_status"]["pid"]
    return found


def logged(cluster: Cluster, name: str) -> list[str]:
    return cluster.quick("logs", name).split()


def until_logged(cluster: Cluster, name: str, lines: int) -> None:
    """Of all runs. A run of COUNTS writes a line for itself and each one before it."""
    cluster.until(lambda: logged(cluster, name) == ["run"] * lines, f"{name} to write {lines} lines")


def test_one_is_created_started_stopped_and_started_again_on_each_host(box: Cluster) -> None:
    for host in HOSTS:
        created = box.quick("create", "--name", f"on-{host}", "--node", host, IMAGE, *COUNTS).strip()
        assert len(created) == 64 and inspect(box, f"on-{host}")["id"] == created
        assert (state(box, created[:12]), node_of(box, f"on-{host}")) == ("created", host)
        assert logged(box, f"on-{host}") == []
    assert names(box, "status=created") == {f"on-{host}" for host in HOSTS}
    box.quick("start", *(f"on-{host}" for host in HOSTS))
    for host in HOSTS:
        until_logged(box, f"on-{host}", 1)
        assert inside(pid(box, f"on-{host}"), "/bin/cat", "/runs").stdout == "run\n"
        assert inside(pid(box, f"on-{host}"), "/bin/hostname").stdout.strip() == inspect(box, f"on-{host}")["id"][:12]
    box.quick("stop", "--timeout", "0", *(f"on-{host}" for host in HOSTS))
    assert names(box, "status=exited", "exited=137") == {f"on-{host}" for host in HOSTS}
    box.quick("start", "on-h2")
    until_logged(box, "on-h2", 1 + 2)
    box.quick("restart", "--timeout", "0", "on-h2")
    until_logged(box, "on-h2", 1 + 2 + 3)
    assert inside(pid(box, "on-h2"), "/bin/cat", "/runs").stdout == "run\n" * 3
    box.quick("rm", "--force", *(f"on-{host}" for host in HOSTS))
    assert names(box) == set()
    box.until(lambda: not any(kept(host) for host in box.layout.all_hosts()), "their files to be deleted")


def test_everything_is_kept_over_restarts_of_the_manager_and_of_agents(box: Cluster) -> None:
    for host in HOSTS:
        run(box, "--name", f"runs-{host}", "--node", host, program=COUNTS)
        run(box, "--name", f"stopped-{host}", "--node", host, program=COUNTS)
        box.quick("create", "--name", f"created-{host}", "--node", host, IMAGE, *COUNTS)
        until_logged(box, f"stopped-{host}", 1)
    box.quick("stop", "--timeout", "0", *(f"stopped-{host}" for host in HOSTS))
    before = {host: pid(box, f"runs-{host}") for host in HOSTS}
    for each in box.layout.all_hosts():
        box.playground.stop_agent(each, kill=True)
    box.playground.stop_manager(kill=True)
    box.playground.start_manager()
    for each in box.layout.all_hosts():
        box.playground.start_agent(each)
    box.playground.wait_for_nodes(3)
    assert {host: pid(box, f"runs-{host}") for host in HOSTS} == before
    assert names(box, "status=exited") == {f"stopped-{host}" for host in HOSTS}
    assert names(box, "status=created") == {f"created-{host}" for host in HOSTS}
    box.quick("start", *(f"{kind}-{host}" for kind in ("stopped", "created") for host in HOSTS))
    for host in HOSTS:
        for kind, lines in (("runs", 1), ("stopped", 1 + 2), ("created", 1)):
            until_logged(box, f"{kind}-{host}", lines)


def test_paused_signalled_renamed_changed_and_waited_for(box: Cluster) -> None:
    run(box, "--name", "db", program=script("trap 'echo hup' HUP", "echo up", "while :; do sleep 0.1; done"))
    box.until(lambda: logged(box, "db") == ["up"], "its first line")
    box.quick("kill", "--signal", "HUP", "db")
    box.until(lambda: logged(box, "db") == ["up", "hup"], "the signal")
    box.quick("pause", "db")
    assert state(box, "db") == "paused"
    assert "is paused" in box.run("exec", "db", "true").stderr
    box.quick("unpause", "db")
    assert state(box, "db") == "running"
    assert "sleep 0.1" in box.quick("top", "db")
    before = pid(box, "db")
    box.quick("update", "--memory", "64M", "--restart", "on-failure:3", "db")
    box.quick("rename", "db", "pg")
    assert "not found" in box.refusal("container", "inspect", "db") or "No such" in box.refusal("inspect", "db")
    limits = box.quick("container", "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy}}", "pg")
    assert limits.split()[0] == str(64 << 20) and "on-failure" in limits
    assert pid(box, "pg") == before, "nothing of it was started anew"
    assert "is running" in box.refusal("rm", "pg")
    with subprocess.Popen([SHOAL, "wait", "pg"], stdout=subprocess.PIPE, text=True, env=environment(box)) as waiting:
        time.sleep(0.5)
        box.quick("kill", "pg")
        assert waiting.communicate(timeout=60)[0].strip() == "137"
    assert names(box, "status=exited") == {"pg"}, "who kills it does not want it to start again"
    box.quick("rm", "pg")


def environment(cluster: Cluster) -> dict[str, str]:
    return {**os.environ, "SHOAL_CONFIG": str(cluster.config)}


def test_policies_start_it_again_and_a_stop_ends_that(box: Cluster) -> None:
    fails, ends = script("echo run", "sleep 0.1", "exit 3"), script("echo run", "sleep 0.1")
    run(box, "--name", "never", program=fails)
    run(box, "--name", "thrice", "--restart", "on-failure:2", program=fails)
    run(box, "--name", "done", "--restart", "on-failure", program=ends)
    run(box, "--name", "always", "--restart", "always", program=ends)
    run(box, "--name", "held", "--restart", "unless-stopped", program=ends)
    for each in ("never", "thrice", "done"):
        box.until(partial(_has_exited, box, each), f"{each} to be started no more")
    assert (logged(box, "thrice"), inspect(box, "thrice")["restart_count"]) == (["run"] * 3, 2)
    assert (logged(box, "never"), logged(box, "done")) == (["run"], ["run"])
    assert names(box, "exited=3") == {"never", "thrice"} and "done" in names(box, "exited=0")
    box.until(lambda: min(len(logged(box, each)) for each in ("always", "held")) > 2, "further runs")
    box.quick("stop", "held")
    runs = len(logged(box, "held"))
    box.playground.stop_manager()
    box.playground.start_manager()
    more = len(logged(box, "always"))
    box.until(lambda: len(logged(box, "always")) > more, "a run that another manager started")
    assert (state(box, "held"), len(logged(box, "held"))) == ("exited", runs)
    following = box.run("logs", "--follow", "thrice")
    assert following.stdout.split() == ["run"] * 3


def _has_exited(cluster: Cluster, name: str) -> bool:
    return state(cluster, name) == "exited"


def test_the_exit_code_and_all_output_are_the_programs(box: Cluster) -> None:
    done = box.run("run", "--rm", IMAGE, *script("echo out", "echo err >&2", "exit 7"))
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    summed = box.run("run", "-i", "--rm", IMAGE, "sha256sum", text="data\n")
    assert summed.stdout.split()[0] == "6667b2d1aab6a00caa5aee5af8ad9f1465e567abf1c209d15727d57b3e8f6e5f"
    absent = box.run("run", "--rm", IMAGE, "nothing-of-this-name")
    assert absent.returncode == 127 and "nothing-of-this-name" in absent.stderr
    assert box.run("run", "--rm", IMAGE, "/etc/passwd").returncode == 126
    box.until(lambda: names(box) == set(), "all to be removed")


def test_what_is_to_be_removed_is_also_when_its_client_has_died(box: Cluster) -> None:
    program = [str(SHOAL), "run", "--rm", "--name", "job", IMAGE]
    program += script("echo up", "until test -e /go; do sleep 0.1; done")
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=environment(box)) as client:
        assert client.stdout is not None and client.stdout.readline() == b"up\n"
        client.send_signal(signal.SIGKILL)
    box.until(lambda: state(box, "job") == "running", "it to be listed as running")
    box.run("exec", "job", "touch", "/go")  # its own end may be that of the container
    box.until(lambda: names(box) == set(), "it to end and to be removed")
    box.until(lambda: not any(kept(host) for host in box.layout.all_hosts()), "its files to be deleted")


def test_of_many_creations_of_one_name_one_succeeds(box: Cluster) -> None:
    with ThreadPoolExecutor(12) as threads:
        done = list(threads.map(lambda _: box.run("create", "--name", "one", IMAGE, *SLEEP), range(12)))
    assert (
        sorted(each.returncode for each in done) == [0] + [125] * 11
        or sorted(each.returncode for each in done) == [0] + [1] * 11
    )
    assert names(box) == {"one"}
    assert all("already" in each.stderr for each in done if each.returncode)


def test_on_a_lost_node_one_stays_and_another_one_starts_elsewhere(box: Cluster) -> None:
    run(box, "--name", "stays", "--node", "h3", program=COUNTS)
    run(box, "--name", "doomed", "--node", "h3", program=COUNTS)
    options = ("--constraint", "node.hostname != h1", "--reschedule", "on-node-failure")
    run(box, "--name", "moves", *options, program=COUNTS)
    if node_of(box, "moves") != "h3":
        box.quick("rm", "--force", "moves")
        box.quick("node", "update", "--availability", "pause", "h2")
        run(box, "--name", "moves", *options, program=COUNTS)
        box.quick("node", "update", "--availability", "active", "h2")
    before = pid(box, "stays")
    virtual_network.set_link_state(box.layout, box.host_of("h3"), connected=False)
    box.until(lambda: node_of(box, "moves") == "h2" and state(box, "moves") == "running", "it to start elsewhere")
    box.until(lambda: logged(box, "moves"), "the program to begin elsewhere")
    assert logged(box, "moves") == ["run"], "its files stayed behind"
    listed = box.quick("ps", "--all", "--format", "{{.Names}}: {{.Status}}", "--filter", "name=stays")
    assert "h3" in listed and "down" in listed, listed
    away = 'container "stays" is on node h3, which has been down since 20'
    for command in (("stop", "stays"), ("kill", "stays"), ("pause", "stays"), ("top", "stays"), ("restart", "stays")):
        assert away in box.refusal(*command)
    assert "node h3 is down" in box.run("logs", "stays").stderr
    assert "removed once node h3, which is down, is back" in box.refusal("rm", "--force", "doomed")
    virtual_network.set_link_state(box.layout, box.host_of("h3"), connected=True)
    box.until(lambda: state(box, "stays") == "running" and "down" not in status(box, "stays"), "its node to be back")
    assert pid(box, "stays") == before
    box.until(lambda: names(box) == {"stays", "moves"}, "what was removed meanwhile to be gone")
    box.until(lambda: len(kept(box.host_of("h3"))) == 1, "what others left behind to be deleted")


def status(cluster: Cluster, name: str) -> str:
    return cluster.quick("ps", "--all", "--format", "{{.Status}}", "--filter", f"name={name}")


def test_events_tell_all_of_it(box: Cluster) -> None:
    begin = datetime.now(UTC).isoformat()
    box.quick("create", "--name", "seen", "--label", "tier=db", IMAGE, *SLEEP)
    box.quick("start", "seen")
    box.quick("pause", "seen")
    box.quick("unpause", "seen")
    box.quick("rename", "seen", "known")
    box.quick("stop", "--timeout", "0", "known")
    box.quick("rm", "known")
    words = ("events", "--since", begin, "--until", "0s", "--filter", "type=container", "--format", "{{.Action}}")
    expected = ["create", "start", "pause", "unpause", "rename", "die", "stop", "destroy"]
    assert box.until(lambda: "destroy" in (seen := box.quick(*words).split()) and seen, "all events") == expected
    assert box.quick(*words, "--filter", "label=tier=db").split() == expected
