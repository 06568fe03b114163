"""Modes and owners of COPY: as chmod(1) has them."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.build.program.copying.copy_metadata import CopyOwner, changed_mode, new_directory_mode, parse_owner
from shoal.errors import InvalidInput

PASSWD, GROUP = "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n", "root:x:0:\nstaff:x:50:\n"


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("", (0, 0)),
        ("5", (5, 5)),
        ("5:6", (5, 6)),
        ("app", (1000, 1001)),
        ("app:staff", (1000, 50)),
        ("7:staff", (7, 50)),
        (":50", (0, 50)),
    ],
)
def test_owners(text: str, owner: tuple[int, int]) -> None:
    assert parse_owner(text, lambda: (PASSWD, GROUP)) == CopyOwner(*owner)


def test_owners_that_are_not_there() -> None:
    for text in ("nobody-here", "app:nobody-here"):
        with pytest.raises(InvalidInput):
            parse_owner(text, lambda: (PASSWD, GROUP))


CLAUSE = st.tuples(
    st.sampled_from(["u", "g", "o", "a", "ug", "uo", "ugo"]),
    st.sampled_from("+-="),
    st.text("rwxXst", max_size=4),
).map("".join)


@settings(max_examples=150, deadline=None)
@given(mode=st.integers(0, 0o7777), clauses=st.lists(CLAUSE, min_size=1, max_size=3), is_directory=st.booleans())
def test_symbolic_modes_are_those_of_chmod(
    tmp_path_factory: pytest.TempPathFactory, mode: int, clauses: list[str], is_directory: bool
) -> None:
    path: Path = tmp_path_factory.mktemp("modes") / "file"
    path.mkdir() if is_directory else path.touch()
    path.chmod(mode)
    before = path.stat().st_mode
    text = ",".join(clauses)
    subprocess.run(["chmod", text, str(path)], check=True)
    assert oct(changed_mode(before, text)) == oct(path.stat().st_mode & 0o7777), text


def test_modes_that_are_none() -> None:
    assert changed_mode(0o100644, "") == 0o644 and changed_mode(0o100644, "4755") == 0o4755
    with pytest.raises(InvalidInput):
        changed_mode(0o100644, "u")


@pytest.mark.parametrize(
    ("chmod", "mode"),
    [("", 0o755), ("u=rwX,go=", 0o755), ("700", 0o700), ("644", 0o755), ("600", 0o700), ("4750", 0o750), ("0", 0)],
)
def test_directories_that_no_source_has(chmod: str, mode: int) -> None:
    assert new_directory_mode(chmod) == mode
