"""The keys by which one leaves."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.detach_keys import DetachKeyScanner, parse_keys
from shoal.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-X", b"\x18"),
        ("a,b", b"ab"),
        ("ctrl-[", b"\x1b"),
        ("ctrl-@", b"\0"),
        ("-", b"-"),
    ],
)
def test_what_docker_takes(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-pp", "ab", "a,,b", "ctrl-1", "é", "strg-p"])
def test_what_is_no_sequence(text: str) -> None:
    with pytest.raises(InvalidInput, match="--detach-keys"):
        parse_keys(text)


@given(
    st.binary(max_size=12).map(lambda text: bytes(each % 3 for each in text)),
    st.lists(st.integers(0, 12)),
    st.binary(min_size=1, max_size=3),
)
def test_however_it_comes_it_is_found(text: bytes, cuts: list[int], keys: bytes) -> None:
    keys = bytes(each % 3 for each in keys)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    leaving, passed, left = DetachKeyScanner(keys), b"", False
    for begin, end in pairwise(places):
        piece, left = leaving.filter(text[begin:end])
        passed += piece
        if left:
            break
    if keys in text:
        assert (passed, left) == (text[: text.index(keys)], True)
    else:
        assert not left
        assert text.startswith(passed)
        assert keys.startswith(text[len(passed) :])
