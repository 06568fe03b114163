"""Which paths of the main context a Dockerfile names."""

import pytest

from shoal.distribution.manifests import Platform
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.file_needs import needs_of_file

HOST = Platform("linux", "amd64")


def paths(*lines: str, target: str = "", contexts: dict[str, str] | None = None) -> tuple[str, ...] | None:
    options = BuildOptions(HOST, HOST, target, {}, {}, contexts or {})
    return needs_of_file("\n".join(lines).encode(), "Dockerfile", options).paths


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("RUN true", ()),
        ("COPY a /x/../b ./c/ /", ("a", "b", "c")),
        ("COPY --parents ./a/./b/*.txt **/c /", ("a/b/*.txt", "**/c")),
        ("ADD a https://h/x https://h/r.git#v1 /", ("a",)),
        ("COPY <<EOF /x\ntext\nEOF", ()),
        ("COPY --from=more . /", ()),
        ("RUN --mount=target=/m,source=a --mount=type=cache,target=/c true", ("a",)),
        ("RUN --mount=type=bind,from=more,target=/m true", ()),
        ("COPY . /", None),
        ("COPY a /../ /x/", None),
        ("COPY ./ /x", None),
        ("ADD $A /", None),
        ("COPY a\\b /", None),
        ('COPY ["a\\"b", "/"]', None),
        ("COPY !a /", None),
        ("RUN --mount=target=/m true", None),
        ("RUN --mount=target=/m,source=$S true", None),
    ],
)
def test_paths_are_those_of_instructions(line: str, expected: tuple[str, ...] | None) -> None:
    assert paths("FROM alpine", "ARG A=b", line, contexts={"more": "local"}) == expected


def test_only_stages_that_the_target_needs_count_and_triggers_do() -> None:
    file = ("FROM alpine AS one", "COPY a /", "ONBUILD COPY b /", "FROM alpine AS two", "COPY . /", "FROM one AS three")
    assert paths(*file, target="one") == ("a",)
    assert paths(*file, target="three") == ("a", "b")
    assert paths(*file, target="two") is None
