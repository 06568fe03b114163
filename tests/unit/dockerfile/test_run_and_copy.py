"""RUN, COPY, ADD and WORKDIR as actions (Dockerfile reference; BuildKit's tests of here-documents)."""

import pytest

from shoal.dockerfile.evaluation.add_sources import is_git, is_remote
from shoal.dockerfile.evaluation.build_sources import ContextSource, StageSource
from shoal.dockerfile.evaluation.build_steps import DirectoryAction, InlineFile, SourcedMount
from shoal.dockerfile.evaluation.evaluate import DEFAULT_PATH
from shoal.dockerfile.run_mounts import BindMount, CacheMount, SecretMount, SshMount, TmpfsMount
from shoal.errors import InvalidInput
from tests.fakes.dockerfile_builds import actions, copy, image, run

COMMANDS: list[tuple[str, tuple[str, ...]]] = [
    ("RUN a && b", ("/bin/sh", "-c", "a && b")),
    ('RUN ["a", "b c"]', ("a", "b c")),
    ("RUN <<EOF\nwhoami\necho $x\nEOF", ("/bin/sh", "-c", "whoami\necho $x\n")),
    ("RUN <<'EOF'\n\tx\nEOF", ("/bin/sh", "-c", "\tx\n")),
    ("RUN <<-EOF\n\tx\n\tEOF", ("/bin/sh", "-c", "x\n")),
    ("RUN <<EOF sh > /o\nx\nEOF", ("/bin/sh", "-c", "<<EOF sh > /o\nx\nEOF")),
    ("RUN <<-EOF sh\n\tx\n\tEOF", ("/bin/sh", "-c", "<<-EOF sh\n\tx\nEOF")),
    ("RUN cat <<A | tr; \\\n cat <<B\na\nA\nb\nB", ("/bin/sh", "-c", "cat <<A | tr;  cat <<B\na\nA\nb\nB")),
    ('SHELL ["bash", "-ec"]\nRUN a', ("bash", "-ec", "a")),
]


@pytest.mark.parametrize(("line", "expected"), COMMANDS)
def test_commands_have_their_shell_and_here_documents(line: str, expected: tuple[str, ...]) -> None:
    assert run(f"FROM x\n{line}\n").arguments == expected


def test_a_program_in_a_here_document_is_a_file() -> None:
    found = run("FROM x\nRUN <<EOF\n#!/usr/bin/env python\nprint(1)\nEOF\n")
    assert found.arguments == ("/bin/sh", "-c", "/dev/pipes/EOF")
    assert found.scripts == (InlineFile("EOF", "#!/usr/bin/env python\nprint(1)\n"),)


def test_a_command_has_what_is_in_scope() -> None:
    found = run("FROM x\nWORKDIR /w\nUSER u:g\nENV a=1\nRUN --network=host --security=insecure b")
    assert (found.directory, found.user, found.network, found.security) == ("/w", "u:g", "host", "insecure")
    assert dict(found.environment) == {"PATH": DEFAULT_PATH, "a": "1"}


def test_mounts_have_sources_and_absolute_targets() -> None:
    text = (
        "FROM x AS build\nFROM x\nARG kind=cache where=c\nWORKDIR /w\nRUN --mount=target=. --mount=from=build,target=b "
        "--mount=type=$kind,target=$where --mount=type=cache,target=/d,from=nginx --mount=type=tmpfs,target=../t "
        "--mount=type=secret,id=s --mount=type=ssh --mount=type=secret,id=s,target=k x"
    )
    assert run(text).mounts == (
        SourcedMount(BindMount("/w"), ContextSource()),
        SourcedMount(BindMount("/w/b", from_stage="build"), StageSource(0)),
        SourcedMount(CacheMount("/w/c", "c")),
        SourcedMount(CacheMount("/d", "/d", from_stage="nginx"), image("nginx")),
        SourcedMount(TmpfsMount("/t")),
        SourcedMount(SecretMount("s", "/run/secrets/s")),
        SourcedMount(SshMount()),
        SourcedMount(SecretMount("s", "/w/k")),
    )


DESTINATIONS = [
    ("''", "/w/"), ("$x", "/w/"),
    ("b", "/w/b"), ("b/", "/w/b/"), (".", "/w/"), ("./", "/w/"), ("..", "/"), ("/", "/"), ("/a/../b", "/b"),
    ("/b/.", "/b/"), ("../../..", "/"), ("//x", "/x"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), DESTINATIONS)
def test_destinations_are_absolute(text: str, expected: str) -> None:
    assert copy(f"FROM x\nWORKDIR /w\nCOPY a {text}").destination == expected


