"""Programs in containers, from the command line to the kernel and back."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.cluster.harness import SHOAL, Cluster
from tests.integration.cluster.services.test_service_lifecycle import HELLO

PIECES = 64


@pytest.fixture
def web(clean: Cluster) -> Cluster:
    """The cluster, with a task on each host."""
    clean.shoal("service", "create", "--name", "web", "--mode", "global", "--env", "MINE=1", f"{HELLO}:1")
    return clean


@contextmanager
def begun(cluster: Cluster, *arguments: str, verb: str = "exec", **ends: int) -> Iterator[subprocess.Popen[bytes]]:
    """The command, which does not outlive the test."""
    environment = {**os.environ, "SHOAL_CONFIG": str(cluster.config)}
    with subprocess.Popen([SHOAL, verb, *arguments], env=environment, **ends) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def running(cluster: Cluster, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The same, once the program has written a line."""
    with begun(cluster, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process


def listed(cluster: Cluster, task: str) -> str:
    """What runs in the container."""
    return cluster.shoal("exec", task, "ps", "-o", "args")


def test_on_every_host(web: Cluster) -> None:
    for host in web.layout.all_hosts():
        done = web.run(
            "exec", "-e", "YOURS=2", f"web.{host.name}", "sh", "-c", "hostname; echo $MINE $YOURS >&2; exit 5"
        )
        assert (done.returncode, done.stderr) == (5, "1 2\n")
        assert done.stdout.startswith("web-")
    assert web.run("exec", "-i", "web", "cat", text="in\nand out").stdout == "in\nand out"
    for words, code, errors in (
        (("web.h9", "ls"), 1, 'task "web.h9" not found'),
        (("nothing", "ls"), 1, 'task or service "nothing" not found'),
        (("web", "missing"), 127, "missing"),
        (("web", "/etc/passwd"), 126, "/etc/passwd"),
        (("-u", "stranger", "web", "ls"), 2, "--user"),
        (("-w", "srv", "web", "ls"), 2, "--workdir"),
    ):
        done = web.run("exec", *words)
        assert (done.returncode, done.stdout) == (code, "")
        assert errors in done.stderr


def test_much_goes_through_at_the_pace_of_the_slower_end(web: Cluster) -> None:
    script = f"dd if=/dev/zero bs=1048576 count={PIECES} 2>/dev/null | tr '\\0' x; cat >&2"
    with begun(web, "-i", "web.h1", "sh", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        total, step = 0, 1 << 20
        while piece := process.stdout.read(step):
            assert set(piece) == {ord("x")}
            total += len(piece)
            if total == PIECES * step:
                assert process.stdin is not None
                process.stdin.close()
        assert (process.wait(60), total) == (0, PIECES * step)


def test_a_terminal(web: Cluster) -> None:
    user, program = pty.openpty()
    with begun(web, "-it", "web.h2", "sh", stdin=program, stdout=program) as process:
        os.close(program)
        said = b""
        os.write(user, b"stty size; tty; echo $((6 * 7)); exit 3\n")
        while b"42\r\n" not in said:
            said += os.read(user, 65_536)
        assert b"/dev/pts/0" in said
        assert process.wait(30) == 3
    os.close(user)


def test_nothing_is_left_when_the_command_goes(web: Cluster) -> None:
    with running(web, "web.h1", "sh", "-c", "trap 'exit 9' INT; echo; sleep 2001 & wait") as polite:
        polite.send_signal(signal.SIGINT)
        assert polite.wait(30) == 9
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        with running(web, "web.h1", "sh", "-c", "trap '' INT HUP; echo; sleep 2002") as stubborn:

            def gone(stubborn: subprocess.Popen[bytes] = stubborn, number: int = number) -> bool:
                stubborn.send_signal(number)
                return stubborn.poll() is not None

            web.until(gone, "the end of the command")
            assert stubborn.returncode == code
        web.until(lambda: "2002" not in listed(web, "web.h1"), "the end of the program")
    web.shoal("exec", "--detach", "web.h1", "sleep", "2003")
    web.until(lambda: "2003" in listed(web, "web.h1"), "the program that nobody follows")


def test_its_node_or_its_container_goes(web: Cluster) -> None:
    host = web.layout.host(3)
    with running(web, "web.h3", "sh", "-c", "echo; sleep 2004") as process:
        web.playground.stop_agent(host, kill=True)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors.count(b"\n")) == (1, 1)
        assert str(host.address).encode() in errors
    web.playground.start_agent(host)
    web.until(lambda: web.run("exec", "web.h3", "true").returncode == 0, "the agent's return")
    web.until(lambda: "2004" not in listed(web, "web.h3"), "the end of what the agent before had started")
    with running(web, "web.h1", "sh", "-c", "echo; sleep 2005") as process:
        web.shoal("service", "rm", "web")
        assert process.wait(60) == 128 + signal.SIGKILL


def test_the_program_of_the_container_itself(clean: Cluster) -> None:
    script = "trap 'exit 4' TERM; while read -r line; do echo \"said $line\"; stty size; done"
    words = ("--interactive", "--tty", "--restart-condition", "none", f"{HELLO}:1", "sh", "-c", script)
    clean.shoal("service", "create", "--name", "game", *words)
    user, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 99, 0, 0))
    for leaving in (b"\x10\x11", b"\x10\x10\x11"):
        with begun(clean, "game", verb="attach", stdin=program, stdout=program) as process:
            said = b""
            os.write(user, b"hello\n")
            while b"44 99\r\n" not in said:
                said += os.read(user, 65_536)
            assert b"said hello\r\n" in said
            os.write(user, leaving)
            assert process.wait(30) == 0
    os.close(program)
    os.close(user)
    assert [row["state"] for row in clean.tasks("game")] == ["running"]
    with (
        begun(clean, "--no-stdin", "game", verb="attach", stdout=subprocess.PIPE) as watching,
        begun(clean, "game", verb="attach", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as typing,
    ):
        assert watching.stdout is not None
        assert typing.stdin is not None
        os.set_blocking(watching.stdout.fileno(), False)
        keys, screen = typing.stdin, watching.stdout

        def seen() -> bool:  # what is written before someone watches is not shown
            keys.write(b"more\n")
            keys.flush()
            return b"said more" in (screen.read() or b"")

        clean.until(seen, "what the program says")
        watching.send_signal(signal.SIGTERM)
        assert (watching.wait(30), typing.wait(30)) == (4, 4)
    assert clean.run("attach", "game").returncode == 1


def test_completion_offers_running_tasks(web: Cluster) -> None:
    environment = {**os.environ, "SHOAL_CONFIG": str(web.config), "_SHOAL_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": "shoal exec we", "COMP_CWORD": "2"}

    def is_offered() -> bool:  # nothing is where the cluster does not respond within a second
        done = subprocess.run([SHOAL], capture_output=True, text=True, check=True, env=environment)
        return "plain,web\n" in done.stdout

    web.until(is_offered, "the service to be offered")
