"""Files of variables: every rule of the specification's section on their format."""

from pathlib import Path

import pytest

from shoal.compose.reading.env_file import read_env_file
from shoal.compose.reading.file_reader import LocalFiles
from shoal.errors import InvalidInput


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("VAR=VAL", "VAL"),
        ('VAR="VAL"', "VAL"),
        ("VAR='VAL'", "VAL"),
        ("VAR=VAL # comment", "VAL"),
        ("VAR=VAL# not a comment", "VAL# not a comment"),
        ('VAR="VAL # not a comment"', "VAL # not a comment"),
        ('VAR="VAL" # comment', "VAL"),
        ("VAR=$OTHER", "other"),
        ('VAR="${OTHER:-x}"', "other"),
        ("VAR='$OTHER'", "$OTHER"),
        ("VAR='${OTHER}'", "${OTHER}"),
        ("VAR='Let\\'s go!'", "Let's go!"),
        ('VAR="{\\"hello\\": \\"json\\"}"', '{"hello": "json"}'),
        ('VAR="some\\tvalue"', "some\tvalue"),
        ("VAR='some\\tvalue'", "some\\tvalue"),
        ("VAR=some\\tvalue", "some\\tvalue"),
        ("VAR=", ""),
        ("VAR", None),
        ("export VAR=x", "x"),
        ("VAR: x", "x"),
        ("  VAR = x ", "x"),
        ('VAR="two\nlines"', "two\nlines"),
        ("VAR=#x", ""),
        ("\n# comment\n\nVAR=a=b", "a=b"),
        ("FIRST=1\nVAR=${FIRST}2", "12"),
        ('VAR="costs 5\\$"', "costs 5$"),
    ],
)
def test_every_form(tmp_path: Path, line: str, expected: str | None) -> None:
    path = tmp_path / "x.env"
    path.write_text(f"{line}\n")
    assert read_env_file(path, {"OTHER": "other"}, LocalFiles())["VAR"] == expected


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("A=1\nno value here\n", "x.env:2: 'no value here' must be in the form NAME=VALUE"),
        ("A='open\n", "x.env:1: unterminated quote"),
        ('A="x" y', "unexpected 'y' after the closing quote"),
        ("A=${B:?needed}", "variable B is not set: needed"),
    ],
)
def test_faults_name_their_line(tmp_path: Path, text: str, reported: str) -> None:
    path = tmp_path / "x.env"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_env_file(path, {}, LocalFiles())
    assert reported in str(caught.value)


def test_raw_takes_everything_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_text("A='x' # $B\n# comment\nC\n")
    assert read_env_file(path, {}, LocalFiles(), raw=True) == {"A": "'x' # $B", "C": None}


def test_a_missing_file(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / "gone", {}, LocalFiles(), required=False) == {}
    with pytest.raises(InvalidInput, match="gone not found"):
        read_env_file(tmp_path / "gone", {}, LocalFiles())
