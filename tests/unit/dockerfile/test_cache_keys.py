"""Keys of results in a cache."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.graph.build_graph import build_graph
from shoal.dockerfile.graph.cache_keys import KeyInputs, cache_key, content_count
from shoal.dockerfile.graph.vertices import CopyVertex, DirectoryVertex, KeyedVertex, RunVertex
from shoal.errors import InvalidInput
from tests.fakes.dockerfile_builds import ARM, build

LAYERS = ("sha256:a", "sha256:b")


def last(text: str, **options: Any) -> KeyedVertex:
    """The last vertex that makes a layer."""
    vertices = build_graph(build(text, **options)).vertices
    return [each for each in vertices if isinstance(each, RunVertex | CopyVertex | DirectoryVertex)][-1]


def key(text: str, *, parent: tuple[str, ...] = LAYERS, content: str = "c", **options: Any) -> str:
    vertex = last(text, **options)
    return cache_key(vertex, KeyInputs(parent, [content] * content_count(vertex)))


SAME = [
    ("FROM a\nRUN b", "FROM c AS d\nRUN b"),
    ("FROM a\nRUN b", "FROM a\nLABEL x=y\nCMD z\nRUN   b"),
    ("FROM a\nARG x\nRUN b", "FROM a\nRUN b"),
    ("FROM a\nCOPY x y", "FROM a\nCOPY z y"),
    ("FROM a\nCOPY x y", "FROM a AS s\nFROM a\nCOPY --from=s /z y"),
    ("FROM a\nCOPY x y", "FROM a\nENV a=b\nUSER c\nCOPY --exclude=d x /y"),
    ("FROM a\nCOPY --chown=5 --chmod=0644 x y", "FROM a\nCOPY --chown=5:5 --chmod=644 x y"),
    ("FROM a\nCOPY --chown=0:0 x y", "FROM a\nCOPY x y"),
    ("FROM a\nADD https://a/b c", "FROM a\nADD https://d/e c"),
    ("FROM a\nRUN --mount=from=b,source=/x,target=/c d", "FROM a\nRUN --mount=source=y,target=/c d"),
    ("FROM a\nWORKDIR /x", "FROM a\nENV y=z\nWORKDIR x"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_changes_no_layer_changes_no_key(one: str, other: str) -> None:
    assert key(one) == key(other)


DIFFERENT = [
    "RUN b",
    "RUN c",
    'RUN ["b"]',
    'SHELL ["bash", "-c"]\nRUN b',
    "ENV x=y\nRUN b",
    "ARG x=y2\nRUN b",
    "USER x\nRUN b",
    "WORKDIR x\nRUN b",
    "RUN --network=none b",
    "RUN --security=insecure b",
    "RUN --mount=type=cache,target=/x b",
    "RUN --mount=type=cache,target=/x,id=y b",
    "RUN --mount=type=tmpfs,target=/x b",
    "RUN --mount=type=secret,id=x b",
    "RUN --mount=type=ssh b",
    "RUN --mount=target=/x b",
    "RUN --mount=target=/x,rw b",
    "RUN --mount=target=/x --mount=target=/y b",
    "RUN <<E\n#!x\nE",
    "RUN <<E\n#!y\nE",
    "COPY b c",
    "COPY b d",
    "COPY b c/",
    "COPY --link b c",
    "COPY --chown=1 b c",
    "COPY --chmod=600 b c",
    "COPY <<c /\nx\nc",
    "COPY <<c /\ny\nc",
    "COPY b <<c /\nx\nc",
    "ADD b c",
    "ADD --unpack=false b c",
    "ADD https://x/y c",
    "ADD b https://x/y c/",
    "WORKDIR /x",
    "USER x\nWORKDIR /x",
]


def test_what_may_change_a_layer_changes_the_key() -> None:
    keys = [key(f"FROM a\n{lines}\n") for lines in DIFFERENT]
    assert len(set(keys)) == len(DIFFERENT)
    assert all(len(each) == 64 for each in keys)


def test_a_key_depends_on_results() -> None:
    for line in ("RUN b", "COPY b c", "WORKDIR /b"):
        keys = {key(f"FROM a\n{line}", parent=parent) for parent in ((), LAYERS, LAYERS[:1], LAYERS[::-1])}
        assert len(keys) == 4
    assert key("FROM a\nCOPY b c", content="1") != key("FROM a\nCOPY b c", content="2")
    assert key("FROM a\nRUN --mount=target=/b c", content="1") != key("FROM a\nRUN --mount=target=/b c", content="2")
    assert key("FROM a\nRUN b", platform=ARM) != key("FROM a\nRUN b")


def test_proxies_are_in_no_key_unless_they_are_declared() -> None:
    one, other = {"HTTP_PROXY": "one"}, {"HTTP_PROXY": "other"}
    assert key("FROM a\nRUN b", arguments=one) == key("FROM a\nRUN b", arguments=other) == key("FROM a\nRUN b")
    declared = "FROM a\nARG HTTP_PROXY\nRUN b"
    assert key(declared, arguments=one) != key(declared, arguments=other)


def test_contents_are_counted() -> None:
    vertex = last("FROM a\nADD x y https://x/y https://x/z /w/")
    assert content_count(vertex) == 3
    with pytest.raises(InvalidInput, match="the key needs 3 contents, and has 2"):
        cache_key(vertex, KeyInputs(contents=["1", "2"]))


WORDS = st.text("ab ,\"'=[]{}", max_size=4)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=2, unique=True))
def test_texts_are_not_confused(pairs: list[tuple[str, str]]) -> None:
    one, other = (cache_key(last("FROM a\nRUN b"), KeyInputs(pair)) for pair in pairs)
    assert one != other


def test_keys_stay_as_they_are() -> None:
    """A node of the next release finds what one of this release has made."""
    assert key("FROM a\nRUN b") == "3847f106de610476ef2ad64dad3ad5dad4c50ca793df913b47e5acb41009d0d7"
    assert key("FROM a\nCOPY b c") == "03b467c402e1ed4fb120f98f3895497f4081dac30d545d013ed7f5dffada98f9"
