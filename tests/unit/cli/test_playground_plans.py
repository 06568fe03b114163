"""What a playground chooses and hints at, as values."""

import shlex
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from cli.playground.console_server import console_command
from cli.playground.engine_server import engine_command
from cli.playground.hints import PlaygroundState, hints
from cli.playground.layout import Layout
from cli.playground.leftovers import summarize
from cli.playground.subnets import first_free
from console.main import main as console_main
from engine.main import main as engine_main
from shoal.errors import Refused

FOUND = PlaygroundState(
    name="shoal",
    hosts=3,
    host="198.18.0.11",
    is_current=True,
    has_shoal=True,
    programs="/opt/shoal/bin",
    images={"hello"},
    services={"hello"},
    networks={"front"},
    ports={8080},
)


@pytest.mark.parametrize(
    ("used", "free"),
    [
        ([], "198.18.0.0/24"),
        (["10.0.0.0/8", "198.18.0.0/24", "198.18.1.128/25"], "198.18.2.0/24"),
        (["198.18.0.0/16"], "198.19.0.0/24"),
    ],
)
def test_the_first_subnet_that_nothing_overlaps(used: list[str], free: str) -> None:
    assert first_free([IPv4Network(each) for each in used]) == IPv4Network(free)


def test_a_range_that_is_routed_elsewhere_is_told() -> None:
    with pytest.raises(Refused, match="choose a subnet with --subnet"):
        first_free([IPv4Network("198.18.0.0/15")])


def test_hints_of_the_playground_that_make_up_makes() -> None:
    text = hints(FOUND)
    assert "A cluster of 3 hosts is running" in text
    assert "curl http://198.18.0.11:8080" in text and "shoal playground down " in text
    assert "--network front" in text and "network create" not in text
    assert "context use" not in text and "export PATH" not in text


def test_hints_of_another_one() -> None:
    text = hints(
        replace(FOUND, name="other", is_current=False, has_shoal=False, images=(), services=(), networks=(), ports=())
    )
    assert "shoal context use other" in text and "shoal playground down --name other" in text
    assert 'export PATH="/opt/shoal/bin:$PATH"' in text
    assert "hello" not in text and "curl" not in text


def test_a_service_that_is_there_is_not_created_again() -> None:
    assert "service create" not in hints(replace(FOUND, services={"web"}))
    assert "shoal network create front" in hints(replace(FOUND, networks=()))


def test_of_many_things_that_are_left_some_are_named() -> None:
    assert summarize(["a", "b"]) == "a, b"
    assert summarize(list("abcdefg")) == "a, b, c, d, e, and 2 more"


def test_docker_clients_are_hinted_at_where_an_engine_serves_them() -> None:
    assert "DOCKER_HOST" not in hints(FOUND)
    lines = hints(replace(FOUND, engine_socket="/run/shoal-playground/shoal/engine.sock")).splitlines()
    (line,) = [each.strip() for each in lines if "DOCKER_HOST" in each]
    assert shlex.split(line, comments=True) == [
        "export",
        "DOCKER_HOST=unix:///run/shoal-playground/shoal/engine.sock",
    ]


def test_the_console_shows_the_playgrounds_context_and_tells_its_owner_alone() -> None:
    layout = Layout(name="other")
    setting, *command = [str(each) for each in console_command(layout, Path("/contexts"))][1:]
    assert setting == "SHOAL_CONFIG=/contexts"
    options = console_main.make_context("shoal-console", command[1:]).params
    assert (options["local"], options["context"]) == (True, "other")
    assert options["address_file"].is_relative_to(layout.run)
    assert "shoal console" in hints(FOUND)


def test_the_engine_serves_the_playgrounds_context_in_its_directory() -> None:
    layout = Layout(name="other")
    setting, *command = [str(each) for each in engine_command(layout, Path("/contexts"))][1:]
    assert setting == "SHOAL_CONFIG=/contexts"
    assert command[1:3] == ["--context", "other"]
    assert str(layout.engine_socket) in command
    assert layout.engine_socket.is_relative_to(layout.run)
    assert engine_main.make_context("shoal-engine", command[1:]).params["home_node"] == "h1"
