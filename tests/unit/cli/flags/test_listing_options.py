"""Options of listings and of `inspect`: Docker's letters, filters, forms and switches with values."""

from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from cli.boolean_flags import normalize_switches
from cli.main import shoal
from shoal.errors import InvalidInput


def command_of(*words: str) -> click.Command:
    found: click.Command = shoal
    for word in words:
        assert isinstance(found, click.Group)
        below = found.get_command(click.Context(found), word)
        assert below is not None, words
        found = below
    return found


def options(command: click.Command) -> dict[str, click.Option]:
    return {name: each for each in command.params if isinstance(each, click.Option) for name in each.opts}


LETTERS = [
    line.partition(":")
    for line in (Path(__file__).parent / "docker_short_options.txt").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize(("words", "letters"), [(words, rest) for words, _, rest in LETTERS])
def test_letters_mean_what_they_mean_in_docker(words: str, letters: str) -> None:
    known = options(command_of(*words.split()))
    flat = letters.split()
    for short, long in zip(flat[::2], flat[1::2], strict=True):
        assert short in known and known[short] is known.get(long), (short, long)


LISTINGS = ("service ls", "service ps", "stack services", "stack ps", "node ls", "node ps", "task ls", "secret ls",
            "config ls", "volume ls", "network ls", "images")  # fmt: skip


@pytest.mark.parametrize("words", LISTINGS)
def test_listings_take_the_same_options(words: str) -> None:
    assert {"--filter", "--format", "--quiet", "--no-trunc"} <= options(command_of(*words.split())).keys()


@pytest.mark.parametrize("words", ["service ps", "stack ps", "node ps", "task ls", "service logs"])
def test_names_need_not_be_resolved(words: str) -> None:
    assert {"--no-resolve", "--no-trunc"} <= options(command_of(*words.split())).keys()


@pytest.mark.parametrize("form", ["nope", "{{.Name", "{{if}}", "yaml"])
def test_a_form_that_is_none_is_refused_before_any_call(form: str) -> None:
    command = command_of("service", "ls")
    with pytest.raises(click.BadParameter):
        command.make_context("ls", ["--format", form])
    assert command.make_context("ls", ["--format", "table {{.ID}}"]).params["form"] == "table {{.ID}}"


@pytest.mark.parametrize(
    ("words", "plain"),
    [
        (["create", "--detach=false", "--init=true", "--name", "x", "img"], ["create", "--init", "--name", "x", "img"]),
        (["create", "-d", "--detach=false", "img"], ["create", "img"]),
        (["create", "-d=true", "--init=0", "img"], ["create", "-d", "--no-init", "img"]),
        (["create", "--tty=T", "img", "run", "--tty=true"], ["create", "--tty", "img", "run", "--tty=true"]),
        (["create", "--env", "--tty=true", "img"], ["create", "--env", "--tty=true", "img"]),
        (["create", "--label=a=true", "img"], ["create", "--label=a=true", "img"]),
        (["ps", "--all=false", "web"], ["ps", "--running", "web"]),
        (["ps", "--", "--quiet=true"], ["ps", "--", "--quiet=true"]),
    ],
)  # fmt: skip
def test_switches_take_values_as_gos_do(words: Sequence[str], plain: Sequence[str]) -> None:
    group = command_of("service")
    assert normalize_switches(group, words, click.Context(group)) == plain


def test_a_value_that_is_neither_true_nor_false() -> None:
    group = command_of("service")
    with pytest.raises(click.BadOptionUsage, match="'maybe' must be true or false"):
        normalize_switches(group, ["create", "--detach=maybe", "img"], click.Context(group))


def completed(words: Sequence[str], option: str, begun: str) -> list[str]:
    command = command_of(*words)
    context = click.Context(command)
    return [each.value for each in options(command)[option].shell_complete(context, begun)]


def test_filters_are_completed() -> None:
    assert completed(["service", "ls"], "--filter", "mo") == ["mode="]
    assert completed(["service", "ls"], "--filter", "mode=gl") == ["mode=global", "mode=global-job"]
    assert completed(["node", "ls"], "--filter", "role=") == ["role=manager", "role=worker"]
    assert completed(["network", "create"], "--driver", "") == ["overlay", "bridge"]
    assert completed(["service", "ls"], "--format", "j") == ["json"]


def test_dockers_prune_of_volumes_without_a_name_prunes_none_that_has_one() -> None:
    prune = command_of("volume", "prune")
    assert prune.make_context("prune", ["--filter", "all=true", "--filter", "label=a=b"]).params["filters"] == ("a=b",)
    for text in ("all=false", "all=0", "all=", "all"):
        with pytest.raises(InvalidInput, match="is not supported: only named volumes can be pruned"):
            prune.make_context("prune", ["--filter", text])
