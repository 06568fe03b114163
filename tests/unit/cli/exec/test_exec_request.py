"""The flags of `shoal exec` as the first message of the call."""

from pathlib import Path
from typing import Any

import click
import pytest

from cli.commands.exec import command
from cli.exec.exec_request import ExecOptions, exec_start, faults_by_option, variables
from shoal.api.v1.streams_pb2 import ExecStart, TerminalSize
from shoal.errors import Fault, InvalidInput

SIZE = TerminalSize(columns=120, rows=40)


def started(*, typed: bool = True, here: dict[str, str] | None = None, **flags: Any) -> ExecStart:
    return exec_start(
        ExecOptions("web.1", ["ls", "-la"], **flags), environment=here or {}, size=SIZE, stdin_is_terminal=typed
    )


def test_every_flag_has_its_place() -> None:
    message = started(
        interactive=True,
        tty=True,
        env=["A=1"],
        user="1000:audio",
        workdir="/srv",
        privileged=True,
        here={"TERM": "vt100"},
    )
    assert message == ExecStart(
        task="web.1",
        args=["ls", "-la"],
        env=["TERM=vt100", "A=1"],
        user="1000:audio",
        working_dir="/srv",
        privileged=True,
        stdin=True,
        terminal=SIZE,
    )


def test_without_flags_it_has_neither_input_nor_a_terminal() -> None:
    assert started(here={"TERM": "vt100"}) == ExecStart(task="web.1", args=["ls", "-la"])


def test_what_is_detached_is_given_no_input() -> None:
    message = started(detach=True, interactive=True, tty=True, typed=False)
    assert message.detach and not message.stdin and message.HasField("terminal")


@pytest.mark.parametrize(
    ("entries", "terminal", "expected"),
    [
        (["A=1", "B=2", "A=3"], False, ["A=3", "B=2"]),
        (["HERE", "GONE"], False, ["HERE=x=y"]),
        (["HERE="], False, ["HERE="]),
        ([], True, ["TERM=vt100"]),
        (["TERM=dumb"], True, ["TERM=dumb"]),
        (["TERM"], False, ["TERM=vt100"]),
    ],
)
def test_variables(entries: list[str], terminal: bool, expected: list[str]) -> None:
    assert variables(entries, {"HERE": "x=y", "TERM": "vt100"}, terminal=terminal) == expected


def test_a_flag_wins_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# of the shop\nA=file\n\n  B=file\nHERE\n")
    message = started(env=["A=flag"], env_file=[str(path)], here={"HERE": "x"})
    assert list(message.env) == ["A=flag", "B=file", "HERE=x"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        started(interactive=True, tty=True, typed=False, env=["=x", ""], env_file=[str(tmp_path / "none")])
    reported = [str(fault) for fault in caught.value.faults]
    assert len(reported) == 4
    assert reported[0].startswith("--tty: the input device is not a terminal; omit --tty")
    assert reported[1] == f"--env-file: cannot read {tmp_path}/none: No such file or directory"
    assert reported[2] == "--env: '=x' must be in the form NAME[=VALUE]"


def test_bytes_that_are_no_text_are_a_fault() -> None:
    with pytest.raises(InvalidInput, match="is not valid UTF-8"):
        started(env=["A=\udcff"])


def test_the_managers_faults_are_told_by_flags() -> None:
    faults = [
        Fault("start.working_dir", "a"),
        Fault("env[3]", "b"),
        Fault("args", "c"),
        Fault("", "d"),
        Fault("x.y", "e"),
    ]
    assert [str(fault) for fault in faults_by_option(faults)] == [
        "--workdir: a",
        "--env: b",
        "COMMAND: c",
        "d",
        "x.y: e",
    ]


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["web.1", "ls", "-la", "--env", "x"], ("ls", "-la", "--env", "x")),
        (["-it", "web.1", "--", "sh", "--", "-i"], ("sh", "--", "-i")),
    ],
)
def test_what_follows_the_task_is_the_programs(words: list[str], program: tuple[str, ...]) -> None:
    parsed = command.make_context("exec", words).params
    assert (parsed["task"], parsed["program"], parsed["env"]) == ("web.1", program, ())


@pytest.mark.parametrize("words", [["web.1"], ["web.1", "--"], []])
def test_without_a_program_it_is_misused(words: list[str]) -> None:
    with pytest.raises(click.MissingParameter):
        command.make_context("exec", words)
