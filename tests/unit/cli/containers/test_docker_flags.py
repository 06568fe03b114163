"""Every flag of Docker's commands about containers and of `docker system` is there; what is not honoured says so."""

from itertools import pairwise
from pathlib import Path

import click
import pytest

from cli.commands.network.connect import UNSUPPORTED
from cli.main import shoal
from shoal.errors import InvalidInput

LINES = (Path(__file__).parent / "docker_flags.txt").read_text().splitlines()
FLAGS = {words: rest.split() for words, _, rest in (line.partition(":") for line in LINES if not line.startswith("#"))}
BELOW_CONTAINER = (
    "ps", "stop", "restart", "kill", "pause", "unpause", "wait", "rename", "update", "rm", "port", "top", "logs",
    "stats", "exec", "attach",
)  # fmt: skip


def command_of(words: str) -> click.Command:
    found: click.Command = shoal
    for word in words.split():
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), word)
        assert below is not None, words
        found = below
    return found


@pytest.mark.parametrize("words", FLAGS)
def test_every_flag_is_there(words: str) -> None:
    known = {flag for option in command_of(words).params for flag in (*option.opts, *option.secondary_opts)}
    assert set(FLAGS[words]) - known == set()


@pytest.mark.parametrize("words", FLAGS)
def test_letters_are_those_of_the_same_flags(words: str) -> None:
    flags = FLAGS[words]
    options = {flag: option for option in command_of(words).params for flag in option.opts}
    for short, long in pairwise(flags):
        if not short.startswith("--"):
            assert options[short] is options[long], (short, long)


@pytest.mark.parametrize("word", BELOW_CONTAINER)
def test_commands_are_the_same_below_container(word: str) -> None:
    assert command_of(f"container {word}") is command_of(word)


def test_other_names_of_commands() -> None:
    for words in ("container list", "container ps", "ps"):
        assert command_of(words) is command_of("container ls")
    assert command_of("container remove") is command_of("rm")
    assert command_of("system events") is command_of("events")
    assert command_of("system info") is command_of("info")


@pytest.mark.parametrize("flag", UNSUPPORTED)
def test_what_a_connection_does_not_honour_is_named(flag: str) -> None:
    with pytest.raises(InvalidInput, match=f"{flag}: not supported: "):
        command_of("network connect").make_context("connect", [flag, "1", "front", "db"])


def test_links_are_not_removed_by_themselves() -> None:
    command = command_of("rm")
    assert command.make_context("rm", ["--link", "a/b"]).params["link"]
