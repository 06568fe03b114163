"""The hints of a playground name commands that there are, with words that they take."""

import shlex
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from cli.main import shoal
from cli.playground.hints import PlaygroundState, hints
from tests.unit.cli.test_command_tree import parse

BARE = PlaygroundState(
    name="other",
    hosts=3,
    host="198.18.0.11",
    is_current=False,
    has_shoal=False,
    programs="/opt/shoal/bin",
    images=(),
    services=(),
    networks=(),
    ports=(),
)
CASES = [
    replace(BARE, images=images, services=services, networks=networks, ports=ports, is_current=is_current)
    for images, services, networks, ports, is_current in product(
        [(), ("hello",)], [(), ("web",)], [(), ("front",)], [(), (8080,)], [False, True]
    )
]


@pytest.mark.parametrize("found", CASES, ids=range(len(CASES)))
def test_every_hint_is_a_command(found: PlaygroundState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "IMAGE.tar").touch()
    lines = [line.strip() for line in hints(found).splitlines() if line.startswith("    shoal ")]
    assert len(lines) >= 3
    for line in lines:
        parse(shoal, shlex.split(line, comments=True)[1:])
