"""The configuration and the history of a result (OCI image-spec, config.md; BuildKit's tests of history)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.evaluation.evaluate import DEFAULT_PATH, evaluate, image_config
from shoal.dockerfile.evaluation.history_text import go_duration
from shoal.dockerfile.exposed_ports import parse_ports
from shoal.errors import InvalidInput
from tests.fakes.dockerfile_builds import ARM, build, history, image, plan, stage

EMPTY = {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"}

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ('CMD ["a", "b"]', {"Cmd": ["a", "b"]}),
    ("CMD a b", {"Cmd": ["/bin/sh", "-c", "a b"]}),
    ("CMD []", {"Cmd": []}),
    ("CMD", {"Cmd": []}),
    ('SHELL ["bash", "-c"]\nCMD a', {"Shell": ["bash", "-c"], "Cmd": ["bash", "-c", "a"]}),
    ("ENTRYPOINT a", {"Entrypoint": ["/bin/sh", "-c", "a"]}),
    ('CMD a\nENTRYPOINT ["b"]', {"Cmd": ["/bin/sh", "-c", "a"], "Entrypoint": ["b"]}),
    ("ENV a=1 b=2\nENV a=3", {"Env": [f"PATH={DEFAULT_PATH}", "a=3", "b=2"]}),
    ("LABEL a=1\nLABEL b=2 a='3 4'", {"Labels": {"a": "3 4", "b": "2"}}),
    ("EXPOSE 80 90-91/UDP", {"ExposedPorts": {"80/tcp": {}, "90/udp": {}, "91/udp": {}}}),
    ('VOLUME /a /b\nVOLUME ["/c d"]', {"Volumes": {"/a": {}, "/b": {}, "/c d": {}}}),
    ("USER a:b", {"User": "a:b"}),
    ("WORKDIR a\nWORKDIR b/../c", {"WorkingDir": "/a/c"}),
    ("WORKDIR ../../x\nWORKDIR //y", {"WorkingDir": "/y"}),
    ("STOPSIGNAL SIGRTMIN+3", {"StopSignal": "SIGRTMIN+3"}),
    ("HEALTHCHECK NONE", {"Healthcheck": {"Test": ["NONE"]}}),
    (
        "HEALTHCHECK --interval=1m30s --timeout=3s --start-period=1s --start-interval=5ms --retries=2 CMD curl x",
        {
            "Healthcheck": {
                "Test": ["CMD-SHELL", "curl x"],
                "Interval": 90_000_000_000,
                "Timeout": 3_000_000_000,
                "StartPeriod": 1_000_000_000,
                "StartInterval": 5_000_000,
                "Retries": 2,
            }
        },
    ),
    ('HEALTHCHECK CMD ["a"]', {"Healthcheck": {"Test": ["CMD", "a"]}}),
    ("ONBUILD RUN a\nONBUILD COPY . /b", {"OnBuild": ["RUN a", "COPY . /b"]}),
]


@pytest.mark.parametrize(("lines", "expected"), SETTINGS)
def test_instructions_change_the_settings(lines: str, expected: dict[str, Any]) -> None:
    assert stage(f"FROM scratch\n{lines}\n").settings == EMPTY | expected


def test_an_entrypoint_clears_the_command_of_the_base() -> None:
    images = {"base": {"Cmd": ["a"], "Entrypoint": ["b"], "Shell": ["zsh", "-c"]}}
    changed = stage('FROM base\nENTRYPOINT ["c"]', images).settings
    assert changed == {"Entrypoint": ["c"], "Shell": ["zsh", "-c"], "Env": [f"PATH={DEFAULT_PATH}"]}
    assert stage("FROM base\nCMD d", images).settings["Cmd"] == ["zsh", "-c", "d"]
    parent = 'FROM scratch AS parent\nCMD ["a"]\nFROM parent\nENTRYPOINT ["b"]'
    assert "Cmd" not in stage(parent).settings


LINES = [
    ("ENV a=1 b='2 3'", "ENV a=1 b=2 3"),
    ("LABEL lbl=val", "LABEL lbl=val"),
    ("COPY foo2 foo3", "COPY foo2 foo3 # buildkit"),
    ("COPY --chown=1 --chmod=644 --link --parents --exclude=b c d", None),
    ("COPY <<EOF /d\nx\nEOF", "COPY <<EOF /d # buildkit"),
    ("ADD https://x/y /z", "ADD https://x/y /z # buildkit"),
    ("WORKDIR /", "WORKDIR /"),
    ("WORKDIR a", "WORKDIR /a"),
    ("RUN echo bar > foo4", "RUN /bin/sh -c echo bar > foo4 # buildkit"),
    ('RUN ["ls", "-l"]', "RUN ls -l # buildkit"),
    ("RUN --mount=type=cache,target=/c --network=none x", "RUN /bin/sh -c x # buildkit"),
    ("EXPOSE 2375 5000 1234/udp", "EXPOSE [1234/udp 2375/tcp 5000/tcp]"),
    ('CMD ["nginx", "-g", "daemon \\"off\\";"]', 'CMD ["nginx" "-g" "daemon \\"off\\";"]'),
    ("ENTRYPOINT a b", 'ENTRYPOINT ["/bin/sh" "-c" "a b"]'),
    ('SHELL ["bash", "-c"]', "SHELL [bash -c]"),
    ("VOLUME /a /b", "VOLUME [/a /b]"),
    ("USER 1:2", "USER 1:2"),
    ("STOPSIGNAL SIGQUIT", "STOPSIGNAL SIGQUIT"),
    ("ONBUILD RUN a", "ONBUILD RUN a"),
    ("MAINTAINER a b", "MAINTAINER a b"),
    (
        'HEALTHCHECK --interval=1s --timeout=10s --start-period=3s --start-interval=100ms --retries=5 '
        'CMD ["bin", "-c", "exit 0"]',
        "HEALTHCHECK {Test:[CMD bin -c exit 0] Interval:1s Timeout:10s StartPeriod:3s StartInterval:100ms Retries:5}",
    ),
    (
        "HEALTHCHECK NONE",
        "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_lines_of_the_history_are_those_of_buildkit(line: str, expected: str | None) -> None:
    assert history(f"FROM scratch\n{line}\n") == [expected or f"{line} # buildkit"]


def test_layers_belong_to_lines_that_are_not_empty() -> None:
    lines = stage("FROM x\nENV a=1\nCOPY a b\nRUN c\nWORKDIR /d\nWORKDIR /\nADD e f\n").lines
    assert [line.is_empty for line in lines] == [True, False, False, False, True, False]
    assert {line.comment for line in lines} == {"buildkit.dockerfile.v0"}


def test_durations_are_printed_as_go_does() -> None:
    values = {0: "0s", 5: "5ms", 1_000: "1s", 1_500: "1.5s", 60_000: "1m0s", 90_000: "1m30s", 3_600_000: "1h0m0s"}
    assert {value: go_duration(value) for value in values} == values


def test_an_image_is_that_of_its_stage_with_the_history_of_its_bases() -> None:
    base = {
        "architecture": "arm", "os": "linux", "author": "somebody", "history": [{"created_by": "base"}, "broken"],
        "config": {"Env": ["a=1"], "OnBuild": ["ENV b=2"], "Labels": {"l": "base"}},
    }  # fmt: skip
    planned = plan("FROM base AS one\nRUN x\nFROM one\nUSER u", platform=ARM, labels={"l": "own", "m": "1"})
    found = image_config(evaluate(planned, {image("base", ARM): base}).target, ["sha256:0"], "2026-01-01T00:00:00Z")
    assert found == {
        "architecture": "arm",
        "os": "linux",
        "variant": "v7",
        "author": "somebody",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["a=1", f"PATH={DEFAULT_PATH}", "b=2"], "Labels": {"l": "own", "m": "1"}, "User": "u"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:0"]},
        "history": [
            {"created_by": "base"},
            _line("ENV b=2", empty=True),
            _line("RUN /bin/sh -c x # buildkit"),
            _line("USER u", empty=True),
        ],
    }


def _line(text: str, *, empty: bool = False) -> dict[str, Any]:
    line = {"created": "2026-01-01T00:00:00Z", "created_by": text, "comment": "buildkit.dockerfile.v0"}
    return {**line, "empty_layer": True} if empty else line


def test_triggers_run_first_and_once() -> None:
    images = {"base": {"OnBuild": ["RUN a", "COPY <<E /b\nx\nE", "ENV c=1"]}}
    found = build("FROM base AS one\nRUN d\nFROM one\nRUN e", images)
    assert [step.history.created_by for step in found.stages[0].steps] == [
        "RUN /bin/sh -c a # buildkit",
        "COPY <<E /b # buildkit",
        "ENV c=1",
        "RUN /bin/sh -c d # buildkit",
    ]
    assert [step.history.created_by for step in found.stages[1].steps] == ["RUN /bin/sh -c e # buildkit"]
    assert "OnBuild" not in found.stages[0].settings
    own = build("FROM scratch AS one\nONBUILD ENV a=1\nONBUILD COPY <<E /b\nx\nE\nFROM one\n")
    assert [line.created_by for line in own.target.lines][-2:] == ["ENV a=1", "COPY <<E /b # buildkit"]


TRIGGER_FAULTS = [
    ("RUNN a", "Dockerfile:2: ONBUILD trigger 'RUNN a': unknown instruction: RUNN (did you mean RUN?)"),
    ("FROM a", "Dockerfile:2: ONBUILD trigger 'FROM a': FROM isn't allowed as an ONBUILD trigger"),
    ("ONBUILD RUN a", "Dockerfile:2: ONBUILD trigger 'ONBUILD RUN a': ONBUILD isn't allowed as an ONBUILD trigger"),
    ("RUN <<E\nx", "Dockerfile:2: ONBUILD trigger 'RUN <<E\\nx': unterminated heredoc 'E'"),
    ("USER $x", "Dockerfile:2: the user is empty once its variables are replaced"),
]


@pytest.mark.parametrize(("trigger", "expected"), TRIGGER_FAULTS)
def test_a_fault_of_a_trigger_is_at_its_from(trigger: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as error:
        build("# the base\nFROM base\n", {"base": {"OnBuild": [trigger]}})
    assert [str(fault) for fault in error.value.faults] == [expected]


def test_every_fault_of_evaluation_is_found_at_once() -> None:
    text = "FROM x\nEXPOSE $p 99999\nUSER $u\nSTOPSIGNAL SIGNOT\nVOLUME $v\nWORKDIR $w\nENV ${x?}=1\nCOPY $a b\n"
    with pytest.raises(InvalidInput) as error:
        build(text)
    assert [str(fault) for fault in error.value.faults] == [
        "Dockerfile:2: invalid port '99999': must be a port from 1 to 65535, or a range of ports",
        "Dockerfile:3: the user is empty once its variables are replaced",
        "Dockerfile:4: invalid signal: SIGNOT",
        "Dockerfile:5: the path is empty once its variables are replaced",
        "Dockerfile:6: the path is empty once its variables are replaced",
        "Dockerfile:7: x: not allowed to be unset",
        "Dockerfile:8: the source '$a' is empty once its variables are replaced",
    ]


def test_stages_have_bounds() -> None:
    layers = "\n".join(["RUN x"] * 251)
    found = stage(f"FROM a\n{layers}\n{'USER a' * 10}")
    assert sum(step.action is not None for step in found.steps) == 251
    with pytest.raises(InvalidInput, match="the stage has 502 instructions that make layers; the maximum is 500"):
        stage(f"FROM a AS one\n{layers}\nFROM one\n{layers}")
    users = "\n".join(["USER a"] * 2_501)
    with pytest.raises(InvalidInput, match="the stage has 5002 instructions; the maximum is 5000"):
        stage(f"FROM a AS one\n{users}\nFROM one\n{users}")
    with pytest.raises(InvalidInput, match="the base has 101 ONBUILD triggers; the maximum is 100"):
        stage("FROM base", {"base": {"OnBuild": ["USER a"] * 101}})


PORTS = [
    ("80", ("80/tcp",)),
    ("1234-1236/udp", ("1234/udp", "1235/udp", "1236/udp")),
    ("0.0.0.0:1234-1235:3333-3334/tcp", ("3333/tcp", "3334/tcp")),
    ("[2001:4860:0:2001::68]::333", ("333/tcp",)),
    ("[::1]:80:80", ("80/tcp",)),
    ("2001:4860:0:2001::68::333", ("333/tcp",)),
    ("::::80", ("80/tcp",)),
    ("3456:3456/sctp", ("3456/sctp",)),
]


@pytest.mark.parametrize(("text", "expected"), PORTS)
def test_ports_are_those_of_the_container(text: str, expected: tuple[str, ...]) -> None:
    assert parse_ports(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0.0.0.0:1234-1235:/tcp", "0.0.0.0:1:", "localhost:1:1", "2-1", "0", "65536", "80/xyz", "a", "٣"]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_ports(text)


KEYS = st.sampled_from(["Env", "OnBuild", "Labels", "Cmd", "Shell", "WorkingDir", "ExposedPorts", "User"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(KEYS, values, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_a_base_of_any_shape_has_a_result(config: Any) -> None:
    text = "FROM base\nENV a=1\nLABEL b=2\nEXPOSE 1\nVOLUME /v\nRUN x\nCMD y\nWORKDIR z\nONBUILD RUN x"
    try:
        found = build(text, {"base": config}, labels={"x": "y"})
    except InvalidInput as error:
        assert "ONBUILD trigger" in str(error)
        return
    assert json.dumps(image_config(found.target, [], ""))
