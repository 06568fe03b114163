"""`shoal run`, `create` and `start`: the whole command, against a manager that is none."""

import os
import pty
import signal
import subprocess
import termios
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from shoal.api.v1.streams_pb2 import ExecInput, ExecOutput
from shoal.container_ids import container_id
from shoal.errors import AlreadyExists, Fault, InvalidInput, Refused, Unavailable
from tests.unit.cli.containers.containers_rig import IDENTIFIER, Manager, containers_rig, with_image
from tests.unit.cli.exec.exec_rig import DEADLINE_SECONDS, STARTED, Rig, echo, end, err, killed, out, read_until

ID = container_id(IDENTIFIER)


@pytest.fixture
def rigs(tmp_path: Path) -> Generator[tuple[Rig, Manager]]:
    with containers_rig(tmp_path) as made:
        yield made


def says(*answers: ExecOutput) -> Iterator[ExecOutput]:
    yield STARTED
    yield from answers


def test_output_and_exit_code_are_the_programs(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.program, manager.code = lambda _: says(out(b"a\n"), err(b"b\n"), end(7)), 7
    assert rig.run("run", "app", "sh", "-c", "exit 7") == (7, b"a\n", "b\n")
    (request,) = manager.requests
    assert list(request.definition.task.container.command) == ["sh", "-c", "exit 7"]
    assert manager.attached[0].wait
    assert sorted(manager.calls[:3]) == ["attach", "create", "wait NEXT_EXIT"]
    assert manager.calls[3:] == ["start"]


def test_it_is_started_only_once_nothing_can_be_missed(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.program = lambda _: says(end())
    assert rig.run("run", "--rm", "app")[0] == 0
    assert manager.calls.index("start") > max(manager.calls.index("attach"), manager.calls.index("wait REMOVED"))


def test_input_reaches_the_program_to_its_end(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.code = 40
    code, written, _ = rig.run("run", "-i", "--rm", "app", input=b"data")
    assert (code, written) == (40, b"ready\n<data>\n")
    container = manager.requests[0].definition.task.container
    assert container.stdin_open and container.stdin_once


def test_what_is_not_attached_is_not_written(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.program = lambda _: says(out(b"a"), err(b"b"), end())
    assert rig.run("run", "-a", "stderr", "app") == (0, b"", "b")
    assert rig.run("run", "-a", "stdout", "app") == (0, b"a", "")
    assert not manager.requests[0].definition.task.container.stdin_once


def test_in_the_background_its_id_is_printed(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    assert rig.run("run", "-d", "-i", "--name", "c", "app") == (0, f"{ID}\n".encode(), "")
    assert manager.calls == ["create", "start"]
    container = manager.requests[0].definition.task.container
    assert container.stdin_open and not container.stdin_once


@pytest.mark.parametrize("detach", [(), ("-d",)])
@pytest.mark.parametrize(
    ("text", "code"),
    [("spec.command: x: no such file in the image", 127), ("x: not executable", 126), ("port 80 is taken", 125)],
)
def test_a_start_that_is_refused_has_dockers_code(
    rigs: tuple[Rig, Manager], text: str, code: int, detach: tuple[str, ...]
) -> None:
    rig, manager = rigs
    manager.refused = Refused(f'container "c" cannot start: {text}')
    found, written, reported = rig.run("run", *detach, "app")
    assert (found, reported) == (code, f'error: container "c" cannot start: {text}\n')
    assert written == (f"{ID}\n".encode() if detach else b"")


@pytest.mark.parametrize("detach", [(), ("-d",)])
def test_what_cannot_be_started_is_removed_before_the_command_ends(
    rigs: tuple[Rig, Manager], detach: tuple[str, ...]
) -> None:
    rig, manager = rigs
    manager.refused = Refused("port 80 is taken")
    assert rig.run("run", "--rm", *detach, "app")[0] == 125
    assert "wait REMOVED" in manager.calls


def test_what_cannot_be_created_exits_with_125(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.not_created = InvalidInput([Fault("task.limits.memory_bytes", "is small"), Fault("ports[0]", "is odd")])
    assert rig.run("run", "app") == (125, b"", "error: --memory: is small\nerror: --publish: is odd\n")
    manager.not_created = AlreadyExists('container "c" already exists')
    assert rig.run("run", "--name", "c", "app") == (125, b"", 'error: container "c" already exists\n')
    assert "start" not in manager.calls


def test_bad_flags_exit_with_125_and_nothing_is_created(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    code, _, reported = rig.run("run", "--memory=x", "--cgroup-parent=y", "-d", "-a", "stdout", "-e", "=1", "app")
    assert code == 125
    assert [line.split(":")[1].strip() for line in reported.splitlines()] == [
        "--cgroup-parent", "--detach cannot be combined with --attach", "--env", "--memory"
    ]  # fmt: skip
    assert rig.run("run", "--no-such", "app")[0] == 125
    assert rig.run("run")[0] == 125
    assert rig.run("run", "-it", "app")[2].startswith("error: --tty: the input device is not a terminal")
    assert manager.calls == []


def test_faults_of_the_manager_come_with_those_of_flags(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.not_created = InvalidInput([Fault("task.limits.memory_bytes", "is small")])
    reported = (
        "error: --cpus: 'x' is not a valid number of CPUs; use a value such as 0.5 or 2\nerror: --memory: is small\n"
    )
    assert rig.run("run", "--memory=1", "--cpus=x", "app") == (125, b"", reported)
    assert manager.calls == []


def test_words_that_are_no_text(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    code, _, reported = rig.run("run", "-e", "A=\udcff", "app", "\udcfe")
    assert code == 125
    assert reported == "error: '\\udcfe' is not valid UTF-8\nerror: --env: 'A=\\udcff' is not valid UTF-8\n"
    assert manager.calls == []


def test_a_name_that_is_no_text(rigs: tuple[Rig, Manager]) -> None:
    rig, _ = rigs
    assert rig.run("start", "\udcff") == (2, b"", "error: '\\udcff' is not valid UTF-8\n")


def test_create_prints_the_id_and_writes_it(rigs: tuple[Rig, Manager], tmp_path: Path) -> None:
    rig, manager = rigs
    cidfile = tmp_path / "cid"
    assert rig.run("create", "--cidfile", str(cidfile), "-i", "app") == (0, f"{ID}\n".encode(), "")
    assert cidfile.read_text() == ID
    assert manager.calls == ["create"]
    code, _, reported = rig.run("create", "--cidfile", str(cidfile), "app")
    assert code == 2
    assert reported.startswith(f"error: --cidfile: {cidfile} exists")


def test_all_exposed_ports_are_published(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.image = with_image(b'{"config": {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}}')
    assert rig.run("create", "-P", "--expose", "9000", "-p", "8080:80", "app")[0] == 0
    ports = manager.requests[0].definition.ports
    assert [(port.target, port.published) for port in ports] == [(80, 8080), (9000, 0), (53, 0)]


def test_volumes_of_another_container(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    assert rig.run("create", "-v", "data:/data", "-v", "/srv:/srv", "--tmpfs", "/t", "--node", "h1", "app")[0] == 0
    assert rig.run("create", "--volumes-from", "c:ro", "-v", "mine:/srv", "app")[0] == 0
    definition = manager.requests[1].definition
    assert list(definition.beside) == [IDENTIFIER]
    assert [(each.source, each.target, each.read_only) for each in definition.task.container.mounts] == [
        ("mine", "/srv", False),
        ("data", "/data", True),
    ]


def test_an_image_that_is_not_there_and_may_not_be_pulled(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.image = None
    code, _, reported = rig.run("run", "--pull", "never", "app")
    assert (code, reported) == (125, "error: image app:latest not found in the cluster, and --pull is never\n")


def test_without_an_image_repository_nodes_pull(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.image, manager.repository = None, ""
    assert rig.run("run", "-d", "registry:5000/app:2")[0] == 0
    assert manager.requests[0].definition.task.container.image == "registry:5000/app:2"


def test_an_image_id_stands_for_its_name(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    assert rig.run("run", "-d", "0123456789ab")[0] == 0
    assert manager.requests[0].definition.task.container.image == "docker.io/library/app:latest"


def test_signals_are_forwarded(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    with killed(rig.start("run", "app")) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        for name in ("SIGTERM", "SIGUSR1", "SIGINT"):
            process.send_signal(getattr(signal, name))
            read_until(process.stdout.fileno(), name.encode())
    assert "remove" not in manager.calls


def test_a_second_ctrl_c_kills_what_is_removed_after_its_run(rigs: tuple[Rig, Manager]) -> None:
    rig, _ = rigs
    with killed(rig.start("run", "--rm", "app")) as process:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), b"ready\n")
        process.send_signal(signal.SIGINT)
        read_until(process.stdout.fileno(), b"SIGINT")
        process.send_signal(signal.SIGINT)
        read_until(process.stdout.fileno(), b"SIGKILL")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130


def test_ctrl_c_before_the_start_leaves_nothing_behind(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.may_create.clear()
    with killed(rig.start("run", "app")) as process:
        assert manager.creating.wait(DEADLINE_SECONDS)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        manager.may_create.set()
        assert process.wait(DEADLINE_SECONDS) == 130
    assert manager.calls == ["create", "remove"]


def test_a_signal_during_the_start_is_forwarded_after_it(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.may_start.clear()
    with killed(rig.start("run", "app")) as process:
        assert process.stdout is not None
        assert manager.starting.wait(DEADLINE_SECONDS)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        manager.may_start.set()
        read_until(process.stdout.fileno(), b"SIGTERM")


def test_a_lost_session_still_has_the_exit_code(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs

    def lost(_: Iterator[ExecInput]) -> Iterator[ExecOutput]:
        yield STARTED
        yield out(b"a\n")
        raise Unavailable("the agent has gone")

    manager.program, manager.code = lost, 3
    code, written, reported = rig.run("run", "app")
    assert (code, written) == (3, b"a\n")
    assert reported.startswith("warning: output may be missing: the agent has gone")


def test_a_terminal_is_raw_and_restored(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.code = 41
    user, program = pty.openpty()
    before = termios.tcgetattr(program)
    with killed(rig.start("run", "-it", "app", stdin=program, stdout=program, stderr=program)) as process:
        read_until(user, b"ready")
        os.write(user, b"\x03")
        read_until(user, b"<\x03>")
        os.write(user, b"q")
        assert process.wait(DEADLINE_SECONDS) == 41
    assert termios.tcgetattr(program) == before
    assert manager.attached[0].HasField("terminal")


def test_detaching_leaves_it_running(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    user, program = pty.openpty()
    with killed(rig.start("run", "-it", "app", stdin=program, stdout=program, stderr=program)) as process:
        read_until(user, b"ready")
        os.write(user, b"\x10\x11")
        assert process.wait(DEADLINE_SECONDS) == 0
    assert "remove" not in manager.calls


def test_start_of_several(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    assert rig.run("create", "app")[0] == 0
    assert rig.run("start", "c", "d") == (0, b"c\nd\n", "")
    assert manager.calls == ["create", "start", "start"]
    manager.refused = Refused("port 80 is taken")
    assert rig.run("start", "c", "d") == (1, b"", "error: port 80 is taken\nerror: port 80 is taken\n")
    assert rig.run("start", "-a", "c", "d")[0] == 2
    assert rig.run("start", "--checkpoint", "x", "c")[2].startswith("error: --checkpoint: not supported")


def test_start_attached(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    manager.program, manager.code = lambda _: says(out(b"a\n"), end(3)), 3
    assert rig.run("create", "app")[0] == 0
    assert rig.run("start", "-a", "c") == (3, b"a\n", "")
    manager.program, manager.code = echo, 40
    manager.running.clear()
    manager.ended.clear()
    assert rig.run("create", "-i", "app")[0] == 0
    assert rig.run("start", "-ai", "c", input=b"x") == (40, b"ready\n<x>\n", "")


def test_it_connects_while_its_modules_are_imported(rigs: tuple[Rig, Manager]) -> None:
    rig, _ = rigs
    said = "import atexit, os, sys; from cli.client import Client; begin = Client.begin"
    seen = "'cli.commands.container.run' in sys.modules"
    before = f"{said}; Client.begin = lambda name: (print('begun', name, {seen}, flush=True), begin(name))"
    with killed(rig.start("run", "-d", "app", before=before)) as process:
        written, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert written.decode() == f"begun None False\n{ID}\n"
    for words in (("run", "--help"), ("--help",), ("create", "app")):
        with killed(rig.start(*words, before=before)) as process:
            assert b"begun" not in process.communicate(timeout=DEADLINE_SECONDS)[0]


def test_a_context_that_is_not_there_is_reported_once(rigs: tuple[Rig, Manager]) -> None:
    rig, _ = rigs
    code, _, reported = rig.run("--context", "nowhere", "run", "-d", "app")
    assert code == 1
    assert reported.count("\n") == 1
    assert "nowhere" in reported


def test_the_context_that_is_named_is_the_one_that_is_used(rigs: tuple[Rig, Manager]) -> None:
    rig, manager = rigs
    assert rig.run("--context", "here", "run", "-d", "app")[0] == 0
    assert manager.calls == ["create", "start"]
