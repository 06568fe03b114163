"""FROM lines, platforms, and what a target needs (Dockerfile reference, "FROM"; BuildKit's tests of stages)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.distribution.manifests import Platform
from shoal.dockerfile.evaluation.build_sources import ContextSource, ScratchSource, StageSource
from shoal.dockerfile.evaluation.evaluate import evaluate
from shoal.dockerfile.evaluation.needs import find_needs
from shoal.dockerfile.evaluation.platforms import parse_platform, platform_arguments
from shoal.errors import InvalidInput, NotFound
from tests.fakes.dockerfile_builds import AMD64, ARM, build, image, plan, run

PLATFORMS = [
    ("linux/amd64", "linux/amd64"),
    ("Linux/x86_64", "linux/amd64"),
    ("linux/arm64/v8", "linux/arm64"),
    ("linux/aarch64", "linux/arm64"),
    ("linux/arm", "linux/arm/v7"),
    ("linux/arm/6", "linux/arm/v6"),
    ("linux/armhf", "linux/arm/v7"),
    ("linux", "linux/amd64"),
    ("arm64", "linux/arm64"),
    ("windows/amd64", "windows/amd64"),
]


@pytest.mark.parametrize(("text", "expected"), PLATFORMS)
def test_platforms_have_a_normal_form(text: str, expected: str) -> None:
    assert str(parse_platform(text, AMD64)) == expected


@pytest.mark.parametrize("text", ["", "linux/", "a/b/c/d", "linux/a b"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="failed to parse platform"):
        parse_platform(text, AMD64)


def test_platform_arguments_are_those_of_both_sides() -> None:
    found = platform_arguments(ARM, AMD64)
    assert found == {
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "linux",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
        "BUILDPLATFORM": "linux/amd64",
        "BUILDOS": "linux",
        "BUILDARCH": "amd64",
        "BUILDVARIANT": "",
    }


def test_stages_begin_with_images_stages_contexts_or_nothing() -> None:
    found = plan(
        "ARG V=1\nFROM gcc:$V AS Build\nFROM build\nFROM scratch\nFROM files\nFROM busybox\nFROM 0\n",
        contexts={"files": "dir", "docker.io/library/busybox:latest": "docker-image://alpine:3"},
    )
    assert [each.base for each in found.stages] == [
        image("gcc:1"),
        StageSource(0),
        ScratchSource(),
        ContextSource("files"),
        image("alpine:3"),
        image("0"),
    ]


def test_contexts_may_be_for_a_platform_or_empty() -> None:
    contexts = {"base": "one", "base::linux/arm/v7": "other", "none": "docker-image://scratch"}
    text = "FROM base AS base\nFROM none\nCOPY --from=base a b"
    assert plan(text, contexts=contexts).stages[0].base == ContextSource("base")
    assert plan(text, contexts=contexts, platform=ARM).stages[0].base == ContextSource("base::linux/arm/v7")
    assert plan(text, contexts=contexts).stages[1].base == ScratchSource()
    assert find_needs(plan(text, contexts=contexts), {}).stages == (1,)


def test_platforms_of_stages() -> None:
    found = plan("FROM --platform=$BUILDPLATFORM a AS a\nFROM a\nFROM b\nFROM --platform=linux/arm64 a\n", platform=ARM)
    assert [each.platform for each in found.stages] == [AMD64, AMD64, ARM, Platform("linux", "arm64")]
    assert found.stages[2].base == image("b", ARM)


FAULTS = [
    ("FROM $x", "Dockerfile:1: base name ($x) should not be blank"),
    (
        "FROM --platform=$BULIDPLATFORM a",
        "Dockerfile:1: empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)",
    ),
    (
        "ARG MY_ARCH=amd64\nFROM --platform=linux/$MYARCH a",
        'Dockerfile:2: failed to parse platform linux/: "" is an invalid component (did you mean MY_ARCH?)',
    ),
    ('ARG FOO=${FOO:?"custom error"}\nFROM a', "Dockerfile:1: FOO: custom error"),
    ("FROM a AS s\nCOPY --from=s x y", "Dockerfile:2: circular dependency detected on stage: s"),
    (
        "FROM a AS s\nCOPY --from=t x y\nFROM b AS t\nFROM s",
        'Dockerfile:2: cannot copy from stage "t", it needs to be defined before current stage "s"',
    ),
    (
        "FROM a\nCOPY --from=0 x y",
        "Dockerfile:2: invalid stage index 0: only 0 stages are defined before this one",
    ),
    (
        "FROM a\nCOPY --from=$x x y",
        "Dockerfile:2: variable expansion is not supported for --from, define a new stage with FROM using ARG from "
        "global scope as a workaround",
    ),
]


@pytest.mark.parametrize(("text", "expected"), FAULTS)
def test_faults_of_stages_name_their_lines(text: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as error:
        build(text)
    assert [str(fault) for fault in error.value.faults] == [expected]


def test_faults_of_images_name_their_rule() -> None:
    with pytest.raises(InvalidInput, match='Dockerfile:2: "A B" is not a valid image reference'):
        plan("ARG x='A B'\nFROM $x")


def test_a_target_needs_some_stages_and_images() -> None:
    text = (
        "FROM one AS one\nFROM two AS two\nCOPY --from=one a b\nFROM three AS three\n"
        "FROM two AS last\nCOPY --from=nginx:1 a b\nRUN --mount=from=files,target=/f --mount=type=cache,target=/c x\n"
        "COPY a b\nFROM unused\n"
    )
    needs = find_needs(plan(text, target="last", contexts={"files": "dir"}), {})
    assert needs.stages == (0, 1, 3)
    assert needs.base_images == (image("two"), image("one"))
    assert needs.copied_images == (image("nginx:1"),)
    assert needs.contexts == ("files", "")
    assert needs.unknown({image("two"): {}}) == (image("one"),)
    with pytest.raises(NotFound, match=r"the configuration of docker.io/library/two:latest.* is not known"):
        evaluate(plan(text, target="last"), {})
    with pytest.raises(NotFound, match='target stage "x" could not be found'):
        plan(text, target="x")


def test_a_copied_image_is_that_of_the_result() -> None:
    needs = find_needs(plan("FROM --platform=$BUILDPLATFORM a\nCOPY --from=b x y", platform=ARM), {})
    assert needs.base_images == (image("a"),)
    assert needs.copied_images == (image("b", ARM),)


def test_without_a_file_of_the_context_it_is_not_needed() -> None:
    text = "FROM a\nCOPY <<E b\nE\nADD https://x/y.git /z\nADD git@x:y z\nRUN --mount=type=secret,id=s true\n"
    assert find_needs(plan(text), {}).contexts == ()


def test_triggers_of_a_base_may_need_more() -> None:
    images = {"base": {"OnBuild": ["COPY --from=tool /x /x", "RUN --mount=from=lib,target=/l make"]}}
    found = build("FROM tools AS tool\nFROM base\nCOPY a b", images)
    assert found.needs.stages == (0, 1)
    assert found.needs.copied_images == (image("lib"),)


LINES = ["FROM a", "FROM b AS x", "FROM x", "FROM scratch AS y", "COPY --from=x a b", "COPY --from=0 a b", "RUN c"]


@given(st.lists(st.sampled_from(LINES), max_size=10))
def test_needed_stages_come_with_all_that_they_need(lines: list[str]) -> None:
    try:
        found = build("\n".join(["FROM a", *lines]))
    except InvalidInput:
        return
    assert set(found.stages) == set(found.needs.stages)
    for number, stage in found.stages.items():
        sources = [stage.base, *(getattr(step.action, "source", None) for step in stage.steps)]
        needed = [source.index for source in sources if isinstance(source, StageSource)]
        assert all(index < number and index in found.stages for index in needed)


def test_run_has_the_platform_of_its_stage() -> None:
    assert run("FROM --platform=linux/arm64 a\nRUN b").platform == Platform("linux", "arm64")
