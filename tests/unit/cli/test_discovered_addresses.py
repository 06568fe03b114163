"""A context learns where all managers are, and keeps what its user gave."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.contexts import context_file, manager_addresses
from shoal.contexts.context_file import SETTINGS_FILE, Context
from shoal.errors import InvalidInput, Unavailable

WORDS = st.text(min_size=1, max_size=12)
LINES = st.sampled_from(
    [
        'addresses = ["a:1"]',
        'addresses = ["a:1", "b:2"]',
        'addresses = ["a:1",  "b:2"]',
        'addresses = ["a", "b"',
        "addresses = []",
        'discovered = ["c:3"] # known',
        'registries = "/etc/r"',
        "registries = '/etc/r'",
        'registries = "a", "b"',
        'registries = ["a"]',
        'other = "a"',
        "",
    ]
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def made(tmp_path: Path) -> Context:
    context_file.write_settings(tmp_path, ["tunnel:17440"], Path("/etc/registries.toml"))
    os.utime(tmp_path / SETTINGS_FILE, (NOW.timestamp(), NOW.timestamp()))
    return context_file.read_context(tmp_path)


def test_it_is_due_soon_at_first_and_every_five_minutes_then(made: Context) -> None:
    assert not manager_addresses.refresh_due(made, NOW + timedelta(seconds=9))
    assert manager_addresses.refresh_due(made, NOW + timedelta(seconds=11))
    known = replace(made, discovered=("192.0.2.1:7440",))
    assert not manager_addresses.refresh_due(known, NOW + timedelta(minutes=4))
    assert manager_addresses.refresh_due(known, NOW + timedelta(minutes=6))


def test_what_the_user_gave_comes_first_and_stays(made: Context) -> None:
    manager_addresses.refresh(made, lambda: ["192.0.2.1:7440", "192.0.2.2:7440", "tunnel:17440"])
    again = context_file.read_context(made.directory)
    assert again.addresses == ("tunnel:17440",)
    assert again.all_addresses == ("tunnel:17440", "192.0.2.1:7440", "192.0.2.2:7440")
    assert again.registries == Path("/etc/registries.toml")


@pytest.mark.parametrize("reported", [[], ["no address at all"]])
def test_what_is_of_no_use_is_not_kept(made: Context, reported: Sequence[str]) -> None:
    manager_addresses.refresh(made, lambda: reported)
    assert context_file.read_context(made.directory) == made


def test_a_manager_that_does_not_answer_is_asked_again_later(made: Context) -> None:
    def away() -> Sequence[str]:
        raise Unavailable("away")

    manager_addresses.refresh(made, away)
    assert context_file.read_context(made.directory) == made
    assert not manager_addresses.refresh_due(made, datetime.now(UTC))


def test_a_damaged_list_is_told(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text('addresses = ["a:1"]\ndiscovered = [3]\n')
    with pytest.raises(InvalidInput, match="discovered must be a list"):
        context_file.read_context(tmp_path)


@given(st.lists(WORDS, min_size=1, max_size=3), st.lists(WORDS, max_size=3), st.none() | WORDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_settings_are_read_as_they_were_written(
    tmp_path: Path, addresses: list[str], discovered: list[str], registries: str | None
) -> None:
    file = None if registries is None else Path("/", registries.replace("\0", "0"))
    context_file.write_settings(tmp_path, addresses, file, discovered)
    found = context_file.read_context(tmp_path)
    assert (found.addresses, found.discovered, found.registries) == (tuple(addresses), tuple(discovered), file)


@given(st.lists(LINES, max_size=4), st.sampled_from(["\n", "\n", "\r\n", ""]))
def test_what_others_have_written_is_read_as_toml(lines: list[str], end: str) -> None:
    """The short way for what was written here never finds anything else."""
    text = "".join(line + (end or "\n") for line in lines[:-1]) + "".join(line + end for line in lines[-1:])
    path = Path("/here/context.toml")
    expected = _outcome(text.encode())
    try:
        assert context_file.parse_settings(text.encode(), path) == expected
    except InvalidInput as error:
        assert str(error) == expected


def _outcome(text: bytes) -> Context | str:
    """By `tomllib` alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context_file, "_as_written", lambda _: None)
        try:
            found = context_file.parse_settings(text, Path("/here/context.toml"))
        except InvalidInput as error:
            return str(error)
    return found
