"""The format of state: which one the cluster has, and which one a release refuses."""

import json
from pathlib import Path

import pytest

from agent import state_directory as agent_state
from manager.upgrades.state_formats import STATE_FORMAT, check_state_directory, next_format
from shoal.api.v1.cluster_pb2 import RegisteredManager
from shoal.errors import InvalidInput
from shoal.state_format import WrittenFormat, WrongRelease, check_readable, load_format, save_format, this_release


def managers(*formats: int) -> dict[str, RegisteredManager]:
    return {f"m{number}": RegisteredManager(state_format=each) for number, each in enumerate(formats)}


@pytest.mark.parametrize(
    ("current", "formats", "expected"),
    [
        (0, (), 0),
        (0, (1,), 1),
        (0, (1, 0, 1), 0),  # a manager of a release without formats, running or not
        (1, (2, 1, 2), 1),
        (1, (2, 2, 2), 2),
        (2, (1,), 2),  # it never falls
    ],
)
def test_the_cluster_has_what_every_manager_reads(current: int, formats: tuple[int, ...], expected: int) -> None:
    assert next_format(current, managers(*formats)) == expected


def test_a_newer_state_is_refused_by_name() -> None:
    check_readable(WrittenFormat(3, "0.3.0"), 3, "/state", "or else")
    with pytest.raises(WrongRelease) as refused:
        check_readable(WrittenFormat(4, "0.4.0"), 3, "/state", "or restore a backup")
    assert str(refused.value) == (
        f"/state was written by Shoal 0.4.0 (state format 4), and this is Shoal {this_release()}, which reads state "
        "formats up to 3. Nothing was changed. Install Shoal 0.4.0 or later on this host, or restore a backup"
    )


def test_the_file_of_a_state_directory(tmp_path: Path) -> None:
    assert load_format(tmp_path) == WrittenFormat()
    save_format(tmp_path, WrittenFormat(2, "0.2.0"))
    assert load_format(tmp_path) == WrittenFormat(2, "0.2.0")
    for text in ("", "[]", '{"format": "new"}'):
        (tmp_path / "format.json").write_text(text)
        with pytest.raises(InvalidInput, match="is damaged"):
            load_format(tmp_path)


def test_a_manager_refuses_a_newer_state_directory(tmp_path: Path) -> None:
    check_state_directory(tmp_path)
    save_format(tmp_path, WrittenFormat(STATE_FORMAT, "0.1.0"))
    check_state_directory(tmp_path)
    save_format(tmp_path, WrittenFormat(STATE_FORMAT + 1, "9.0"))
    with pytest.raises(WrongRelease, match=r"Install Shoal 9\.0 or later on this host, or restore a backup"):
        check_state_directory(tmp_path)


def test_an_agent_writes_its_format_and_refuses_a_newer_one(tmp_path: Path) -> None:
    agent_state.claim_state_directory(tmp_path)
    written = load_format(tmp_path)
    assert written == WrittenFormat(agent_state.STATE_FORMAT, this_release())
    # The release that wrote it first is the one to install at least.
    save_format(tmp_path, WrittenFormat(agent_state.STATE_FORMAT, "0.0.1"))
    agent_state.claim_state_directory(tmp_path)
    assert load_format(tmp_path).release == "0.0.1"
    newer = json.dumps({"format": agent_state.STATE_FORMAT + 1, "release": "9.0"})
    (tmp_path / "format.json").write_text(newer)
    with pytest.raises(WrongRelease, match="shoal-agent reset"):
        agent_state.claim_state_directory(tmp_path)
    assert (tmp_path / "format.json").read_text() == newer
