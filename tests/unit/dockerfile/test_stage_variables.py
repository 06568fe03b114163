"""ARG and ENV in scopes (Dockerfile reference, "ARG", "ENV", "Predefined ARGs"; BuildKit's tests of arguments)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.evaluation import stage_scope
from shoal.dockerfile.evaluation.evaluate import DEFAULT_PATH
from shoal.errors import InvalidInput
from tests.fakes.dockerfile_builds import ARM, build, copy, history, run, stage, variables

SCOPES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("FROM x\nARG a\nRUN x", {}, {}),
    ("FROM x\nARG a=\nRUN x", {}, {"a": ""}),
    ("FROM x\nARG a=1\nRUN x", {}, {"a": "1"}),
    ("FROM x\nARG a=1\nRUN x", {"a": "2"}, {"a": "2"}),
    ("FROM x\nRUN x", {"a": "2"}, {}),
    ("ARG a=1\nFROM x\nRUN x", {}, {}),
    ("ARG a=1\nFROM x\nARG a\nRUN x", {}, {"a": "1"}),
    ("ARG a=1\nFROM x\nARG a=2\nRUN x", {}, {"a": "2"}),
    ("ARG a=1\nFROM x\nARG a=2\nRUN x", {"a": "3"}, {"a": "3"}),
    ('ARG a="foo bar" b=box\nARG c="$b-foo"\nFROM busy$b\nARG c d="1 2" a\nRUN x', {},
     {"a": "foo bar", "c": "box-foo", "d": "1 2"}),
    ("FROM x\nARG a=1 b=$a\nRUN x", {}, {"a": "1", "b": "1"}),
    ("FROM x\nENV a=1\nENV a=2 b=$a\nENV c=$a\nRUN x", {}, {"a": "2", "b": "1", "c": "2"}),
    ("FROM x\nARG v\nENV v=${v:-1.0}\nRUN x", {}, {"v": "1.0"}),
    ("FROM x\nARG v\nENV v=${v:-1.0}\nRUN x", {"v": "2"}, {"v": "2"}),
    ("FROM x\nARG v\nENV v=1\nRUN x", {"v": "2"}, {"v": "1"}),
    ("FROM x\nENV v=1\nARG v=2\nRUN x", {}, {"v": "2"}),
    ("FROM x\nENV v=1\nARG v\nRUN x", {}, {"v": "1"}),
    ("FROM x AS one\nARG a=1\nENV b=2\nFROM one\nRUN x", {}, {"a": "1", "b": "2"}),
    ("FROM x AS one\nARG a=1\nFROM x\nRUN x", {}, {}),
    ("FROM x\nARG TARGETARCH\nARG BUILDARCH\nARG TARGETVARIANT\nRUN x", {},
     {"TARGETARCH": "arm", "BUILDARCH": "amd64", "TARGETVARIANT": "v7"}),
    ("ARG TARGETARCH=other\nFROM x\nARG TARGETARCH\nRUN x", {}, {"TARGETARCH": "other"}),
    ("FROM x\nARG TARGETARCH\nRUN x", {"TARGETARCH": "own"}, {"TARGETARCH": "own"}),
    ("FROM x\nARG TARGETSTAGE\nRUN x", {}, {"TARGETSTAGE": "default"}),
    ("FROM x AS last\nARG TARGETSTAGE\nRUN x", {}, {"TARGETSTAGE": "last"}),
    ('FROM x\nARG BAR=${FOO:?"missing"}\nRUN x', {"BAR": "1"}, {"BAR": "1"}),
    ("# escape=`\nFROM x\nENV a=`$b c=\\$d\nRUN x", {}, {"a": "$b", "c": "\\"}),
    ("FROM x\nENV old some  'text'\nRUN x", {}, {"old": "some  text"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "arguments", "expected"), SCOPES)
def test_variables_of_a_command(text: str, arguments: dict[str, str], expected: dict[str, str]) -> None:
    assert variables(text, platform=ARM, arguments=arguments) == expected


def test_a_declared_argument_overrides_the_base_image() -> None:
    images = {"base": {"Env": ["a=image", "b=image", "PATH=/bin", "broken"]}}
    found = variables("FROM base\nARG a=arg\nARG b\nRUN x", images)
    assert found == {"a": "arg", "b": "image", "broken": ""}
    assert stage("FROM base\nARG a=arg", images).settings["Env"] == ["a=image", "b=image", "PATH=/bin", "broken"]


def test_a_stage_has_a_path_although_its_base_image_has_none() -> None:
    found = stage('FROM base\nENV PATH="/venv/bin:$PATH"', {"base": {"Env": ["a=1"]}})
    assert found.settings["Env"] == ["a=1", f"PATH=/venv/bin:{DEFAULT_PATH}"]
    assert not found.undefined


def test_arguments_hold_from_their_line_on() -> None:
    text = "FROM x\nUSER ${username:-some_user}\nARG username\nUSER $username\n"
    assert history(text, arguments={"username": "what"}) == ["USER some_user", "ARG username=what", "USER what"]


def test_proxies_are_in_no_history_unless_they_are_declared() -> None:
    arguments = {"HTTP_PROXY": "upper", "http_proxy": "lower", "NO_PROXY": "none"}
    found = run("FROM x\nRUN a", arguments=arguments)
    assert found.proxies == (
        ("HTTP_PROXY", "lower"),
        ("NO_PROXY", "none"),
        ("http_proxy", "lower"),
        ("no_proxy", "none"),
    )
    assert history("FROM x\nRUN a", arguments=arguments) == ["RUN /bin/sh -c a # buildkit"]
    declared = run("FROM x\nARG HTTP_PROXY\nRUN a", arguments=arguments)
    assert ("HTTP_PROXY", "upper") in declared.environment
    assert ("HTTP_PROXY", "lower") not in declared.proxies


def test_the_history_has_each_argument_once() -> None:
    found = history("FROM x\nARG foo=bar\nARG bar=123\nARG foo=bar2\nARG none\nRUN ls /etc/")
    assert found == [
        "ARG foo=bar",
        "ARG bar=123",
        "ARG foo=bar2",
        "ARG none",
        "RUN |3 foo=bar2 bar=123 none= /bin/sh -c ls /etc/ # buildkit",
    ]
    assert history("ARG a=1\nFROM x\nARG a\nRUN b")[0] == "ARG a"
    assert history("FROM x\nARG a=1\nENV a=2\nRUN b")[-1] == "RUN |1 a=2 /bin/sh -c b # buildkit"


def test_arguments_that_nothing_declares_are_named() -> None:
    given_arguments = {"a": "", "b": "", "HTTP_PROXY": "", "BUILDKIT_INLINE_CACHE": "1", "SOURCE_DATE_EPOCH": "0"}
    assert build("ARG b\nFROM x", arguments=given_arguments).unused_arguments == ("a",)


def test_variables_that_nothing_sets_are_found() -> None:
    found = stage("FROM x\nARG declared\nENV PATH=$PAHT:/x\nCOPY x$a $declared/\nLABEL a=${b:-c}\nRUN $shell\n")
    assert [(each.location.first, each.name) for each in found.undefined] == [(3, "PAHT"), (4, "a")]


def test_variables_replaced_in_each_instruction() -> None:
    text = (
        "FROM x\nARG a=va b='b c' p='80 81/udp' s=SIGINT\nLABEL $a=\"$b\"\nEXPOSE $p\nVOLUME /$a \nUSER $a\n"
        "STOPSIGNAL $s\nWORKDIR /w/$a\nCOPY --chown=$a --chmod=${mode:-644} --exclude=*.$a $a '$a' $b/\n"
    )
    settings = stage(text).settings
    assert settings["Labels"] == {"va": "b c"}
    assert settings["ExposedPorts"] == {"80/tcp": {}, "81/udp": {}}
    assert (settings["Volumes"], settings["User"], settings["StopSignal"]) == ({"/va": {}}, "va", "SIGINT")
    found = copy(text)
    assert (found.paths, found.destination) == (("va", "$a"), "/w/va/b c/")
    assert (found.flags.chown, found.flags.chmod, found.flags.excludes) == ("va", "644", ("*.va",))


def test_variables_of_commands_are_for_the_shell() -> None:
    text = 'FROM x\nARG a=1\nCMD $a\nENTRYPOINT ["$a"]\nHEALTHCHECK CMD $a\nONBUILD RUN $a\nRUN $a'
    settings = stage(text).settings
    assert (settings["Cmd"], settings["Entrypoint"]) == (["/bin/sh", "-c", "$a"], ["$a"])
    assert (settings["Healthcheck"]["Test"], settings["OnBuild"]) == (["CMD-SHELL", "$a"], ["RUN $a"])
    assert run(text).arguments == ("/bin/sh", "-c", "$a")


def test_variables_that_hold_each_other_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_scope, "MAX_CHARACTERS", 1_000)
    lines = "\n".join("ENV a=$a$a" for _ in range(20))
    with pytest.raises(InvalidInput, match="the variables of the stage have more than 1000 characters"):
        stage(f"FROM x\nENV a=xx\n{lines}")


def test_variables_have_a_bound() -> None:
    lines = "\n".join(f"ENV v{number}=" for number in range(1_001))
    with pytest.raises(InvalidInput, match="the stage has too many variables; the maximum is 1000"):
        stage(f"FROM x\n{lines}")
    with pytest.raises(InvalidInput, match="substitutions stand within each other too deeply; the maximum is 50"):
        stage(f"FROM x\nENV a={'${a:-' * 1_000}")
    assert len(stage("FROM x\n" + "LABEL a=$b\n" * 200).undefined) == 100


NAMES = st.sampled_from(["a", "b", "c"])
LINES = st.one_of(
    st.builds("ARG {}".format, NAMES),
    st.builds("ARG {}={}".format, NAMES, st.integers(0, 9)),
    st.builds("ENV {}={}".format, NAMES, st.integers(0, 9)),
)


@given(st.lists(LINES, max_size=8), st.dictionaries(NAMES, st.just("given")))
def test_the_later_of_two_counts(lines: list[str], arguments: dict[str, str]) -> None:
    expected: dict[str, Any] = {}
    for line in lines:
        kind, _, pair = line.partition(" ")
        name, has_value, value = pair.partition("=")
        if kind == "ARG" and name in arguments:
            expected[name] = arguments[name]
        elif has_value:
            expected[name] = value
    assert variables("\n".join(["FROM x", *lines, "RUN x"]), arguments=arguments) == expected