def test_copies_have_sources_of_three_kinds() -> None:
    found = copy("FROM x\nADD a* https://x/y https://x/y.git#v1:d <<E /d/\n$z\nE\n")
    assert (found.is_add, found.source, found.paths) == (True, ContextSource(), ("a*",))
    assert found.remotes == ("https://x/y", "https://x/y.git#v1:d")
    assert found.files == (InlineFile("E", "\n"),)
    only = copy("FROM x\nCOPY <<E /d\nx\nE")
    assert (only.source, only.paths) == (None, ())
    assert copy("FROM x AS b\nFROM x\nCOPY --from=B a b").source == StageSource(0)


HEREDOCS = [
    ("<<E", "Hello ${name}!", "Hello world!"),
    ("<<'E'", "Hello ${name}!", "Hello ${name}!"),
    ('<<"E"', "\\$", "\\$"),
    ("<<E", "Hello '${name}'!", "Hello 'world'!"),
    ("<<E", 'Hello "${name}"!', 'Hello "world"!'),
    ("<<E", "it's", "it's"),
    ("<<E", "\\$", "$"),
    ("<<-E", "\t\tx", "x"),
]


@pytest.mark.parametrize(("mark", "content", "expected"), HEREDOCS)
def test_variables_in_copied_here_documents(mark: str, content: str, expected: str) -> None:
    found = copy(f"FROM x\nARG name=world\nCOPY {mark} /d\n{content}\nE\n")
    assert found.files[0].content == f"{expected}\n"


def test_a_working_directory_is_made_by_its_user() -> None:
    found = actions("FROM x\nUSER daemon\nWORKDIR a\nWORKDIR b\nWORKDIR /\n")
    assert found == [DirectoryAction("/a", "daemon"), DirectoryAction("/a/b", "daemon")]


SOURCES = [
    ("https://x/y", True, False),
    ("HTTP://x/y", True, False),
    ("https://github.com/a/b.git", True, True),
    ("https://github.com/a/b.git?ref=v1", True, True),
    ("https://x/y.git/z", True, False),
    ("git@github.com:a/b", True, True),
    ("git://a/b", True, True),
    ("ssh://git@a/b", True, True),
    ("a.git", False, False),
    ("./https:", False, False),
]


@pytest.mark.parametrize(("source", "remote", "git"), SOURCES)
def test_sources_of_add_may_be_remote(source: str, remote: bool, git: bool) -> None:
    assert (is_remote(source), is_git(source)) == (remote, git)


DIGEST = f"sha256:{'0' * 64}"
MODES = ["0", "644", "0755", "7777", "u=rwX,go=rX", "+x", "a-w,u+s", "u=rw,g+", "=t"]


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_octal_or_symbolic(mode: str) -> None:
    assert copy(f"FROM x\nCOPY --chmod={mode} a b").flags.chmod == mode


SEVERAL = "with more than one source file, the destination must be a directory and end with a /"
FAULTS = [
    ("COPY a b c", f"When using COPY {SEVERAL}"),
    ("ADD a https://x/b c", f"When using ADD {SEVERAL}"),
    ("COPY --chmod=888 a b", "invalid chmod parameter: '888'. it should be octal string and between 0 and 07777"),
    ("COPY --chmod=10000 a b", "invalid chmod parameter: '10000'. it should be octal string and between 0 and 07777"),
    ("COPY --chmod=rwx a b", "invalid chmod parameter: 'rwx'. it should be octal string and between 0 and 07777"),
    (
        "COPY --link --chown=web a b",
        "--link needs numbers in --chown, not 'web': it has no /etc/passwd to look up names",
    ),
    (f"ADD --checksum={DIGEST} a b", "checksum requires HTTP(S) or Git sources"),
    (f"ADD --checksum={DIGEST} https://a https://b c/", "checksum can't be specified for multiple sources"),
    ("ADD --checksum=sha256:0 https://a b", "invalid checksum 'sha256:0': must be sha256:… or sha512:…"),
    ("ADD --checksum=xyz git@a:b c", "invalid checksum 'xyz': must be a git commit"),
    ("RUN --mount=type=bind b", 'invalid mount target "/"'),
    ("RUN --mount=type=$x,target=/a b", 'unsupported mount type ""'),
    ("RUN --mount=type=cache,target=/a,mode=$x b", "invalid value '' for mode: must be an octal number up to 7777"),
    ("RUN --mount=from=B:,target=/a b", '"B:" is not a valid image reference: the repository name must be lowercase'),
    ("COPY --from=0 a b", "invalid stage index 0: only 0 stages are defined before this one"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), FAULTS)
def test_faults_of_copies_and_mounts(line: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as error:
        actions(f"FROM x\n{line}\n")
    assert [str(fault) for fault in error.value.faults] == [f"Dockerfile:2: {expected}"]
