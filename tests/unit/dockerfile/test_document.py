"""Instructions and stages of whole files (Dockerfile reference)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.document import Document, parse_dockerfile
from shoal.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    OnBuild,
    Run,
    Shell,
    Volume,
)
from shoal.errors import InvalidInput, NotFound


def one(line: str) -> Instruction:
    return parse_dockerfile(f"FROM scratch\n{line}\n").stages[0].instructions[0]


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as error:
        parse_dockerfile(text)
    return [str(fault) for fault in error.value.faults]


def pairs(instruction: Instruction) -> list[tuple[str, str | None]]:
    assert isinstance(instruction, Arg | Env | Label)
    return [(variable.name, variable.value) for variable in instruction.variables]


def test_stages_have_names_numbers_and_comments() -> None:
    found = parse_dockerfile(
        "ARG V=1\n# compiles it\nFROM --platform=$BUILDPLATFORM gcc:$V AS Build\nRUN make\nfrom build\n"
    )
    first, second = found.stages
    assert (first.base.image, first.base.platform, first.name, first.comment) == (
        "gcc:$V",
        "$BUILDPLATFORM",
        "build",
        "compiles it",
    )
    assert (second.base.image, second.name, second.instructions) == ("build", "1", ())
    assert [each.variables[0].name for each in found.arguments] == ["V"]


def test_a_target_is_a_name_or_a_number() -> None:
    found = parse_dockerfile("FROM a AS one\nFROM b\nFROM c AS one\n")
    indexes = [found.stage(target).index for target in ("", "ONE", "0", "1")]
    assert indexes == [2, 2, 0, 1]
    with pytest.raises(NotFound, match='target stage "x" could not be found; the file has one, 1, one'):
        found.stage("x")


@pytest.mark.parametrize(
    ("line", "words", "is_shell"),
    [
        ("CMD echo 'a  b'", ("echo 'a  b'",), True),
        ('CMD ["echo", "a\\tb"]', ("echo", "a\tb"), False),
        ("CMD ['echo']", ("['echo']",), True),
        ('CMD ["echo", 1]', ('["echo", 1]',), True),
        ('CMD ["a"] && b', ('["a"] && b',), True),
        ("CMD []", (), False),
        ("CMD", ("",), True),
        ("CMD " + "[" * 100_000, ("[" * 100_000,), True),
    ],
)
def test_commands_are_in_exec_form_or_shell_form(line: str, words: tuple[str, ...], is_shell: bool) -> None:
    found = one(line)
    assert isinstance(found, Cmd)
    assert (found.command.words, found.command.is_shell) == (words, is_shell)


def test_variables_have_two_forms() -> None:
    assert pairs(one('ENV a=1 b="x y" c=x\\ y d=')) == [("a", "1"), ("b", '"x y"'), ("c", "x\\ y"), ("d", "")]
    assert pairs(one("ENV a  x=y z")) == [("a", "x=y z")]
    assert pairs(one('LABEL "a b"=1')) == [('"a b"', "1")]
    assert pairs(one("ARG a b=c")) == [("a", None), ("b", "c")]


def test_flags_stand_before_the_arguments() -> None:
    run = one(
        "RUN --mount=type=cache,target=/a --mount='type=tmpfs,target=/b c' --network=none --security=insecure ls --all"
    )
    assert isinstance(run, Run)
    assert run.mounts == ("type=cache,target=/a", "type=tmpfs,target=/b c")
    assert (run.network, run.security, run.command.words) == ("none", "insecure", ("ls --all",))
    plain = one("RUN -- --help")
    assert isinstance(plain, Run) and plain.command.words == ("--help",)


def test_copy_and_add_have_sources_and_a_destination() -> None:
    copy = one("COPY --from=build --chown=1:2 --chmod=755 --link --parents --exclude=*.o --exclude=b a b /c/")
    assert isinstance(copy, Copy)
    assert (copy.sources, copy.destination, copy.from_stage) == (("a", "b"), "/c/", "build")
    flags = copy.flags
    assert (flags.chown, flags.chmod, flags.link, flags.parents, flags.excludes) == (
        "1:2",
        "755",
        True,
        True,
        ("*.o", "b"),
    )
    add = one('ADD --checksum=sha256:0 --keep-git-dir=false --unpack ["a b", "c"]')
    assert isinstance(add, Add)
    assert (add.sources, add.destination, add.flags.unpack, add.flags.keep_git_dir) == (("a b",), "c", True, False)
    inline = one("COPY a <<X b/\nx\nX")
    assert isinstance(inline, Copy)
    assert (inline.sources, inline.destination, inline.heredocs[0].content) == (("a",), "b/", "x\n")


def test_the_other_instructions() -> None:
    expose, volume, shell = one("EXPOSE 80/tcp $P 1-2"), one('VOLUME ["/a b"]'), one('SHELL ["bash", "-c"]')
    assert isinstance(expose, Expose) and expose.ports == ("80/tcp", "$P", "1-2")
    assert isinstance(volume, Volume) and volume.paths == ("/a b",)
    assert isinstance(shell, Shell) and shell.words == ("bash", "-c")
    on_build, entrypoint = one("ONBUILD  RUN   a  b"), one("ENTRYPOINT top -b")
    assert isinstance(on_build, OnBuild) and on_build.instruction == "RUN   a  b"
    assert isinstance(entrypoint, Entrypoint) and entrypoint.command.is_shell


def test_health_checks_have_times() -> None:
    found = one(
        "HEALTHCHECK --interval=1m30s --timeout=3s --start-period=0 --start-interval=500ms --retries=5 CMD curl -f x"
    )
    assert isinstance(found, Healthcheck) and found.command is not None
    times = (found.interval_ms, found.timeout_ms, found.start_period_ms, found.start_interval_ms, found.retries)
    assert times == (90_000, 3_000, 0, 500, 5) and found.command.words == ("curl -f x",)
    zero = one("HEALTHCHECK --timeout=0s --interval=0ms --retries=0 CMD x")
    assert isinstance(zero, Healthcheck) and (zero.timeout_ms, zero.interval_ms, zero.retries) == (0, 0, 0)
    none = one("HEALTHCHECK NONE")
    assert isinstance(none, Healthcheck) and none.command is None


FAULTS = [
    ("", "Dockerfile:1: file with no instructions"),
    ("# only\n", "Dockerfile:1: file with no instructions"),
    ("ARG a", "Dockerfile:1: dockerfile contains no stages to build: a FROM instruction is missing"),
    ("RUN a", "Dockerfile:1: no build stage in current context: the first instruction must be FROM or ARG"),
    ("FROM", "Dockerfile:1: FROM requires either one or three arguments: FROM image [AS name]"),
    ("FROM a is b", "Dockerfile:1: FROM requires either one or three arguments: FROM image [AS name]"),
    (
        "FROM a AS 1b",
        'Dockerfile:1: invalid name for build stage: "1b", name can\'t start with a number or contain symbols',
    ),
    ("FROM a\nFOO x", "Dockerfile:2: unknown instruction: FOO"),
    ("FROM a\nWORKDIRR x", "Dockerfile:2: unknown instruction: WORKDIRR (did you mean WORKDIR?)"),
    ("FROM a\nENV a", "Dockerfile:2: ENV must have two arguments"),
    ("FROM a\nENV a=b c", "Dockerfile:2: Syntax error - can't find = in 'c'. Must be of the form: name=value"),
    ("FROM a\nENV =b", "Dockerfile:2: ENV names can not be blank"),
    ("FROM a\nLABEL ''=b", "Dockerfile:2: LABEL names can not be blank"),
    ("FROM a\nARG", "Dockerfile:2: ARG requires at least one argument"),
    ("FROM a\nARG =x", "Dockerfile:2: ARG names can not be blank"),
    ("FROM a\nRUN []", "Dockerfile:2: RUN requires at least one argument"),
    ("FROM a\nRUN --network=x ls", "Dockerfile:2: unsupported value 'x' of --network; use one of default, none, host"),
    ("FROM a\nRUN --mount ls", "Dockerfile:2: missing a value on flag: --mount"),
    ("FROM a\nCOPY --link=x a b", "Dockerfile:2: expecting boolean value for flag --link, not 'x'"),
    ("FROM a\nCOPY --from=x --from=y a b", "Dockerfile:2: duplicate flag specified: --from"),
    ("FROM a\nCOPY --from=x <<E b\nE", "Dockerfile:2: COPY --from cannot be combined with here-documents"),
    ("FROM a\nCOPY a <<E\nE", "Dockerfile:2: COPY cannot have a here-document as its destination"),
    ("FROM a\nCMD --x ls", "Dockerfile:2: unknown flag: --x; the instruction has none"),
    ("FROM a\nSHELL bash", "Dockerfile:2: SHELL requires the arguments to be in JSON form"),
    ("FROM a\nVOLUME ['']", ""),
    ('FROM a\nVOLUME [""]', "Dockerfile:2: VOLUME specified can not be an empty string"),
    ("FROM a\nSTOPSIGNAL a b", "Dockerfile:2: STOPSIGNAL requires exactly one argument"),
    ("FROM a\nONBUILD ONBUILD RUN a", "Dockerfile:2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("FROM a\nONBUILD FROM b", "Dockerfile:2: FROM isn't allowed as an ONBUILD trigger"),
    ("FROM a\nHEALTHCHECK x", "Dockerfile:2: Unknown type 'X' in HEALTHCHECK (try CMD)"),
    ("FROM a\nHEALTHCHECK CMD", "Dockerfile:2: Missing command after HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK NONE x", "Dockerfile:2: HEALTHCHECK NONE takes no arguments"),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD x", "Dockerfile:2: --retries must be a number from 0 to 1000000, not '-1'"),
    (
        "FROM a\nHEALTHCHECK --interval=50ns CMD x",
        "Dockerfile:2: --interval: '50ns' is too short; the minimum is 1ms",
    ),
    (
        "FROM a\nHEALTHCHECK --interval=x CMD x",
        "Dockerfile:2: --interval: 'x' is not a valid duration; use a value such as 10s or 1m30s",
    ),
]


@pytest.mark.parametrize(("text", "expected"), FAULTS)
def test_a_fault_names_its_line(text: str, expected: str) -> None:
    if not expected:
        assert parse_dockerfile(text)
        return
    assert faults(text) == [expected]


def test_every_fault_is_found_at_once() -> None:
    assert faults("# escape=x\nFRM a\nFROM a b\nFROM a\nCOPY b\nRUN <<E\n") == [
        "Dockerfile:1: invalid escape token 'x': must be a backslash or a backtick",
        "Dockerfile:2: unknown instruction: FRM (did you mean FROM?)",
        "Dockerfile:3: FROM requires either one or three arguments: FROM image [AS name]",
        "Dockerfile:5: COPY requires at least two arguments, but only one was provided. "
        "Destination could not be determined",
        "Dockerfile:6: unterminated heredoc 'E'",
    ]


SYNTAXES = ["docker/dockerfile:1", "docker/dockerfile", "docker.io/docker/dockerfile-upstream:master", "dockerfile.v0"]
SYNTAXES += ["docker/dockerfile:1.7-labs", f"docker/dockerfile:1@sha256:{'0' * 64}"]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_dockers_own_syntaxes_are_read(syntax: str) -> None:
    assert parse_dockerfile(f"# syntax={syntax}\nFROM a").directives.syntax == syntax


@pytest.mark.parametrize("syntax", ["docker/other", "example.com/docker/dockerfile", "docker.io/a/b:1", "x y", "A"])
def test_other_syntaxes_are_refused_by_name(syntax: str) -> None:
    text = f"# escape=`\n# syntax={syntax}\nno Dockerfile at all"
    assert faults(text) == [f"Dockerfile:2: syntax {syntax!r} is not supported; use docker/dockerfile:1"]
    assert parse_dockerfile("# syntax=a/b\nFROM a", syntax="dockerfile.v0").stages
    with pytest.raises(InvalidInput, match="syntax 'a/b' is not supported"):
        parse_dockerfile("FROM a", syntax="a/b")


def test_faults_have_a_bound() -> None:
    assert len(faults("FROM a\n" + "RUNN x\n" * 10_000)) == 100
    assert len(faults("FROM a\n" + "RUN " + "--mount=typo=x " * 128 + "x\n")) == 1


INSTRUCTIONS = (
    "FROM a",
    "ARG x",
    "RUN",
    "COPY",
    "ENV",
    "HEALTHCHECK",
    "ONBUILD",
    "VOLUME",
    "--x=",
    '["a"]',
    "<<E",
    "E",
    "\\",
    "\n",
    "#",
    "'",
    " ",
)


@given(st.lists(st.sampled_from(INSTRUCTIONS) | st.text(max_size=5), max_size=20))
def test_any_text_is_a_dockerfile_or_refused(parts: list[str]) -> None:
    try:
        assert isinstance(parse_dockerfile(" ".join(parts)), Document)
    except InvalidInput as error:
        assert all(fault.path.startswith("Dockerfile:") and fault.message for fault in error.faults)
