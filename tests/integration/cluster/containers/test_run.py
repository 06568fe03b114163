"""`shoal run` on a real cluster: output, input, exit codes, terminals, and what is left when its client dies."""

import hashlib
import os
import signal
import subprocess

import pytest

from cli.client import Client
from shoal.api.v1.engine_pb2 import ContainerView, ListContainersRequest
from shoal.api.v1.engine_pb2_grpc import ContainersStub
from shoal.container_ids import container_id
from shoal.contexts.context_store import ContextStore
from tests.integration.cluster.harness import SHOAL, Cluster
from tests.integration.cluster.terminal import Terminal

HELLO = "registry:5000/hello:1"


@pytest.fixture
def ran(clean: Cluster) -> Cluster:
    """The cluster, with the image in it."""
    clean.shoal("pull", "-q", HELLO)
    return clean


def _containers(cluster: Cluster) -> list[ContainerView]:
    with Client(ContextStore(cluster.config).resolve(None, {})) as client:
        request = ListContainersRequest(all=True)
        return [*client.call(ContainersStub(client.channel).ListContainers, request).containers]


def _names(cluster: Cluster) -> list[str]:
    return [view.container.name for view in _containers(cluster)]


def _spawn(cluster: Cluster, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [SHOAL, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "SHOAL_CONFIG": str(cluster.config)},
    )


def test_an_image_that_is_not_there_is_pulled_first(ran: Cluster) -> None:
    ran.run("rmi", "-f", HELLO)
    first = ran.run("run", "--rm", HELLO, "echo", "hello")
    assert (first.returncode, first.stdout) == (0, "hello\n")
    assert f"Unable to find image '{HELLO}' in the cluster" in first.stderr
    second = ran.run("run", "--rm", HELLO, "echo", "again")
    assert (second.returncode, second.stdout, second.stderr) == (0, "again\n", "")
    assert _names(ran) == []


def test_output_is_whole_and_in_its_streams(ran: Cluster) -> None:
    lines = "".join(f"{number}\n" for number in range(1, 200_001))
    done = ran.run("run", "--rm", HELLO, "sh", "-c", "echo err >&2; seq 1 200000")
    assert done.returncode == 0
    assert done.stdout == lines
    assert done.stderr == "err\n"


def test_not_a_byte_of_a_short_program_is_missed(ran: Cluster) -> None:
    for number in range(10):
        done = ran.run("run", "--rm", HELLO, "sh", "-c", f"echo {number}; echo {number} >&2; exit {number}")
        assert (done.returncode, done.stdout, done.stderr) == (number, f"{number}\n", f"{number}\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("true",), 0),
        (("false",), 1),
        (("sh", "-c", "exit 42"), 42),
        (("sh", "-c", "sh -c 'kill -KILL $$'; exit $?"), 137),
        (("no-such-program",), 127),
        (("/etc",), 126),
        (("/etc/passwd",), 126),
    ],
)
def test_exit_codes(ran: Cluster, words: tuple[str, ...], code: int) -> None:
    assert ran.run("run", "--rm", HELLO, *words).returncode == code
    assert _names(ran) == []


def test_input_reaches_the_program_to_its_end(ran: Cluster) -> None:
    data = "data\n" * 200_000
    done = ran.run("run", "-i", "--rm", HELLO, "sha256sum", text=data)
    assert (done.returncode, done.stdout) == (0, f"{hashlib.sha256(data.encode()).hexdigest()}  -\n")
    assert ran.run("run", "-i", "--rm", HELLO, "wc", "-c", text="").stdout == "0\n"


def test_in_the_background_and_started_again(ran: Cluster) -> None:
    identifier = ran.shoal("run", "-d", "--name", "work", HELLO, "sh", "-c", "echo $((n++)) >> /n; cat /n; sleep 1000")
    (view,) = _containers(ran)
    assert identifier == f"{container_id(view.container.meta.id)}\n"
    taken = ran.run("run", "--name", "work", HELLO, "true")
    assert taken.returncode == 125
    assert 'container "work" already exists' in taken.stderr
    assert _names(ran) == ["work"]
    ran.until(lambda: ran.run("exec", "work", "cat", "/n").stdout == "0\n", "its file")


def test_a_container_is_created_and_started_later_on_the_same_files(ran: Cluster) -> None:
    ran.shoal("create", "-i", "--name", "later", HELLO, "sh", "-c", "cat >> /kept; cat /kept")
    first = ran.run("start", "-ai", "later", text="one\n")
    assert (first.returncode, first.stdout) == (0, "one\n")
    second = ran.run("start", "-ai", "later", text="two\n")
    assert (second.returncode, second.stdout) == (0, "one\ntwo\n")
    assert ran.run("start", "nowhere").returncode == 1


