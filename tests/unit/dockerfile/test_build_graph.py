"""The graph of a build: each thing once, unused stages not at all (BuildKit's documentation, "Build stages")."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.graph.build_graph import BuildGraph, build_graph
from shoal.dockerfile.graph.step_names import base_name, stage_name, step_names
from shoal.dockerfile.graph.vertices import (
    ConfigVertex,
    ContextVertex,
    CopyVertex,
    DirectoryVertex,
    ImageVertex,
    MergeVertex,
    RunVertex,
    ScratchVertex,
)
from shoal.errors import InvalidInput
from tests.fakes.dockerfile_builds import Images, build, image


def graph(text: str, images: Images | None = None, **options: Any) -> BuildGraph:
    return build_graph(build(text, images, **options))


def kinds(found: BuildGraph) -> list[str]:
    return [type(vertex).__name__.removesuffix("Vertex") for vertex in found.vertices]


KINDS = [
    ("FROM scratch", ["Scratch", "Config"]),
    ("FROM a\nRUN b\nENV c=1\nRUN d", ["Image", "Run", "Run", "Config"]),
    ("FROM a\nWORKDIR /b\nUSER c\nLABEL d=e", ["Image", "Directory", "Config"]),
    ("FROM a\nCOPY b c\nADD d e", ["Image", "Context", "Copy", "Copy", "Config"]),
    ("FROM a AS x\nRUN b\nFROM a\nRUN c", ["Image", "Run", "Config"]),
    ("FROM a AS x\nRUN b\nFROM a\nCOPY --from=x y z", ["Image", "Run", "Copy", "Config"]),
    ("FROM a\nCOPY --from=b x y\nCOPY --from=b z y", ["Image", "Image", "Copy", "Copy", "Config"]),
    ("FROM a\nADD https://x/y z\nCOPY <<E /x\nE", ["Image", "Copy", "Copy", "Config"]),
    ("FROM a\nCOPY --link b c", ["Image", "Context", "Copy", "Merge", "Config"]),
    ("FROM a\nRUN --mount=target=/b --mount=type=cache,target=/c d", ["Image", "Context", "Run", "Config"]),
]


@pytest.mark.parametrize(("text", "expected"), KINDS)
def test_a_graph_has_what_the_target_needs(text: str, expected: list[str]) -> None:
    assert kinds(graph(text)) == expected


def test_identical_steps_are_one() -> None:
    text = (
        "FROM a AS one\nRUN b\nRUN c\nFROM a AS two\nRUN b\nRUN d\nFROM scratch\n"
        "COPY --from=one /x /\nCOPY --from=two /x /\n"
    )
    found = graph(text)
    assert Counter(kinds(found)) == {"Image": 1, "Run": 3, "Scratch": 1, "Copy": 2, "Config": 1}
    assert found.steps == {0: (1, 2), 1: (1, 3), 2: (5, 6)}
    assert found.dependents()[1] == (2, 3)


def test_what_the_file_calls_a_source_means_nothing() -> None:
    text = (
        "FROM a AS one\nRUN b\nFROM a AS two\nRUN b\nFROM c AS three\nCOPY --from=one x y\n"
        "RUN --mount=from=one,target=/m d\nFROM c\nCOPY --from=two x y\nRUN --mount=from=1,target=/m d\n"
        "COPY --from=three z z"
    )
    assert Counter(kinds(graph(text)))["Run"] == 2
    different = (
        "FROM a AS one\nARG v=1\nRUN b\nFROM a AS two\nARG v=2\nRUN b\nFROM a\nCOPY --from=0 x y\nCOPY --from=1 x y"
    )
    assert Counter(kinds(graph(different)))["Run"] == 2


def test_linked_copies_have_no_parent() -> None:
    found = graph("FROM a\nRUN b\nCOPY --link --from=c x y\nRUN d")
    first, source, copy, merged, last = (found.vertices[number] for number in (1, 2, 3, 4, 5))
    assert isinstance(first, RunVertex) and source == ImageVertex(image("c"))
    assert isinstance(copy, CopyVertex) and (copy.parent, copy.inputs) == (None, (2,))
    assert merged == MergeVertex(1, 3)
    assert isinstance(last, RunVertex) and last.parent == 4
    assert found.steps == {0: (1, 4, 5)}


def test_mounts_and_contexts_are_inputs() -> None:
    found = graph(
        "FROM files AS base\nWORKDIR /w\nFROM base\nRUN --mount=target=/x,from=files --mount=target=/y z",
        contexts={"files": "dir"},
    )
    assert found.vertices[0] == ContextVertex("files")
    assert isinstance(found.vertices[1], DirectoryVertex)
    assert found.vertices[2] == ContextVertex()
    run = found.vertices[3]
    assert isinstance(run, RunVertex) and (run.mounted, run.inputs) == ((0, 2), (1, 0, 2))
    assert found.vertices[found.target] == ConfigVertex(3, 1)


def test_steps_have_names_of_progress() -> None:
    found = build(
        'FROM busybox AS base\nWORKDIR /out\nENV a=1\nRUN echo "base" > base\nFROM scratch\n'
        "COPY --from=base --chmod=0644 /out /out\n"
    )
    assert base_name(found, 0) == "[base 1/3] FROM docker.io/library/busybox:latest"
    assert list(step_names(found, 0)) == ["[base 2/3] WORKDIR /out", None, '[base 3/3] RUN echo "base" > base']
    assert base_name(found, 1) is None
    assert list(step_names(found, 1)) == ["[stage-1 1/1] COPY --from=base --chmod=0644 /out /out"]
    single = build("FROM files\nRUN a", contexts={"files": "dir"})
    assert (stage_name(single, 0), base_name(single, 0)) == ("", "[1/2] FROM files")
    assert list(step_names(single, 0)) == ["[2/2] RUN a"]


LINES = [
    "FROM a", "FROM b AS x", "FROM x", "FROM scratch AS y", "COPY --from=x a b", "COPY --link a b", "RUN c", "RUN d",
    "ENV e=1", "WORKDIR /f", "COPY --from=0 --link a b", "RUN --mount=from=x,target=/m c", "ADD https://x/y z",
]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=14), st.integers(0, 3))
def test_graphs_are_ordered_without_doubles_and_loose_ends(lines: list[str], target: int) -> None:
    try:
        evaluation = build("\n".join(["FROM a", *lines]), target=str(target) if lines.count("FROM a") > 3 else "")
    except InvalidInput:
        return
    found = build_graph(evaluation)
    assert len(set(found.vertices)) == len(found.vertices)
    assert all(source < number for number, vertex in enumerate(found.vertices) for source in vertex.inputs)
    assert sum(isinstance(vertex, ConfigVertex) for vertex in found.vertices) == 1
    ends = [number for number, dependents in enumerate(found.dependents()) if not dependents]
    assert ends == [found.target]
    assert not any(isinstance(vertex, ScratchVertex) and vertex.inputs for vertex in found.vertices)
    for index, numbers in found.steps.items():
        assert len(numbers) == len(evaluation.stages[index].steps)
