"""Variables, quotes and escapes in words (Dockerfile reference, "Environment replacement")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.shell_words import MAX_EXPANDED, LexerOptions, expand, expand_word, shell_pattern
from shoal.errors import InvalidInput

VARIABLES = {"a": "x y", "path": "/usr/local/lib.tar.gz", "empty": "", "name": "web", "ä": "umlaut", "wild": "*"}

EXPANDED = [
    ("hello", "hello"),
    ("$name", "web"),
    ("${name}", "web"),
    ("${name}s", "webs"),
    ("$names", ""),
    ("$name.txt", "web.txt"),
    ("'$name'", "$name"),
    ('"$name"', "web"),
    ("\\$name", "$name"),
    ('"\\$name"', "$name"),
    ('"a\\b"', "a\\b"),
    ("'a\\b'", "a\\b"),
    ("a\\b", "ab"),
    ("\\\\$name", "\\web"),
    ("he'llo'", "hello"),
    ('he"\'"llo', "he'llo"),
    ("${missing:-default}", "default"),
    ("${missing-default}", "default"),
    ("${empty:-default}", "default"),
    ("${empty-default}", ""),
    ("${name:-default}", "web"),
    ("${missing:-${name}-1}", "web-1"),
    ("${missing:-'a b'}", "a b"),
    ("${name:+set}", "set"),
    ("${empty:+set}", ""),
    ("${empty+set}", "set"),
    ("${missing:+set}", ""),
    ("${name:?must be set}", "web"),
    ("${name?}", "web"),
    ("${path#*/}", "usr/local/lib.tar.gz"),
    ("${path##*/}", "lib.tar.gz"),
    ("${path%.*}", "/usr/local/lib.tar"),
    ("${path%%.*}", "/usr/local/lib"),
    ("${path%.zip}", "/usr/local/lib.tar.gz"),
    ("${path#?usr}", "/local/lib.tar.gz"),
    ("${path/l/L}", "/usr/Local/lib.tar.gz"),
    ("${path//l/L}", "/usr/LocaL/Lib.tar.gz"),
    ("${path//\\//_}", "_usr_local_lib.tar.gz"),
    ("${path/l/\\1}", "/usr/1ocal/lib.tar.gz"),
    ("${name/*/$a}", "x y"),
    ("$", "$"),
    ("a$", "a$"),
    ("$/", "$/"),
    ("$1x", "x"),
    ("${1}", ""),
    ("trailing\\", "trailing"),
]


@pytest.mark.parametrize(("text", "expected"), EXPANDED)
def test_words_are_expanded(text: str, expected: str) -> None:
    assert expand_word(text, VARIABLES) == expected


FAULTS = [
    ("'open", "matching single-quote"),
    ('"open', "matching double-quote"),
    ("${name", "missing '}'"),
    ("${name:-x", 'looking for matching "}"'),
    ("${name~x}", "unsupported modifier (~)"),
    ("${name:x}", "unsupported modifier (:x)"),
    ("${name:#x}", "unsupported modifier (:#)"),
    ("${:-x}", "a name is missing"),
    ("he${}xx", "a name is missing in ${}"),
    ("${missing?}", "missing: not allowed to be unset"),
    ("${missing?say so}", "missing: say so"),
    ("${empty:?say $name}", "empty: say web"),
    ("${path/l}", 'looking for matching "/"'),
]


@pytest.mark.parametrize(("text", "expected"), FAULTS)
def test_faults_of_words_are_said(text: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as error:
        expand_word(text, VARIABLES)
    assert expected in str(error.value)


WORDS = [
    ("a b  c", ("a", "b", "c")),
    ("$a", ("x", "y")),
    ('"$a"', ("x y",)),
    ("'a b' c", ("a b", "c")),
    ("a\\ b", ("a b",)),
    ("''", ("",)),
    ("${missing:-p q}", ("p", "q")),
    (" ", ()),
    ("$missing", ()),
]


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_words_are_split_at_blanks_that_are_not_quoted(text: str, expected: tuple[str, ...]) -> None:
    assert expand(text, VARIABLES).words == expected


def test_the_escape_character_is_the_files() -> None:
    assert expand_word("`$name C:\\dir", VARIABLES, escape="`") == "$name C:\\dir"


def test_quotes_escapes_and_unset_variables_stay_where_asked() -> None:
    options = LexerOptions(keep_quotes=True, keep_escapes=True, keep_unset=True)
    assert expand("'a' \"b\" \\c $d ${e}", {}, options).text == "'a' \"b\" \\c $d ${e}"


def test_names_without_a_value_are_reported() -> None:
    assert expand("$name $gone ${lost:-x} ${away}", VARIABLES).unset == {"gone", "away"}


def test_values_that_double_are_bounded() -> None:
    with pytest.raises(InvalidInput, match="characters once its variables are replaced"):
        expand("$big$big", {"big": "x" * (MAX_EXPANDED - 1)})


@given(st.text(alphabet="ab$ {}:-+?#%/'\"\\*_1", max_size=40))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        found = expand(text, VARIABLES)
    except InvalidInput:
        return
    assert len(found.text) <= MAX_EXPANDED


@given(st.text(max_size=30))
def test_single_quotes_keep_everything(text: str) -> None:
    plain = text.replace("'", "")
    assert expand(f"'{plain}'", VARIABLES).words == (plain,)


@given(st.text(alphabet="a*?\\[.", max_size=10))
def test_any_pattern_is_a_regular_expression(pattern: str) -> None:
    import re

    re.compile(shell_pattern(pattern, longest=True))