def test_namespaces_of_another_container(ran: Cluster) -> None:
    ran.shoal("run", "-d", "--name", "first", "--mac-address", "02:42:ac:11:00:99", HELLO, "sleep", "1000")
    shared = ("--network", "container:first", "--pid", "container:first", "--ipc", "container:first")
    seen = ran.shoal("run", "--rm", *shared, HELLO, "sh", "-c", "ps; cat /sys/class/net/eth0/address")
    assert "sleep 1000" in seen
    assert "02:42:ac:11:00:99" in seen
    refused = ran.run("run", "--rm", "--network", "container:first", "-p", "80", HELLO, "true")
    assert refused.returncode == 125
    assert refused.stderr.startswith("error: --publish: ")


def test_volumes_and_links_of_other_containers(ran: Cluster) -> None:
    ran.shoal("run", "-d", "--name", "db", "-v", "data:/data", HELLO, "sh", "-c", "echo kept > /data/file; sleep 1000")
    ran.until(lambda: ran.run("exec", "db", "cat", "/data/file").stdout == "kept\n", "the file on the volume")
    seen = ran.run("run", "--rm", "--volumes-from", "db:ro", HELLO, "sh", "-c", "cat /data/file; echo x > /data/file")
    assert (seen.returncode, seen.stdout) == (1, "kept\n")
    assert "Read-only file system" in seen.stderr
    assert ran.run("run", "--rm", "--link", "db:database", HELLO, "ping", "-c", "1", "database").returncode == 0


def test_a_terminal(ran: Cluster) -> None:
    terminal = Terminal(ran, "run", "-it", "--rm", HELLO, "sh")
    terminal.read_until("# ")
    terminal.type("stty size; tty; echo re''ady\r")
    terminal.read_until("ready")
    assert "24 80" in terminal.seen
    assert "/dev/pts/0" in terminal.seen
    terminal.type("sh -c 'echo sle''eps; sleep 100'\r")
    terminal.read_until("sleeps")
    terminal.type("\x03")
    terminal.read_until("^C\r\n/ # ")
    terminal.type("exit 5\r")
    assert terminal.end() == 5
    ran.until(lambda: not _containers(ran), "the container to be removed")


def test_detach_keys_leave_it_running(ran: Cluster) -> None:
    terminal = Terminal(ran, "run", "-it", "--name", "left", HELLO, "sh")
    terminal.read_until("# ")
    terminal.type("\x10\x11")
    assert terminal.end() == 0
    assert ran.shoal("exec", "left", "echo", "here") == "here\n"


def test_signals_are_forwarded(ran: Cluster) -> None:
    script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with _spawn(ran, "run", "--rm", HELLO, "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"caught\n"
        assert process.wait(60) == 9
    assert _names(ran) == []


def test_ctrl_c_leaves_nothing_behind(ran: Cluster) -> None:
    script = "trap 'echo still here' INT; echo ready; while :; do sleep 0.05; done"
    with _spawn(ran, "run", "--rm", HELLO, "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"still here\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 137
    assert _names(ran) == []


def test_a_container_is_removed_when_its_client_has_died(ran: Cluster) -> None:
    with _spawn(
        ran, "run", "-i", "--rm", "--name", "orphan", HELLO, "sh", "-c", "echo ready; cat; echo done"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert _names(ran) == ["orphan"]
        process.kill()
    ran.until(lambda: not _containers(ran), "the container to be removed")


BAD = [
    (("--memory", "much"), "--memory"),
    (("--memory", "1"), "--memory"),
    (("--runtime", "gvisor"), "--runtime"),
    (("--restart", "always", "--rm"), "--rm"),
    (("--network", "nowhere"), "--network"),
    (("--node", "h9"), "--node"),
    (("-v", "/srv:/srv"), "--volume"),
    (("-v", "relative/../x:/srv"), "--volume"),
    (("--volumes-from", "nowhere"), "--volumes-from"),
    (("--link", "nowhere"), "--"),
    (("--name", "-bad-"), "--name"),
    (("--constraint", "node.hostname == h9"), "cannot be created"),
    (("--hostname", "a b"), "--hostname"),
    (("-u", "a:b:c"), "--user"),
    (("-w", "relative"), "--workdir"),
    (("--tmpfs", "relative"), "--volume"),
    (("-p", "99999:80"), "--publish"),
    (("--cidfile", "/nowhere/cid"), "--cidfile"),
    (("--env-file", "/nowhere"), "--env-file"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "named"), BAD, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_bad_input_is_one_line_and_makes_nothing(ran: Cluster, words: tuple[str, ...], named: str) -> None:
    done = ran.run("run", *words, HELLO, "true")
    assert done.returncode == 125
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert named in line
    assert _names(ran) == []
    assert ran.json("volume", "ls") == []
