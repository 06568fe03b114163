"""Releases of etcd: their flags, what they may be started with, and what speaks against them."""

import json
from pathlib import Path

import pytest

from manager.etcd.data_release import load_data_release
from manager.etcd.releases import (
    DataRelease,
    EtcdRelease,
    check_data,
    flag,
    parse_release,
    production_warning,
)
from shoal.errors import InvalidInput
from shoal.state_format import WrongRelease


def release(text: str) -> EtcdRelease:
    return parse_release(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.4.23\nGit SHA: Not provided", (3, 4, 23)), ("3.6.0-rc.1", (3, 6, 0)), ("3.10.1", (3, 10, 1))],
)
def test_parse(text: str, expected: tuple[int, int, int]) -> None:
    assert release(text) == expected


@pytest.mark.parametrize("text", ["", "3.5", "v3.5.1"])
def test_what_is_no_release(text: str) -> None:
    with pytest.raises(ValueError, match="not a release"):
        release(text)


@pytest.mark.parametrize("text", ["3.4.23", "3.5.0", "3.5.99"])
def test_flags_before_3_6(text: str) -> None:
    assert flag("watch-progress-notify-interval", release(text)) == "--experimental-watch-progress-notify-interval"
    assert (
        flag("peer-skip-client-san-verification", release(text)) == "--experimental-peer-skip-client-san-verification"
    )
    assert flag("pre-vote", release(text)) == "--pre-vote"


@pytest.mark.parametrize("text", ["3.6.0", "3.7.0", "4.0.0"])
def test_flags_from_3_6_on(text: str) -> None:
    assert flag("watch-progress-notify-interval", release(text)) == "--watch-progress-notify-interval"
    assert flag("peer-skip-client-san-verification", release(text)) == "--peer-skip-client-san-verification"


@pytest.mark.parametrize(
    ("program", "member", "cluster"),
    [
        ("3.4.23", "3.4.23", "3.4.0"),
        ("3.5.16", "3.4.23", "3.4.0"),  # the next minor release
        ("3.4.23", "3.5.16", "3.4.0"),  # back, while not all members are upgraded
        ("3.5.16", "3.5.30", "3.5.0"),  # patches go both ways
        ("3.6.1", "3.5.30", "3.5.0"),
    ],
)
def test_releases_that_may_be_started(program: str, member: str, cluster: str) -> None:
    check_data(release(program), DataRelease(release(member), release(cluster)), "/state/etcd")


def test_a_downgrade_is_refused() -> None:
    with pytest.raises(WrongRelease) as refused:
        check_data(release("3.4.23"), DataRelease(release("3.5.16"), release("3.5.0")), "/state/etcd")
    assert str(refused.value) == (
        "etcd 3.4.23 is older than the cluster, whose etcd works as 3.5 since all of its members were upgraded. The "
        "data in /state/etcd were last used by etcd 3.5.16. Nothing was changed. Install etcd 3.5.16 or a later 3.5 on "
        "this host; to go back to an older etcd, restore a backup to a new state directory"
    )


def test_a_skipped_minor_release_is_refused() -> None:
    with pytest.raises(
        WrongRelease, match=r"one minor release at a time, on all managers\. .* Install etcd 3\.5 first$"
    ):
        check_data(release("3.6.1"), DataRelease(release("3.4.23"), release("3.4.0")), "/state/etcd")
    # One member is ahead of the cluster already, another one is not.
    with pytest.raises(WrongRelease):
        check_data(release("3.6.1"), DataRelease(release("3.5.30"), release("3.4.0")), "/state/etcd")


@pytest.mark.parametrize(
    ("text", "several", "expected"),
    [
        ("3.4.23", False, "is outdated"),
        ("3.5.16", False, ""),
        ("3.4.23", True, "3.5.26 or later"),
        ("3.5.25", True, "3.5.26 or later"),
        ("3.5.26", True, ""),
        ("3.6.0", True, ""),
    ],
)
def test_what_speaks_against_a_release(text: str, several: bool, expected: str) -> None:
    warning = production_warning(release(text), several=several)
    assert expected in warning
    assert bool(warning) == bool(expected)


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    assert load_data_release(tmp_path) is None
    for text in ("", "[]", json.dumps({"member": "3.5.16"}), json.dumps({"member": "new", "cluster": "3.5.0"})):
        (tmp_path / "release.json").write_text(text)
        with pytest.raises(InvalidInput, match="is damaged"):
            load_data_release(tmp_path)
