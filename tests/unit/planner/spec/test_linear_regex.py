"""Regular expressions without backtracking, against Python's own on patterns where that one is safe."""

import re

from hypothesis import given
from hypothesis import strategies as st

from manager.planner.spec.linear_regex import Pattern

atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\W", r"\."])


def repeated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = inner.map("({})".format)
    return st.one_of(
        st.builds("{}{}".format, st.one_of(atoms, group), st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}"])),
        st.builds("{}{}".format, inner, inner),
        st.builds("({}|{})".format, inner, inner),
    )


patterns = st.recursive(atoms, repeated, max_leaves=6)


@given(patterns, st.booleans(), st.booleans(), st.lists(st.text("ab1.", max_size=8), max_size=5))
def test_it_finds_what_python_finds(inner: str, start: bool, end: bool, texts: list[str]) -> None:
    text = f"{'^' if start else ''}{inner}{'$' if end else ''}"
    mine, theirs = Pattern(text), re.compile(text)
    for found in texts:
        assert mine.matches(found) is bool(theirs.search(found)), (text, found)


def test_patterns_that_python_takes_for_ever_for() -> None:
    assert not Pattern("(a*)*b").matches("a" * 1000)
    assert not Pattern("^(a|a)*(a|aa)+(a+)+$").matches("a" * 1000 + "b")
