"""Patterns of .dockerignore, by moby/patternmatcher's rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.ignore_patterns import PatternMatcher, _Pattern, read_patterns
from shoal.errors import InvalidInput

MATCHES = [
    ("**", "file", True),
    ("**", "dir/file", True),
    ("**/", "dir/file", True),
    ("**/**", "dir/file", True),
    ("dir/**", "dir/file", True),
    ("dir/**", "dir", False),
    ("dir/**", "dir/dir2/file", True),
    ("**/dir", "dir", True),
    ("**/dir", "dir/file", True),
    ("**/dir2/*", "dir/dir2/file", True),
    ("**/dir2/**", "dir/dir2/dir2/file", True),
    ("**file", "file", True),
    ("**file", "dir/file", True),
    ("**/file", "dir/dir/file", True),
    ("**/file*", "dir/dir/file.txt", True),
    ("**/file*txt", "dir/dir/file.txt", True),
    ("**/file*.txt*", "dir/dir/file.txt", True),
    ("**/**/*.txt", "dir/dir/file.txt", True),
    ("**/**/*.txt2", "dir/dir/file.txt", False),
    ("**/*.txt", "file.txt", True),
    ("a**/*.txt", "a/file.txt", True),
    ("a**/*.txt", "a/dir/file.txt", True),
    ("a/*.txt", "a/dir/file.txt", False),
    ("a/*.txt**", "a/file.txt", True),
    ("a[b-d]e", "ae", False),
    ("a[b-d]e", "ace", True),
    ("a[^b-d]e", "aze", True),
    ("a[^b-d]e", "ace", False),
    ("[--a]", "A", True),
    ("[a-]", "-", True),
    ("[a\\-c]", "b", False),
    ("[a&&b]", "&", True),
    ("[[a]", "[", True),
    (".*", ".foo", True),
    (".*", "foo", False),
    ("abc.def", "abcdef", False),
    ("abc?def", "abcZdef", True),
    ("abc?def", "abc/def", False),
    ("a\\*b", "a*b", True),
    ("a\\*b", "axb", False),
    ("**/foo/bar", "foo/bar", True),
    ("**/foo/bar", "dir/dir2/foo/bar", True),
    ("abc/**", "abc", False),
    ("abc/**", "abc/def/ghi", True),
    ("a(b)c/def", "a(b)c/def", True),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
    (
        "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
        "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
        True,
    ),
    ("dist/*.whl", "dist/proxy.whl", True),
    ("a", "a/b/c", True),
    ("a*b*c*d*e", "aXbXcXdXe/f", True),
    ("a*b*c*d*e", "aXbXcXdX/e", False),
    ("x**y**z**w", "xyzw", True),
    ("x**y**z**w", "xa/yb/z/w", True),
    ("x**y**z**w", "xay/z/w", False),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_paths_are_left_out(pattern: str, path: str, expected: bool) -> None:
    assert PatternMatcher(read_patterns(pattern)).excludes(path) is expected


def test_the_last_pattern_decides() -> None:
    matcher = PatternMatcher(
        read_patterns("# comment\n*.md\n!README*.md\nREADME-secret.md\n\n /docs/../keep \n!keep/this")
    )
    left_out = [
        path
        for path in ("a.md", "README.md", "README-secret.md", "keep/a", "keep/this", "docs")
        if matcher.excludes(path)
    ]
    assert left_out == ["a.md", "README-secret.md", "keep/a"]
    assert matcher.has_exceptions


def test_patterns_are_clean_and_relative() -> None:
    assert read_patterns("\ufeff/a/\n! /b/./c\n  d//e\n#x\n") == ("a", "!b/c", "d/e")


@pytest.mark.parametrize("pattern", ["!", "[", "a[b", "[]", "[^]", "x" * 5000])
def test_patterns_that_are_none_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        PatternMatcher([pattern])


def test_a_pattern_takes_time_proportional_to_the_path() -> None:
    matcher = PatternMatcher(["*a" * 30 + "b"])
    assert not matcher.excludes("a" * 200)  # by backtracking it would not end


@given(st.text(alphabet="ab/*?", min_size=1, max_size=8), st.text(alphabet="ab/", min_size=1, max_size=8))
def test_both_ways_to_match_agree(pattern: str, path: str) -> None:
    compiled = _Pattern(pattern)
    expected = re.compile("".join(compiled._tokens), re.DOTALL).fullmatch(path) is not None
    compiled._steps = compiled._steps or tuple(_steps(compiled))
    assert compiled._simulate(path) is expected


def _steps(pattern: _Pattern) -> list[re.Pattern[str] | None]:
    from shoal.dockerfile.ignore_patterns import _step

    return [_step(token) for token in pattern._tokens]
