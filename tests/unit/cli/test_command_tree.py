"""What holds for every command: help with examples that parse, one line in its group's help, a light start."""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from cli.main import shoal
from shoal.contexts.context_store import ContextStore
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command under the group, with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, (*words, name)
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


TREE = dict(commands(shoal))
LEAVES = {words: command for words, command in TREE.items() if not isinstance(command, click.Group)}


def examples(command: click.Command) -> list[str]:
    head, _, lines = (command.epilog or "").partition("Examples:\n")
    assert head == "\b\n", f"the help of {command.name} has no examples"
    return [line.strip() for line in lines.partition("\n\n")[0].splitlines()]


def words_of(line: str) -> list[str]:
    """What the shell would give to `shoal` in this line."""
    words = shlex.split(line, posix=True)
    words = words[words.index("shoal") + 1 :]
    ends = [words.index(sign) for sign in ("<", ">", "|") if sign in words]
    return words[: min(ends, default=len(words))]


def parse(group: click.Command, words: Sequence[str], context: click.Context | None = None) -> click.Command:
    """The command that the words call, after the real parser has taken all of them."""
    made = group.make_context(group.name, list(words), parent=context)
    left = [*made._protected_args, *made.args]
    if not isinstance(group, click.Group) or (group.invoke_without_command and not left):
        return group
    _, command, rest = group.resolve_command(made, left)
    assert command is not None
    return parse(command, rest, made)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_examples_and_they_parse(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in examples(LEAVES[words]):
        for word in filter(lambda word: "/" in word and not word.startswith("/"), words_of(line)):
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)  # a file that has to be there already
            (tmp_path / word).touch()
        assert parse(shoal, words_of(line)) is LEAVES[words], line


@pytest.mark.parametrize("words", TREE, ids=" ".join)
def test_every_command_says_what_it_does(words: tuple[str, ...]) -> None:
    assert TREE[words].help, words


def test_there_are_as_many_commands_as_the_readme_says() -> None:
    assert len(LEAVES) >= 59


def imported(*arguments: str) -> set[str]:
    script = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        f"from cli.main import main; main({list(arguments)!r})"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in run.stderr
    return set(run.stderr.split())


HEAVY = {"grpc", "asyncio", "ssl", "yaml", "jsonschema", "cryptography", "httpx", "tomllib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("service", "--help"),
        ("service", "create", "--help"),
        ("service", "update", "--help"),
        ("exec", "--help"),
    ],
)
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not imported(*arguments) & HEAVY
    assert "google.protobuf" not in imported("service", "--help")


OF_OTHERS = {
    "yaml", "json", "jsonschema", "cryptography", "httpx", "decimal", "shlex", "shutil", "tempfile",
    "cli.render.documents", "shoal.spec_parsers.choices", "shoal.compose", "shoal.rpc.grpc_server", "shoal.rpc.access",
}  # fmt: skip
"""What commands need that show documents, turn flags into a spec, draw on a terminal or make files."""


@pytest.mark.parametrize("words", [("service", "scale", "web=3"), ("exec", "web.1", "ls")], ids=" ".join)
def test_a_call_imports_what_it_needs(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = Authority.create("c", datetime.now(UTC)).issue(
        CertificateSubject("me", Role.ADMIN, "c"), datetime.now(UTC)
    )
    ContextStore(tmp_path).create("here", identity, ["127.0.0.1:1"])
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path))
    modules = imported(*words)
    assert "shoal.rpc.status_mapping" in modules  # it came as far as to call the manager
    assert ("cli.convergence" in modules) == (words[0] == "service") and ("termios" in modules) == (words[0] == "exec")
    assert not modules & OF_OTHERS


def test_run_imports_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries are asked only for images that are not in the cluster, and names only by completion."""
    now = datetime.now(UTC)
    identity = Authority.create("c", now).issue(CertificateSubject("me", Role.ADMIN, "c"), now)
    ContextStore(tmp_path).create("here", identity, ["127.0.0.1:1"])
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path))
    modules = imported("run", "--rm", "-i", "-m", "64M", "-p", "80:80", "app", "true")
    assert "shoal.rpc.status_mapping" in modules  # it came as far as to call the manager
    unneeded = {"shoal.distribution", "shoal.filters", "shoal.api.v1.control_pb2_grpc", "cli.images", "json", "httpx"}
    assert not modules & unneeded
    assert "cli.commands.common.name_sources" not in modules


def test_run_in_the_background_imports_nothing_of_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    identity = Authority.create("c", now).issue(CertificateSubject("me", Role.ADMIN, "c"), now)
    ContextStore(tmp_path).create("here", identity, ["127.0.0.1:1"])
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path))
    modules = imported("run", "-d", "app", "true")
    assert "shoal.rpc.status_mapping" in modules  # it came as far as to call the manager
    assert not modules & {"cli.exec.exec_session", "tomllib", "decimal"}
