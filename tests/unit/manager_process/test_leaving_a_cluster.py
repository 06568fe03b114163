"""A manager that was removed moves its files away; wherever it ends meanwhile, it creates no cluster of its own."""

import asyncio
from pathlib import Path

import pytest

from manager.etcd.layout import EtcdLayout, load_layout, save_layout
from manager.join_cluster import join_cluster, leave_cluster
from manager.membership.member_api import RemovedFromCluster
from manager.settings import Settings
from shoal.errors import ShoalError

TOKEN = f"SHOAL-1-{'a' * 52}-{'b' * 25}"
NEW_TOKEN = f"SHOAL-1-{'a' * 52}-{'c' * 25}"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a manager that is one of several."""
    etcd = tmp_path / "etcd"
    save_layout(etcd, EtcdLayout("m2", "192.0.2.2:7443", "192.0.2.2:7443"))
    (etcd / "data").mkdir()
    (tmp_path / "identity").mkdir()
    return tmp_path


def interrupt(patched: pytest.MonkeyPatch, moves: int) -> None:
    """The manager ends instead of moving a file or directory, after so many."""
    left, rename = [moves], Path.rename

    def renamed(path: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, target)

    patched.setattr(Path, "rename", renamed)


def moved_away(state: Path) -> bool:
    etcd = state / "etcd"
    return load_layout(etcd) is None and not (etcd / "data").exists() and not (state / "identity").exists()


@pytest.mark.parametrize("moves", [0, 1])
def test_one_that_ends_while_it_leaves_does_not_start_as_a_new_one(
    state: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_directory=state, join="192.0.2.1:7442", token=TOKEN)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt(patched, moves)
        leave_cluster(settings)
    for again in (settings, Settings(state_directory=state)):
        with pytest.raises(RemovedFromCluster, match="a new token"):
            asyncio.run(join_cluster(again))
    leave_cluster(settings)  # as the program does then
    assert moved_away(state)


def test_with_a_new_token_it_joins_without_what_it_was(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_directory=state, join="127.0.0.1:1", token=TOKEN)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt(patched, 0)
        leave_cluster(settings)
    with pytest.raises(ShoalError, match=r"127\.0\.0\.1:1"):  # where no manager is
        asyncio.run(join_cluster(Settings(state_directory=state, join="127.0.0.1:1", token=NEW_TOKEN)))
    assert moved_away(state)
