"""The classic builder's stream: texts as Docker 28.2.2 was recorded with, whatever the order of events."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol.errors import ApiError
from engine.translate.images.build_cache import cache_documents, prune_document, read_prune
from engine.translate.images.build_request import BuildQuery, read_build
from engine.translate.images.classic_build import ClassicBuild, command_text, dockerfile_error
from shoal.api.v1.builds_pb2 import (
    BuildCacheRow,
    BuildFailure,
    BuildOutput,
    BuildPlan,
    BuildResult,
    BuildWarning,
    PruneBuildCacheResponse,
    Vertex,
    VertexLog,
    VertexStatus,
)
from shoal.errors import Fault, InvalidInput

STEPS = ("FROM alpine", "ARG A=1", "RUN echo built > /b", "COPY f /f", "CMD cat /b")
IDS = tuple(f"sha256:{number:x}".ljust(71, str(number)) for number in range(1, 8))


def plan(steps: Iterable[str] = STEPS) -> BuildOutput:
    texts = list(steps)
    vertices = [Vertex(id="context", name="[internal] load build context")]
    vertices += [
        Vertex(id=f"v{number}", name=text, step=number, steps=len(texts), instruction=text)
        for number, text in enumerate(texts, start=1)
    ]
    return BuildOutput(plan=BuildPlan(vertices=vertices))


def started(number: int) -> BuildOutput:
    return BuildOutput(vertex=VertexStatus(id=f"v{number}", started_at_ms=5))


def ended(number: int, *, cached: bool = False) -> BuildOutput:
    status = VertexStatus(id=f"v{number}", started_at_ms=5, completed_at_ms=6, cached=cached, image_id=IDS[number - 1])
    return BuildOutput(vertex=status)


def log(number: int, data: bytes, stream: int = 1) -> BuildOutput:
    return BuildOutput(log=VertexLog(id=f"v{number}", stream=stream, data=data))


def result(*names: str) -> BuildOutput:
    return BuildOutput(result=BuildResult(image_id=IDS[4], names=names))


def build(outputs: Iterable[BuildOutput], **options: Any) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {"labels": {}, "removes": True, "removes_always": False} | options
    lines = ClassicBuild(**settings)
    return [line for output in outputs for line in lines.lines(output)]


def text_of(lines: Iterable[dict[str, Any]]) -> str:
    return "".join(line["stream"] for line in lines if "stream" in line)


def test_a_build_reads_as_it_was_recorded() -> None:
    outputs = [plan(), *(each for number in range(1, 6) for each in (started(number), ended(number)))]
    lines = build([*outputs, result("docker.io/library/b1:latest")])
    container = lines[5]["stream"][-13:-1]
    assert lines[:8] == [
        {"stream": "Step 1/5 : FROM alpine"},
        {"stream": "\n"},
        {"stream": f" ---> {IDS[0][7:19]}\n"},
        {"stream": "Step 2/5 : ARG A=1"},
        {"stream": "\n"},
        {"stream": f" ---> Running in {container}\n"},
        {"stream": f" ---> Removed intermediate container {container}\n"},
        {"stream": f" ---> {IDS[1][7:19]}\n"},
    ]
    assert lines[-3:] == [
        {"aux": {"ID": IDS[4]}},
        {"stream": f"Successfully built {IDS[4][7:19]}\n"},
        {"stream": "Successfully tagged b1:latest\n"},
    ]
    assert [line["stream"] for line in lines if line.get("stream", "").startswith("Step 4")] == ["Step 4/5 : COPY f /f"]
    assert "COPY f /f\n ---> " in text_of(lines), "a copy has no container"


def test_what_the_cache_has_is_told_so() -> None:
    lines = build([plan(), ended(1, cached=True), ended(2, cached=True), ended(3, cached=True)])
    assert text_of(lines) == (
        f"Step 1/5 : FROM alpine\n ---> {IDS[0][7:19]}\n"
        f"Step 2/5 : ARG A=1\n ---> Using cache\n ---> {IDS[1][7:19]}\n"
        f"Step 3/5 : RUN echo built > /b\n ---> Using cache\n ---> {IDS[2][7:19]}\n"
    )


def test_stages_that_begin_with_nothing_or_with_another_stage_are_steps_too() -> None:
    steps = ("FROM scratch AS a", "COPY x /", "FROM a AS b", "COPY y /", "FROM a", "RUN z")
    planned = plan(steps)
    for vertex, stage in zip(list(planned.plan.vertices)[1:], ("a", "a", "b", "b", "2", "2"), strict=True):
        vertex.stage = stage
        vertex.name = "" if vertex.instruction.startswith("FROM") else vertex.instruction
    lines = build([planned, ended(2), ended(4, cached=True), started(6), ended(6)])
    text = text_of(lines)
    assert text == (
        f"Step 1/6 : FROM scratch AS a\n ---> \nStep 2/6 : COPY x /\n ---> {IDS[1][7:19]}\n"
        f"Step 3/6 : FROM a AS b\n ---> {IDS[1][7:19]}\nStep 4/6 : COPY y /\n ---> Using cache\n ---> {IDS[3][7:19]}\n"
        f"Step 5/6 : FROM a\n ---> {IDS[1][7:19]}\nStep 6/6 : RUN z\n"
    )
    whole = text_of(build([planned, ended(2), ended(4), ended(6), result()]))
    assert whole.endswith(f" ---> {IDS[4][7:19]}\nSuccessfully built {IDS[4][7:19]}\n"), (
        "the last step has the image's own id"
    )


def test_a_step_that_began_may_be_found_in_the_cache() -> None:
    lines = build([plan(), ended(1), started(2), ended(2, cached=True)])
    assert text_of(lines).endswith(f"Step 2/5 : ARG A=1\n ---> Using cache\n ---> {IDS[1][7:19]}\n")


def test_steps_without_work_are_in_the_cache_with_the_next_one() -> None:
    planned = plan(("FROM a", "ENV A=1", "RUN x", "CMD y"))
    for vertex in planned.plan.vertices:
        vertex.name = "" if vertex.instruction[:3] in ("ENV", "CMD") else vertex.name
    begun = [planned, ended(1), ended(2), started(3)]
    assert text_of(build(begun)).endswith("Step 2/4 : ENV A=1\n")
    assert text_of(build([*begun, ended(3, cached=True), ended(4), result()])).count("Using cache") == 3
    assert "Using cache" not in text_of(build([*begun, log(3, b"x"), ended(3), ended(4), result()]))


def test_labels_of_the_request_are_a_step_of_their_own() -> None:
    lines = build([plan(), *map(ended, range(1, 6)), result()], labels={"k": "v", "a": "b"})
    text = text_of(lines)
    assert text.startswith("Step 1/6 : FROM") and "\nStep 6/6 : LABEL a=b k=v\n ---> Running in " in text
    assert text.endswith(f" ---> {IDS[4][7:19]}\nSuccessfully built {IDS[4][7:19]}\n")


def test_errors_are_red_and_characters_stay_whole() -> None:
    lines = build(
        [plan(), ended(1), ended(2), started(3), log(3, b"oh\n", 2), log(3, "ä".encode()[:1]), log(3, b"\xa4")]
    )
    assert [line["stream"] for line in lines[-2:]] == ["\x1b[91moh\n\x1b[0m", "ä"]


@given(st.permutations([number for number in range(1, 6) for _ in range(3)]))
def test_steps_are_told_in_order_whatever_comes_first(order: list[int]) -> None:
    seen: dict[int, int] = {}
    outputs = [plan()]
    for number in order:
        seen[number] = seen.get(number, 0) + 1
        outputs.append((started(number), log(number, b"out\n"), ended(number))[seen[number] - 1])
    one_by_one = [plan(), *(e for n in range(1, 6) for e in (started(n), log(n, b"out\n"), ended(n)))]
    assert text_of(build(outputs)) == text_of(build(one_by_one))


def test_a_failure_has_the_code_and_the_words() -> None:
    lines = ClassicBuild(labels={}, removes=True, removes_always=True)
    for each in (plan(("FROM alpine", "RUN --network=none exit 3")), ended(1), started(2), log(2, b"x\n")):
        lines.lines(each)
    failure = BuildFailure(vertex_id="v2", exit_code=3)
    assert lines.lines(BuildOutput(failure=failure)) == []
    assert lines.unfinished()[0]["stream"].startswith(" ---> Removed intermediate container ")
    text = "The command '/bin/sh -c exit 3' returned a non-zero code: 3"
    assert lines.error("process did not complete") == {"errorDetail": {"code": 3, "message": text}, "error": text}


def test_other_failures_have_no_code() -> None:
    lines = ClassicBuild(labels={}, removes=True, removes_always=False)
    assert lines.error("no") == {"errorDetail": {"message": "no"}, "error": "no"}
    assert lines.unfinished() == []


def test_quiet_tells_the_id_alone() -> None:
    lines = build([plan(), *map(ended, range(1, 6)), result("docker.io/library/a:1")], quiet=True)
    assert lines == [{"stream": f"{IDS[4]}\n"}]


def test_warnings_stand_before_the_result() -> None:
    warned = BuildOutput(warning=BuildWarning(text="One or more build-args [x] were not consumed"))
    checked = BuildOutput(warning=BuildWarning(rule="FromAsCasing", text="no"))
    lines = build([plan(), *map(ended, range(1, 6)), warned, checked, result()])
    assert lines[-3]["stream"] == "\x1b[91m[Warning] One or more build-args [x] were not consumed\n\x1b[0m"


def test_output_that_waits_is_bounded() -> None:
    lines = build([plan(), *(log(3, b"x" * 100_000) for _ in range(100)), ended(1), ended(2), ended(3)])
    assert 900_000 < len(text_of(lines)) < 1_100_000


@pytest.mark.parametrize(
    ("instruction", "command"),
    [
        ("RUN make all", "/bin/sh -c make all"),
        ('RUN ["a", "b c"]', "a b c"),
        ("RUN --mount=type=cache,target=/x --network=none make", "/bin/sh -c make"),
        ("RUN [ -f x ]", "/bin/sh -c [ -f x ]"),
    ],
)
def test_commands_in_messages(instruction: str, command: str) -> None:
    assert command_text(instruction) == command


def test_faults_of_a_dockerfile_have_dockers_words() -> None:
    error = dockerfile_error(InvalidInput([Fault("Dockerfile:2", "unknown instruction: FOO")]))
    assert str(error) == "dockerfile parse error on line 2: unknown instruction: FOO"
    assert isinstance(error, ApiError) and error.status == 400
    assert str(dockerfile_error(InvalidInput("no"))) == "no"


def query(**values: Any) -> BuildQuery:
    return BuildQuery({key: value if isinstance(value, list) else [value] for key, value in values.items()})


def test_a_query_is_read_whole() -> None:
    config = base64.urlsafe_b64encode(
        json.dumps(
            {
                "https://index.docker.io/v1/": {"username": "u", "password": "p"},
                "registry:5000": {"identitytoken": "t"},
                "empty": {},
            }
        ).encode()
    ).decode()
    request = read_build(
        query(
            dockerfile="d/Dockerfile",
            t=["web:1", "registry:5000/x", "web:1"],
            buildargs='{"A": "2", "B": null}',
            labels='{"k": "v", "e": null}',
            nocache="1",
            pull="true",
            cachefrom='["a", "b"]',
            memory="1000",
            memswap="-1",
            cpushares="2",
            cpuperiod="1000",
            cpuquota="500",
            cpusetcpus="0-1",
            shmsize="64",
            ulimits='[{"Name": "nofile", "Soft": 1, "Hard": 2}]',
            extrahosts=["a:127.0.0.1", "b:::1"],
            target="test",
            platform="linux/AMD64",
            networkmode="host",
            forcerm="1",
            rm="0",
        ),
        config,
    )
    start = request.start
    assert list(start.names) == ["docker.io/library/web:1", "registry:5000/x:latest"]
    assert (dict(start.build_args), dict(start.labels)) == ({"A": "2"}, {"k": "v", "e": ""})
    assert (start.no_cache, start.pull, list(start.cache_from)) == (True, True, ["a", "b"])
    assert (start.memory_bytes, start.memory_swap_bytes, start.shm_bytes, start.cpu.shares) == (1000, -1, 64, 2)
    assert (start.cpu.period_us, start.cpu.quota_us, start.cpu.cpuset_cpus) == (1000, 500, "0-1")
    assert [(each.name, each.soft, each.hard) for each in start.ulimits] == [("nofile", 1, 2)]
    assert (start.target, start.platform, start.network) == ("test", "linux/amd64", "host")
    assert list(start.extra_hosts) == ["a:127.0.0.1", "b:::1"]
    assert start.credentials["docker.io"].password == "p" and start.credentials["registry:5000"].identity_token == "t"
    assert set(start.credentials) == {"docker.io", "registry:5000"}
    assert (request.removes, request.removes_always, request.quiet, request.network) == (True, True, False, "")


def test_networks_by_name_are_found_by_the_caller() -> None:
    assert read_build(query(networkmode="mine")).network == "mine"
    assert read_build(query(networkmode="bridge")).start.network == ""


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"version": "3"}, 400, "invalid builder version"),
        ({"remote": "client-session"}, 400, "version 2"),
        ({"squash": "1"}, 400, "experimental"),
        ({"isolation": "hyperv"}, 400, "isolation"),
        ({"platform": "foobar"}, 400, "unknown operating system or architecture"),
        ({"t": "A B"}, 400, "invalid reference format"),
        ({"t": "a@sha256:" + "a" * 64}, 400, "digest"),
        ({"buildargs": "{"}, 400, "buildargs"),
        ({"buildargs": "[]"}, 400, "buildargs"),
        ({"labels": '{"a": 1}'}, 400, "strings"),
        ({"cachefrom": "[1]"}, 400, "cachefrom"),
        ({"memory": "x"}, 400, "memory"),
        ({"shmsize": "-1"}, 400, "negative"),
        ({"ulimits": "[1]"}, 400, "ulimits"),
        ({"ulimits": '[{"Soft": "1"}]'}, 400, "ulimits"),
        ({"extrahosts": "x"}, 400, "extrahosts"),
        ({"networkmode": "container:x"}, 501, "container"),
        ({"securityopt": "[]"}, 501, "securityopt"),
    ],
)
def test_what_cannot_be_honoured_is_refused(values: dict[str, str], status: int, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_build(query(**values))
    assert caught.value.status == status and words in str(caught.value)


def test_bad_credentials_are_refused() -> None:
    for header in ("x", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"a": 1}').decode()):
        with pytest.raises(ApiError):
            read_build(query(), header)


@given(
    st.dictionaries(
        st.sampled_from(["t", "buildargs", "labels", "memory", "ulimits", "extrahosts", "cachefrom", "platform", "rm"]),
        st.text(max_size=30) | st.sampled_from(['{"a": {}}', "[[]]", "null", '[{"Name": 1}]', "1e9"]),
    )
)
def test_any_query_is_read_or_refused(values: dict[str, str]) -> None:
    try:
        read_build(query(**values))
    except ApiError as error:
        assert error.status in (400, 501)


def test_the_cache_is_pruned_and_listed() -> None:
    request = read_prune({"until": ["24h"], "id": ["a"]}, everything=True, keep_bytes=5, now_ms=100_000_000)
    assert [(each.key, each.value) for each in request.filters] == [("until", "13600"), ("id", "a")]
    assert (request.all, request.keep_bytes) == (True, 5)
    with pytest.raises(ApiError):
        read_prune({"nonsense": ["x"]}, everything=False, keep_bytes=0, now_ms=0)
    assert prune_document(PruneBuildCacheResponse()) == {"CachesDeleted": None, "SpaceReclaimed": 0}
    row = BuildCacheRow(
        id="a", type="regular", description="RUN x", bytes=7, created_at_ms=1, used_at_ms=0, parents=["b"]
    )
    assert cache_documents([row]) == [
        {
            "ID": "a",
            "Parents": ["b"],
            "Type": "regular",
            "Description": "RUN x",
            "InUse": False,
            "Shared": False,
            "Size": 7,
            "CreatedAt": "1970-01-01T00:00:00.001Z",
            "LastUsedAt": None,
            "UsageCount": 0,
        }
    ]
