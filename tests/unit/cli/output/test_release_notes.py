"""What is told when programs of several releases run."""

import pytest

from cli.render.release_notes import mixed_releases


@pytest.mark.parametrize("releases", [[], ["0.1.0"], ["0.1.0", "0.1.0"], ["0.1.0", ""]])
def test_one_release_is_not_told(releases: list[str]) -> None:
    assert mixed_releases("managers", releases) == ""


def test_several_releases_are_told_with_their_numbers() -> None:
    assert mixed_releases("nodes", ["0.2.0", "0.1.0", "", "0.2.0"]) == (
        "nodes run different releases: 0.1.0 (1), 0.2.0 (2); upgrade all of them to the newest"
    )
